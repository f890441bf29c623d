/** docs/vectors/uploads.json: whole uploads, frame by frame. test/flow/upload-vectors.test.ts plays them against a real agent. */
import { encodeFrame } from '../../shared/api/frame.ts';
import { CLOSE, PROTOCOL } from '../../shared/api/rpc.ts';
import { type ExampleBundle, greeting } from './example-bundle.ts';
import type { Json } from './json-schema.ts';

/** What happens next in a conversation, in this order. */
export type UploadStep =
  | { client: 'connects' }
  | { client: 'disconnects' }
  | { client: 'sends'; text: Json }
  | { client: 'sends'; hex: string }
  | { agent: 'sends'; text: Json }
  | { agent: 'closes'; code: number };

export type Conversation = { name: string; steps: UploadStep[] };

type VectorBundle = Omit<ExampleBundle, 'bytes'> & { base64: string };

export type UploadVectors = {
  about: string[];
  bundles: Record<string, VectorBundle>;
  conversations: Conversation[];
};

const first = greeting('1.0.0');
const second = greeting('2.0.0');
const CUT = 1000;

const sends = (text: Json): UploadStep => ({ client: 'sends', text: { jsonrpc: '2.0', ...text } });
const says = (text: Json): UploadStep => ({ agent: 'sends', text: { jsonrpc: '2.0', ...text } });
const bytes = (stream: number, offset: number, data: Buffer, fin: boolean): UploadStep => ({
  client: 'sends',
  hex: encodeFrame({ stream, offset, fin, data }).toString('hex'),
});
const notice = (method: string, params: Json): UploadStep => says({ method, params });
const window = (stream: number, offset: number, limit: number): UploadStep =>
  notice('window', { stream, offset, limit });

const hello = notice('hello', {
  agent: '$version',
  workspace: '$workspace',
  runtime: '$runtime',
  bootId: '$bootId',
  protocol: PROTOCOL,
  capabilities: '$capabilities',
  limits: '$limits',
});

/** Every connection begins with these. */
const START: UploadStep[] = [
  { client: 'connects' },
  hello,
  sends({ id: '1', method: 'session.start', params: { client: 'vectors', events: [] } }),
  says({ id: '1', result: { at: { bootId: '$bootId', seq: '$seq' }, resumed: true } }),
];

const begin = (
  id: string,
  operationId: string,
  { size, sha256 }: Pick<ExampleBundle, 'size' | 'sha256'>,
  more: Json = {},
): UploadStep =>
  sends({
    id,
    method: 'install.begin',
    params: { operationId, plugin: 'greeting', bundle: { size, sha256 }, ...more },
  });
const open = (id: string, stream: number, offset: number, limit: number): UploadStep =>
  says({ id, result: { status: 'open', stream, offset, limit } });
const commit = (id: string, operationId: string): UploadStep =>
  sends({ id, method: 'install.commit', params: { operationId } });

const error = (code: string, status: number, retry: string, executed = 'no'): Json => ({
  code,
  status,
  title: '$title',
  detail: '$detail',
  hint: '$hint',
  retry,
  executed,
});
const refuses = (id: string, data: Json): UploadStep =>
  says({ id, error: { code: -32_000, message: '$title', data } });

/** The answer to an install of a bundle. */
function installed(
  bundle: ExampleBundle,
  pluginVersion: string,
  more: {
    status?: string;
    installId?: string;
    replaced?: string | null;
    replacedVersion?: string | null;
    reload: Json;
  },
): Json {
  const { status = 'installed', installId = '$installId', replaced = null, replacedVersion, reload } = more;
  return {
    status,
    plugin: 'greeting',
    pluginVersion,
    installId,
    bundle: `sha256:${bundle.sha256}`,
    tree: bundle.tree,
    files: bundle.files.length,
    bytes: bundle.files.reduce((sum, { base64 }) => sum + Buffer.from(base64, 'base64').length, 0),
    installedAt: '$installedAt',
    by: '$label',
    replaced,
    ...(replacedVersion === undefined ? {} : { replacedVersion }),
    reload,
    warnings: { items: [], total: 0 },
  };
}

const COLD_FIRST = {
  kind: 'cold',
  action: 'restart',
  restarting: true,
  reasons: { items: [{ path: '', change: 'added', why: '$why' }], total: 1 },
};
const NOTHING_NEW = {
  kind: 'identical',
  action: 'none',
  restarting: false,
  reasons: { items: [], total: 0 },
};
const UPDATE = {
  kind: 'cold',
  action: 'restart',
  restarting: true,
  reasons: {
    items: [
      { path: 'plugin.yaml', change: 'modified', why: '$why' },
      { path: 'skills/greet/SKILL.md', change: 'modified', why: '$why' },
    ],
    total: 2,
  },
};

const altered = Buffer.from(first.bytes);
altered[40] = (altered[40] ?? 0) ^ 0x01;

const answerToFirst = installed(first, '1.0.0', { replacedVersion: null, reload: COLD_FIRST });

const CONVERSATIONS: Conversation[] = [
  {
    name: 'a bundle whose bytes are not those that were declared: nothing is installed, and the same request may be repeated',
    steps: [
      ...START,
      begin('2', 'vector-altered', first),
      open('2', 1, 0, first.size),
      bytes(1, 0, altered, true),
      window(1, first.size, first.size),
      commit('3', 'vector-altered'),
      notice('reset', { stream: 1, error: error('DIGEST_MISMATCH', 422, 'same') }),
      refuses('3', error('DIGEST_MISMATCH', 422, 'same')),
    ],
  },
  {
    name: 'an install',
    steps: [
      ...START,
      begin('2', 'vector-install', first),
      open('2', 1, 0, first.size),
      bytes(1, 0, first.bytes, true),
      window(1, first.size, first.size),
      commit('3', 'vector-install'),
      says({ id: '3', result: answerToFirst }),
    ],
  },
  {
    name: 'the same operation again: the same answer, without a byte',
    steps: [...START, begin('2', 'vector-install', first), says({ id: '2', result: answerToFirst })],
  },
  {
    name: 'the same operation id with other parameters',
    steps: [...START, begin('2', 'vector-install', second), refuses('2', error('CONFLICT', 409, 'never'))],
  },
  {
    name: 'another operation with the bundle that is live: it is present, without a byte',
    steps: [
      ...START,
      begin('2', 'vector-present', first),
      says({
        id: '2',
        result: installed(first, '1.0.0', { status: 'present', reload: NOTHING_NEW }),
      }),
    ],
  },
  {
    name: 'an upload whose connection breaks: it goes on at the offset that the agent names, on the stream that it names',
    steps: [
      ...START,
      begin('2', 'vector-resume', second),
      open('2', 1, 0, second.size),
      bytes(1, 0, second.bytes.subarray(0, CUT), false),
      window(1, CUT, second.size),
      { client: 'disconnects' },
      ...START,
      begin('2', 'vector-resume', second),
      open('2', 1, CUT, second.size),
      bytes(1, CUT, second.bytes.subarray(CUT), false),
      window(1, second.size, second.size),
      // The last frame may come alone. It has no bytes, so no window answers it.
      bytes(1, second.size, Buffer.alloc(0), true),
      commit('3', 'vector-resume'),
      says({
        id: '3',
        result: installed(second, '2.0.0', {
          installId: '$secondInstallId',
          replaced: '$installId',
          replacedVersion: '1.0.0',
          reload: UPDATE,
        }),
      }),
    ],
  },
  {
    name: 'a version that is expected and not live: no stream is opened',
    steps: [
      ...START,
      begin('2', 'vector-expect', first, { expect: { installId: null } }),
      refuses('2', error('CONFLICT', 409, 'never')),
    ],
  },
  {
    name: 'a commit before the last frame: nothing is changed, the upload goes on',
    steps: [
      ...START,
      begin('2', 'vector-early', first),
      open('2', 1, 0, first.size),
      bytes(1, 0, first.bytes.subarray(0, CUT), false),
      window(1, CUT, first.size),
      commit('3', 'vector-early'),
      refuses('3', error('CONFLICT', 409, 'same')),
      sends({ id: '4', method: 'install.abort', params: { operationId: 'vector-early' } }),
      notice('reset', { stream: 1, error: { ...error('CANCELLED', 499, 'same'), hint: undefined } }),
      says({ id: '4', result: { aborted: true } }),
    ],
  },
  {
    name: 'bytes that leave a gap: the stream fails, and the commit has the same error',
    steps: [
      ...START,
      begin('2', 'vector-gap', first),
      open('2', 1, 0, first.size),
      bytes(1, 1, first.bytes.subarray(1, CUT), false),
      notice('reset', { stream: 1, error: error('INVALID_PARAMS', 400, 'never') }),
      commit('3', 'vector-gap'),
      refuses('3', error('INVALID_PARAMS', 400, 'never')),
    ],
  },
  {
    name: 'more bytes than were declared: the stream fails, and the commit has the same error',
    steps: [
      ...START,
      begin('2', 'vector-more', { size: 1, sha256: first.sha256 }, { force: true }),
      open('2', 1, 0, 1),
      bytes(1, 0, first.bytes.subarray(0, 2), false),
      notice('reset', { stream: 1, error: error('DIGEST_MISMATCH', 422, 'same') }),
      commit('3', 'vector-more'),
      refuses('3', error('DIGEST_MISMATCH', 422, 'same')),
    ],
  },
  {
    name: 'bytes of a stream that the agent has not opened: the connection is closed',
    steps: [...START, bytes(1, 0, first.bytes, true), { agent: 'closes', code: CLOSE.malformed }],
  },
];

const vectorOf = ({ bytes: content, ...bundle }: ExampleBundle): VectorBundle => ({
  ...bundle,
  base64: content.toString('base64'),
});

export const uploadVectors = (): UploadVectors => ({
  about: [
    'Whole uploads, frame by frame. docs/protocol.md explains them.',
    'bundles: the bytes of the two bundles (base64), their size and sha256, their files, and the digest of these (tree).',
    'conversations: played one after another with one agent whose root was empty, over a new connection each. text: a text frame as JSON. The order of its fields does not matter. hex: a binary frame.',
    'A string that begins with "$" stands for a value that differs from run to run. The same name stands for the same value in all conversations, but $title, $detail, $hint, $why, $seq and $installedAt may differ each time. Where a string stands for an object, a list or a number, any value fits.',
    'A client chooses its ids and operation ids. Here they are fixed so that a client can be compared byte for byte.',
    'An agent may send fewer windows than this one did, but the last one that it sends is the same. It may also send other notifications between these frames; none of them needs an answer.',
  ],
  bundles: { first: vectorOf(first), second: vectorOf(second) },
  conversations: CONVERSATIONS,
});
