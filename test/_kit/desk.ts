/** A session without a socket and without work behind it: the test plays both. */
import { createLog } from '../../agent/log.ts';
import type { Caller } from '../../agent/transport/auth.ts';
import type { Desk, Inflow, Stream } from '../../agent/transport/desk.ts';
import { EventLog } from '../../agent/transport/event-log.ts';
import { Session, type Socket } from '../../agent/transport/session.ts';
import { type DataFrame, decodeFrame, encodeFrame } from '../../shared/api/frame.ts';
import { Fault } from '../../shared/api/fault.ts';
import type { Hello, PluginInfo } from '../../shared/api/methods.ts';
import { PROTOCOL } from '../../shared/api/rpc.ts';
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
  readonly detached: Stream[] = [];

  accept(offset: number, data: Uint8Array, fin: boolean): void {
    this.taken.push([offset, data.length, fin]);
  }

  detach(stream: Stream): void {
    this.detached.push(stream);
  }
}

/** A desk that does nothing but what the test replaces. */
export function makeDesk(changes: Partial<Desk> = {}): Desk {
  const nobody = (): Promise<never> => Promise.reject(new Error('The test did not expect this'));
  return {
    hello: () => HELLO,
    begin: nobody,
    commit: nobody,
    abort: () => false,
    list: () => Promise.resolve([]),
    get: (name) => Promise.reject(new Fault('NOT_FOUND', `There is no plugin "${name}" here`)),
    verify: nobody,
    classify: nobody,
    basis: nobody,
    restarted: nobody,
    rollback: nobody,
    uninstall: nobody,
    recover: nobody,
    sweep: nobody,
    status: nobody,
    expectWork: () => undefined,
    ...changes,
  };
}

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

  constructor(desk: Desk, caller: Caller = { scope: 'write', label: 'test' }) {
    this.session = new Session(this.socket, caller, desk, this.eventLog, createLog('silent'));
  }

  /** A session that has been started. */
  static async start(desk: Desk, caller?: Caller): Promise<Talk> {
    const talk = new Talk(desk, caller);
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

  /** The codes with which the agent closed. */
  get closed(): number[] {
    return this.socket.closings.map(([code]) => code);
  }
}
