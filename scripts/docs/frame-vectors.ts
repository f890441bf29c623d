/** docs/vectors/frames.json: binary and text frames, good and bad, and what a receiver does with each. */
import { FRAME_DATA_BYTES, encodeFrame } from '../../shared/api/frame.ts';
import { CLOSE, RPC_METHOD_NOT_FOUND } from '../../shared/api/rpc.ts';
import type { Json } from './json-schema.ts';

/** Bytes as hex, and behind them a byte that is repeated. */
export type Bytes = { hex: string; fill?: { hex: string; times: number } };

/** The bytes that a vector stands for. */
export const bytesOf = ({ hex, fill }: Bytes): Buffer =>
  Buffer.concat([
    Buffer.from(hex, 'hex'),
    ...(fill === undefined ? [] : [Buffer.alloc(fill.times, Buffer.from(fill.hex, 'hex'))]),
  ]);

/** A frame that both sides accept. */
export type GoodFrame = {
  name: string;
  stream: number;
  offset: number;
  fin: boolean;
  data: Bytes;
  frame: Bytes;
};

/** A frame for which its receiver closes the connection. */
export type BadFrame = { name: string; frame: Bytes; close: number };

/** A text frame that a client sends after `session.start`, and what the agent does. */
export type TextFrame = {
  name: string;
  text: string;
  agent:
    | { answers: string }
    | { refuses: { code: number; data: { code: string } } }
    | { close: number }
    | 'nothing';
};

export type FrameVectors = { about: string[]; good: GoodFrame[]; bad: BadFrame[]; text: TextFrame[] };

const MAX_OFFSET = Number.MAX_SAFE_INTEGER;

function good(
  name: string,
  fields: { stream: number; offset: number; fin: boolean },
  data: Bytes,
): GoodFrame {
  const bytes = bytesOf(data);
  const header = encodeFrame({ ...fields, data: new Uint8Array() }).toString('hex');
  const { fill } = data;
  const frame = fill === undefined ? { hex: header + bytes.toString('hex') } : { hex: header, fill };
  return { name, ...fields, data, frame };
}

const GOOD: GoodFrame[] = [
  good('the first bytes of a stream', { stream: 1, offset: 0, fin: false }, { hex: '1f8b08' }),
  good('the last bytes of a stream', { stream: 3, offset: 65_536, fin: true }, { hex: '6869' }),
  good('a last frame without bytes', { stream: 7, offset: 1_048_576, fin: true }, { hex: '' }),
  good(
    'a frame without bytes that is not the last: it is allowed and says nothing',
    { stream: 7, offset: 9, fin: false },
    { hex: '' },
  ),
  good(
    'every byte of the numbers in its place',
    { stream: 0x01020304, offset: 0x0506_0708_090a, fin: false },
    { hex: 'ff' },
  ),
  good('the largest numbers', { stream: 0xffff_ffff, offset: MAX_OFFSET, fin: true }, { hex: '00' }),
  good(
    'the most data that a frame carries',
    { stream: 2, offset: 0, fin: false },
    { hex: '', fill: { hex: '61', times: FRAME_DATA_BYTES } },
  ),
];

const HEADER = '01000000000000010000000000000000';
const bad = (name: string, hex: string): BadFrame => ({ name, frame: { hex }, close: CLOSE.malformed });

const BAD: BadFrame[] = [
  bad('no byte', ''),
  bad('a header that is cut', HEADER.slice(0, 30)),
  bad('type 0', `00${HEADER.slice(2)}`),
  bad('type 2', `02${HEADER.slice(2)}`),
  bad('an unknown flag', `0102${HEADER.slice(4)}`),
  bad('an unknown flag beside FIN', `0181${HEADER.slice(4)}`),
  bad('a reserved field that is not 0', `01000001${HEADER.slice(8)}`),
  bad('an offset of 2^53', `${HEADER.slice(0, 16)}0020000000000000`),
  bad('an offset of 2^64 - 1', `${HEADER.slice(0, 16)}ffffffffffffffff`),
  {
    name: 'a byte more than a frame carries',
    frame: { hex: HEADER, fill: { hex: '61', times: FRAME_DATA_BYTES + 1 } },
    close: CLOSE.malformed,
  },
];

const request = (fields: Json): string =>
  JSON.stringify({ jsonrpc: '2.0', id: '1', method: 'plugin.list', ...fields });
const notice = (method: string, params: Json): string => JSON.stringify({ jsonrpc: '2.0', method, params });
const answers = { answers: '1' };
const refuses = { refuses: { code: -32_000, data: { code: 'INVALID_PARAMS' } } };
const close = { close: CLOSE.malformed };

const TEXT: TextFrame[] = [
  { name: 'a request', text: request({ params: {} }), agent: answers },
  { name: 'a request without params: they count as {}', text: request({}), agent: answers },
  {
    name: 'a request whose params are null: they count as {}',
    text: request({ params: null }),
    agent: answers,
  },
  { name: 'white space around the JSON', text: ` ${request({})}\n`, agent: answers },
  { name: 'params that are a list', text: request({ params: [] }), agent: refuses },
  {
    name: 'a param that the agent does not know',
    text: request({ params: { color: 'red' } }),
    agent: refuses,
  },
  {
    name: 'a method that the agent does not have',
    text: request({ method: 'plugin.paint' }),
    agent: { refuses: { code: RPC_METHOD_NOT_FOUND, data: { code: 'NOT_FOUND' } } },
  },
  {
    name: 'a window of a stream that is not there, such as one that has just ended',
    text: notice('window', { stream: 9, offset: 0, limit: 10 }),
    agent: 'nothing',
  },
  { name: 'a cancel of a stream that is not there', text: notice('cancel', { stream: 9 }), agent: 'nothing' },
  { name: 'an id that is a number', text: request({ id: 1 }), agent: close },
  { name: 'an id of no character', text: request({ id: '' }), agent: close },
  { name: 'an id of 129 characters', text: request({ id: 'x'.repeat(129) }), agent: close },
  { name: 'a method name of 65 characters', text: request({ method: 'x'.repeat(65) }), agent: close },
  {
    name: 'a request with a field that JSON-RPC does not have',
    text: request({ trace: 'abc' }),
    agent: close,
  },
  { name: 'another version of JSON-RPC', text: request({ jsonrpc: '1.0' }), agent: close },
  { name: 'a batch', text: `[${request({})}]`, agent: close },
  { name: 'no JSON', text: '{"jsonrpc":"2.0",', agent: close },
  { name: 'no text', text: '', agent: close },
  { name: 'another notification', text: notice('hello', {}), agent: close },
  { name: 'a window without a limit', text: notice('window', { stream: 1, offset: 0 }), agent: close },
  {
    name: 'a window with an unknown field',
    text: notice('window', { stream: 1, offset: 0, limit: 10, size: 10 }),
    agent: close,
  },
  {
    name: 'a window with a negative number',
    text: notice('window', { stream: 1, offset: 0, limit: -1 }),
    agent: close,
  },
  {
    name: 'a cancel with an unknown field',
    text: notice('cancel', { stream: 1, why: 'enough' }),
    agent: close,
  },
  {
    name: 'an answer, although an agent asks nothing',
    text: JSON.stringify({ jsonrpc: '2.0', id: '1', result: {} }),
    agent: close,
  },
  {
    name: 'an error, although an agent asks nothing',
    text: JSON.stringify({ jsonrpc: '2.0', id: '1', error: { code: -32_000, message: 'no' } }),
    agent: close,
  },
];

export const frameVectors = (): FrameVectors => ({
  about: [
    'Frames of airlock.v1 and what their receiver does. docs/protocol.md explains them.',
    'hex: bytes as hex digits; with "fill", the byte fill.hex follows fill.times times.',
    'good: a binary frame (frame) and what it says. Encode the fields and get the frame; decode the frame and get the fields.',
    'bad: a binary frame for which agent and client close the connection with the code "close".',
    'text: a text frame that a client sends after session.start. The agent answers the request with that id (answers), refuses it with an error that has these fields (refuses), closes the connection with a code (close), or does nothing ("nothing").',
  ],
  good: GOOD,
  bad: BAD,
  text: TEXT,
});
