/** A session without a socket and without work behind it: the test plays both. */
import { createLog } from '../../agent/log.ts';
import type { Caller } from '../../agent/transport/auth.ts';
import type { Executable, Executed } from '../../agent/service/execute.ts';
import type { Inflow, Link } from '../../agent/service/upload.ts';
import { EventLog } from '../../agent/transport/event-log.ts';
import { type Served, Session, type Socket } from '../../agent/transport/session.ts';
import { type DataFrame, decodeFrame, encodeFrame } from '../../shared/api/frame.ts';
import type { Hello } from '../../shared/api/session.ts';
import type { Params } from '../../shared/api/methods.ts';
import type { PluginInfo } from '../../shared/api/plugin.ts';
import { PROTOCOL } from '../../shared/api/rpc.ts';
import { truncate } from '../../shared/truncate.ts';
import { StreamMemory } from '../../agent/transport/streams.ts';
import { systemClock } from '../../shared/clock.ts';
import { settle } from './engines.ts';

export const HELLO: Hello = {
  agent: '0.0.0-test',
  workspace: null,
  runtime: null,
  bootId: 'boot-1',
  protocol: PROTOCOL,
  capabilities: [],
  limits: {
    frameBytes: 1,
    windowBytes: 1,
    requestsInFlight: 1,
    streamsInFlight: 1,
    packedBytes: 1,
    unpackedBytes: 1,
    entries: 1,
  },
};

export class FakeSocket implements Socket {
  readonly texts: Record<string, unknown>[] = [];
  readonly frames: DataFrame[] = [];
  readonly closings: [code: number, reason: string][] = [];
  buffered = 0;

  sendText(text: string): void {
    this.texts.push(JSON.parse(text) as Record<string, unknown>);
  }

  sendBinary(bytes: Buffer): void {
    const read = decodeFrame(bytes);
    if (!read.ok) {
      throw new Error(read.why);
    }
    this.frames.push(read.frame);
  }

  close(code: number, reason: string): void {
    this.closings.push([code, reason]);
  }
}

export class FakeInflow implements Inflow {
  readonly taken: [offset: number, length: number, fin: boolean][] = [];
  readonly detached: Link[] = [];

  accept(offset: number, data: Uint8Array, fin: boolean): void {
    this.taken.push([offset, data.length, fin]);
  }

  detach(stream: Link): void {
    this.detached.push(stream);
  }
}

/** How a service answers, by method; what is left out fails the test. */
type Handler<M extends Executable> = (params: Params<M>, by: string) => Promise<Executed<M>>;
type Answers = { [M in Executable]?: Handler<M> } & Partial<Pick<Served['service'], 'begin' | 'warm'>>;

/** What a session serves, with a service that does nothing but what the test says. */
export function makeServed({ begin, warm, ...answers }: Answers = {}): Served {
  const nobody = (): Promise<never> => Promise.reject(new Error('The test did not expect this'));
  const all: Answers = { 'plugin.list': listing([]), ...answers };
  return {
    hello: HELLO,
    memory: new StreamMemory(),
    clock: systemClock,
    answered: () => undefined,
    service: {
      begin: begin ?? nobody,
      warm: warm ?? (() => undefined),
      execute: async <M extends Executable>(method: M, params: Params<M>, by: string) => {
        const answer: Answers[M] = all[method];
        return answer === undefined ? nobody() : (answer as Handler<M>)(params, by);
      },
    },
  };
}

/** Answers a list as a thread does. */
export const listing =
  (plugins: readonly PluginInfo[]) =>
  ({ all }: Params<'plugin.list'>): Promise<Executed<'plugin.list'>> =>
    Promise.resolve({
      answer: { plugins: truncate(plugins) },
      lines: all === true && truncate(plugins).items.length < plugins.length ? plugins : undefined,
    });

export const pluginsOf = (count: number): PluginInfo[] =>
  Array.from({ length: count }, (_, i) => ({
    name: `plugin-${String(i).padStart(4, '0')}`,
    status: 'admitted',
    description: 'Wörter mit Umlauten 🔒',
  }));

/** A client's end of a session. */
export class Talk {
  readonly socket = new FakeSocket();
  readonly eventLog = new EventLog('boot-1', Date.now);
  readonly session: Session;
  #ids = 0;

  constructor(served: Served, caller: Caller = { scope: 'write', label: 'test' }) {
    this.session = new Session(this.socket, caller, served, this.eventLog, createLog('silent'));
  }

  /** A session that has been started. */
  static async start(served: Served, caller?: Caller): Promise<Talk> {
    const talk = new Talk(served, caller);
    await talk.ask('session.start', { client: 'test', events: 'all' });
    return talk;
  }

  /** Sends a request and lets it be worked off. @returns the answer, if there is one already. */
  async ask(method: string, params?: unknown): Promise<Record<string, unknown> | undefined> {
    const id = this.send(method, params);
    await settle();
    return this.answer(id);
  }

  send(method: string, params?: unknown): string {
    this.#ids += 1;
    const id = `r${this.#ids}`;
    this.session.text(JSON.stringify({ jsonrpc: '2.0', id, method, params }));
    return id;
  }

  answer(id: string): Record<string, unknown> | undefined {
    return this.socket.texts.find((text) => text['id'] === id);
  }

  frame(stream: number, offset: number, length: number, fin = false): void {
    this.session.binary(encodeFrame({ stream, offset, fin, data: new Uint8Array(length) }));
  }

  window(stream: number, limit: number): void {
    const params = { stream, offset: 0, limit };
    this.session.text(JSON.stringify({ jsonrpc: '2.0', method: 'window', params }));
  }

  cancel(stream: number): void {
    this.session.text(JSON.stringify({ jsonrpc: '2.0', method: 'cancel', params: { stream } }));
  }

  /** The codes with which the agent closed. */
  get closed(): number[] {
    return this.socket.closings.map(([code]) => code);
  }
}
