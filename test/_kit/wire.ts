/** A client that knows nothing and speaks frames by hand, so that it can lie. */
import { request as httpRequest } from 'node:http';

import { onTestFinished } from 'vitest';
import { WebSocket } from 'ws';

import type { Event } from '../../shared/api/events.ts';
import { type FaultData, faultDataSchema } from '../../shared/api/fault.ts';
import { type DataFrame, decodeFrame, encodeFrame } from '../../shared/api/frame.ts';
import type { Hello } from '../../shared/api/session.ts';
import type { Installed } from '../../shared/api/plugin.ts';
import type { Result } from '../../shared/api/methods.ts';
import { CONNECT_PATH, PROTOCOL, readMessage } from '../../shared/api/rpc.ts';
import { TOKEN } from './agent.ts';

type Address = { host: string; port: number };
export type Closing = { code: number; reason: string };
/** What came in, in its order. `params` of an answer is its result or its error. */
export type Received = { kind: 'answer' | 'refusal' | 'notification'; name: string; params: unknown };

/** The refusal of a request: what stood in `error`. */
export class Refusal extends Error {
  readonly rpcCode: number;
  readonly data: FaultData;

  constructor(rpcCode: number, data: FaultData) {
    super(`${data.code}: ${data.detail}`);
    this.rpcCode = rpcCode;
    this.data = data;
  }
}

/** Fields of all answers in one: a test looks only at those that its own answer has. */
type Answer = Result<'session.start'> &
  Omit<Installed, 'status'> & { status: string; stream: number; offset: number; limit: number } & {
    plugins: Result<'plugin.list'>['plugins'];
    aborted: boolean;
  };

export type WireOptions = { token?: string; headers?: Record<string, string>; protocols?: string[] };

export class Wire {
  readonly socket: WebSocket;
  readonly received: Received[] = [];
  readonly frames: DataFrame[] = [];
  readonly closed: Promise<Closing>;
  readonly #checks = new Set<() => void>();
  readonly #refusals = new Map<string, Refusal>();
  #ids = 0;
  #closing: Closing | undefined;

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => {
      socket.on('close', (code, reason) => {
        this.#closing = { code, reason: reason.toString() };
        resolve(this.#closing);
        this.#check();
      });
    });
    socket.on('message', (data: Buffer, isBinary) => {
      if (isBinary) {
        const read = decodeFrame(data);
        if (read.ok) {
          this.frames.push({ ...read.frame, data: Buffer.from(read.frame.data) });
        }
      } else {
        this.#text(data.toString('utf8'));
      }
      this.#check();
    });
  }

  /** Connects. Rejects with the status of a refused upgrade. */
  static async connect(
    { host, port }: Address,
    { token = TOKEN, headers = {}, protocols = [PROTOCOL] }: WireOptions = {},
  ): Promise<Wire> {
    const socket = new WebSocket(`ws://${host}:${port}${CONNECT_PATH}`, protocols, {
      headers: { ...(token === '' ? {} : { authorization: `Bearer ${token}` }), ...headers },
      perMessageDeflate: false,
    });
    const wire = new Wire(socket);
    onTestFinished(() => socket.terminate());
    await new Promise<void>((resolve, reject) => {
      socket.once('open', resolve);
      socket.once('error', reject);
    });
    return wire;
  }

  /** Connects, hears the hello and starts the session. */
  static async start(address: Address, options: WireOptions & { start?: object } = {}): Promise<Wire> {
    const wire = await Wire.connect(address, options);
    await wire.request('session.start', { client: 'test', events: 'all', ...options.start });
    return wire;
  }

  async hello(): Promise<Hello> {
    return (await this.notification('hello')) as Hello;
  }

  text(text: string): void {
    this.socket.send(text);
  }

  /** Sends a request without waiting. @returns its id */
  ask(method: string, params?: unknown): string {
    this.#ids += 1;
    const id = `r${this.#ids}`;
    this.text(JSON.stringify({ jsonrpc: '2.0', id, method, ...(params === undefined ? {} : { params }) }));
    return id;
  }

  /** @throws Refusal */
  async answer(id: string): Promise<unknown> {
    const found = await this.until(() =>
      this.received.find(({ kind, name }) => kind !== 'notification' && name === id),
    );
    const refusal = this.#refusals.get(id);
    if (refusal !== undefined) {
      throw refusal;
    }
    return found.params;
  }

  /** The test says what it expects of the answer. */
  async request<T = Answer>(method: string, params?: unknown): Promise<T> {
    return (await this.answer(this.ask(method, params))) as T;
  }

  /** What a request is refused with. */
  async refusal(method: string, params?: unknown): Promise<Refusal> {
    try {
      await this.request(method, params);
    } catch (error) {
      if (error instanceof Refusal) {
        return error;
      }
      throw error;
    }
    throw new Error(`"${method}" was not refused`);
  }

  frame(stream: number, offset: number, data: Uint8Array, fin = false): void {
    this.socket.send(encodeFrame({ stream, offset, fin, data }), { binary: true });
  }

  window(stream: number, offset: number, limit: number): void {
    this.text(JSON.stringify({ jsonrpc: '2.0', method: 'window', params: { stream, offset, limit } }));
  }

  get events(): Event[] {
    return this.notifications('event') as Event[];
  }

  notifications(method: string): unknown[] {
    return this.received
      .filter(({ kind, name }) => kind === 'notification' && name === method)
      .map(({ params }) => params);
  }

  /** The first notification of that name, once it has come. */
  async notification(method: string): Promise<unknown> {
    return (await this.until(() => this.received.find(({ name }) => name === method))).params;
  }

  /** The first event of a type, and of an operation or of a step where that matters, once it has come. */
  async event(type: string, like: { operationId?: string; step?: string } = {}): Promise<Event> {
    const isLike = (data: unknown): boolean =>
      Object.entries(like).every(([key, value]) => (data as Record<string, unknown>)[key] === value);
    return this.until(() => this.events.find((event) => event.type === type && isLike(event.data)));
  }

  /** Waits for something that comes over the wire. @throws Error if the connection ends first. */
  async until<T>(look: () => T | undefined | false): Promise<T> {
    return new Promise((resolve, reject) => {
      const check = (): void => {
        const found = look();
        if (found !== undefined && found !== false) {
          this.#checks.delete(check);
          resolve(found);
        } else if (this.#closing !== undefined) {
          this.#checks.delete(check);
          reject(new Error(`The connection was closed: ${this.#closing.code} ${this.#closing.reason}`));
        }
      };
      this.#checks.add(check);
      check();
    });
  }

  /** Vanishes without a word, as a cut cable does. */
  async vanish(): Promise<void> {
    this.socket.terminate();
    await this.closed;
  }

  #check(): void {
    for (const check of this.#checks) {
      check();
    }
  }

  #text(text: string): void {
    const read = readMessage(text);
    if (!read.ok) {
      throw new Error(`The agent sent something malformed: ${read.why}`);
    }
    const { message } = read;
    switch (message.kind) {
      case 'notification':
        this.received.push({ kind: 'notification', name: message.method, params: message.params });
        break;
      case 'success':
        this.received.push({ kind: 'answer', name: message.id, params: message.result });
        break;
      case 'failure': {
        const { error } = JSON.parse(text) as { error: { code: number; data: unknown } };
        const id = message.id ?? '';
        this.#refusals.set(id, new Refusal(error.code, faultDataSchema.parse(error.data)));
        this.received.push({ kind: 'refusal', name: id, params: error });
        break;
      }
      case 'request':
        throw new Error('An agent asks nothing');
      default:
        message satisfies never;
    }
  }
}

type HttpQuestion = {
  path?: string;
  method?: string;
  headers?: Record<string, string>;
  upgrade?: boolean;
};
export type HttpAnswer = { status: number; headers: Record<string, unknown>; body: string };

/** Asks over HTTP, with an upgrade unless told otherwise; 101 means that it was granted. */
export async function ask(
  { host, port }: Address,
  { path = CONNECT_PATH, method = 'GET', headers = {}, upgrade = true }: HttpQuestion = {},
): Promise<HttpAnswer> {
  const handshake = {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    'sec-websocket-protocol': PROTOCOL,
  };
  return new Promise((resolve, reject) => {
    const all = { ...(upgrade ? handshake : {}), ...headers };
    const request = httpRequest({ host, port, path, method, headers: all, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const { statusCode = 0, headers: said } = response;
        resolve({ status: statusCode, headers: said, body: Buffer.concat(chunks).toString() });
      });
    });
    request.on('upgrade', (response, socket) => {
      socket.destroy();
      resolve({ status: response.statusCode ?? 0, headers: response.headers, body: '' });
    });
    request.on('error', reject);
    request.end();
  });
}

export const bearer = (token = TOKEN): Record<string, string> => ({ authorization: `Bearer ${token}` });
