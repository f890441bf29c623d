/**
 * One WebSocket that speaks `airlock.v1`: sends frames, and passes received frames to their requests and streams. Private
 * to this folder.
 */
import { WebSocket } from 'ws';

import { type Event, eventSchema } from '../shared/api/events.ts';
import { Fault } from '../shared/api/fault.ts';
import type { Clock } from '../shared/clock.ts';
import { type DataFrame, decodeFrame, encodeFrame } from '../shared/api/frame.ts';
import { type Hello, helloSchema, resetSchema, windowSchema } from '../shared/api/session.ts';
import {
  CLOSE,
  type Message,
  PROTOCOL,
  RPC_METHOD_NOT_FOUND,
  WIRE,
  readMessage,
  writeFailure,
  writeNotification,
} from '../shared/api/rpc.ts';
import { IncomingStream } from './incoming.ts';
import { Liveness } from './liveness.ts';
import { SendWindow } from './outgoing.ts';
import { dismissal, lost, noAgent } from './reach.ts';
import { Requests } from './requests.ts';

/** How a connection ended: the code and reason of the close frame; 1006 if there was none. */
export type Closed = { code: number; reason: string };

type LinkOptions = {
  label: string;
  /** Over the loopback or a Unix socket. */
  isLocal: boolean;
  clock: Clock;
  deadMillis: number;
  onEvent: (event: Event) => void;
};

/** A sender waits while more bytes than this are on their way to the socket. */
const HIGH_WATER_BYTES = 256 * 1024;
/** So many resets of streams that nobody reads or writes yet are kept. */
const RESETS_KEPT = 2 * WIRE.streamsInFlight;
/** An agent that asks, which none does, and leaves more bytes than this unread is cut off. */
const BUFFERED_MAX = 1024 * 1024;
/** How long the other side may take to answer a close. */
const CLOSE_MILLIS = 2000;

/** The constructor sets the listeners, because the agent sends its hello right after the upgrade. */
export class Link {
  /** Resolves when the connection is gone, whichever side ended it; never rejects. */
  readonly closed: Promise<Closed>;
  /** @throws Fault if the connection ends before a valid hello of the agent. */
  readonly hello: Promise<Hello>;
  readonly #socket: WebSocket;
  readonly #options: LinkOptions;
  readonly #requests: Requests;
  readonly #liveness: Liveness;
  readonly #incoming = new Map<number, IncomingStream>();
  readonly #outgoing = new Map<number, SendWindow>();
  readonly #resets = new Map<number, Fault>();
  /** The largest number of a stream so far. */
  #newest = 0;
  #greet: { resolve(hello: Hello): void; reject(fault: Fault): void };
  #broken: Fault | undefined;
  #end: Closed | undefined;

  /** @internal */
  constructor(socket: WebSocket, options: LinkOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#requests = new Requests(
      (text) => socket.send(text),
      () => socket.readyState === WebSocket.OPEN,
    );
    this.#greet = { resolve: () => {}, reject: () => {} };
    this.hello = new Promise((resolve, reject) => {
      this.#greet = { resolve, reject };
    });
    this.hello.catch(() => {});
    this.#liveness = new Liveness(options.clock, options.deadMillis, () => {
      this.#fail(`the agent was silent for ${Math.round(options.deadMillis / 1000)} s`);
    });
    socket.on('ping', () => this.#liveness.heard());
    socket.on('message', (data: Buffer, isBinary) => {
      this.#liveness.heard();
      if (this.#broken !== undefined) return;
      if (isBinary) this.#onFrame(data);
      else this.#onText(data.toString('utf8'));
    });
    socket.on('error', (error) => this.#fail(error.message));
    this.closed = new Promise((resolve) => {
      socket.on('close', (code, reason) => {
        this.#end = { code, reason: reason.toString('utf8') };
        const said = this.#end.reason === '' ? '' : `, "${this.#end.reason}"`;
        this.#fail(`it was closed (${code}${said})`);
        resolve(this.#end);
      });
    });
  }

  /** Whether the connection stands, as far as this side knows. */
  get isOpen(): boolean {
    return this.#broken === undefined && this.#socket.readyState === WebSocket.OPEN;
  }

  /** Whether bytes cost next to nothing, as far as this side can tell. */
  get isLocal(): boolean {
    return this.#options.isLocal;
  }

  /** Why the agent ended the connection, if its code says so. */
  get dismissal(): Fault | undefined {
    return dismissal(this.#options.label, this.#end?.code);
  }

  /** Resolves when the connection is gone, with the reason; never rejects. */
  async lost(): Promise<Fault> {
    await this.closed;
    return this.dismissal ?? this.#break('it was closed');
  }

  request(method: string, params: unknown, signal: AbortSignal | undefined): Promise<unknown> {
    return this.#requests.ask(method, params, signal);
  }

  /** Resolves when there is room for another frame. @throws Fault UNREACHABLE. */
  async send(frame: DataFrame): Promise<void> {
    if (this.#broken !== undefined) throw this.#broken;
    const bytes = encodeFrame(frame);
    if (this.#socket.bufferedAmount < HIGH_WATER_BYTES) {
      this.#socket.send(bytes);
      return;
    }
    await new Promise<void>((resolve, reject) => {
      this.#socket.send(bytes, (error) => {
        if (error === undefined || error === null) resolve();
        else reject(this.#broken ?? this.#break(error.message));
      });
    });
  }

  /** The credit of a stream to the agent, until {@link Link.release}. */
  outgoing(stream: number, limit: number): SendWindow {
    const outgoing = this.#sendWindow(stream) ?? new SendWindow(0);
    this.#newest = Math.max(this.#newest, stream);
    outgoing.grant({ stream, offset: 0, limit });
    this.#outgoing.set(stream, outgoing);
    this.#failIfOver(stream, outgoing);
    return outgoing;
  }

  release(stream: number): void {
    this.#outgoing.delete(stream);
  }

  /** The bytes of a stream from the agent. Credit is given from the first read on, until the reader stops. */
  async *receive(stream: number): AsyncGenerator<Uint8Array, void, undefined> {
    const incoming = new IncomingStream(stream, (window) => {
      if (this.#broken === undefined) this.#socket.send(writeNotification('window', window));
    });
    this.#incoming.set(stream, incoming);
    this.#failIfOver(stream, incoming);
    try {
      yield* incoming.read();
    } finally {
      this.#incoming.delete(stream);
      // The agent would keep the rest of a stream whose reader has stopped early.
      if (!incoming.ended && this.#broken === undefined) {
        this.#socket.send(writeNotification('cancel', { stream }));
      }
    }
  }

  /** Ends the connection. Unanswered requests fail. */
  close(code: number, reason: string): Promise<Closed> {
    this.#socket.close(code, reason);
    const cancel = this.#options.clock.after(CLOSE_MILLIS, () => this.#socket.terminate());
    return this.closed.finally(cancel);
  }

  #onText(text: string): void {
    const read = readMessage(text);
    if (!read.ok) return this.#fail(read.why, CLOSE.malformed);
    const { message } = read;
    switch (message.kind) {
      case 'success':
        return this.#requests.answer(message.id, { result: message.result });
      case 'failure':
        if (message.id === null) return this.#fail(message.fault.message);
        return this.#requests.answer(message.id, { fault: message.fault });
      case 'notification':
        return this.#onNotification(message);
      case 'request': {
        const fault = new Fault('NOT_FOUND', `A client answers no requests, such as "${message.method}"`);
        // Answers to an agent that asks without end and reads nothing would pile up here.
        if (this.#socket.bufferedAmount > BUFFERED_MAX) return this.#fail('the agent reads nothing');
        return this.#socket.send(writeFailure(message.id, fault, RPC_METHOD_NOT_FOUND));
      }
      default:
        return message satisfies never;
    }
  }

  #onNotification({ method, params }: Message & { kind: 'notification' }): void {
    switch (method) {
      case 'hello': {
        const hello = helloSchema.safeParse(params);
        if (hello.success) return this.#greet.resolve(hello.data);
        this.#greet.reject(noAgent(this.#options.label, `its hello is not one of ${PROTOCOL}`));
        return this.#fail('the hello of the agent cannot be read', CLOSE.malformed);
      }
      case 'window': {
        const window = windowSchema.safeParse(params);
        if (!window.success) return this.#fail('a window of the agent cannot be read', CLOSE.malformed);
        return this.#sendWindow(window.data.stream)?.grant(window.data);
      }
      case 'reset': {
        const reset = resetSchema.safeParse(params);
        if (!reset.success) return this.#fail('a reset of the agent cannot be read', CLOSE.malformed);
        return this.#reset(reset.data.stream, Fault.from(reset.data.error));
      }
      case 'event': {
        const event = eventSchema.safeParse(params);
        if (!event.success) return this.#fail('an event of the agent cannot be read', CLOSE.malformed);
        return this.#options.onEvent(event.data);
      }
      default:
        // A newer agent may send notifications that this client does not know.
        return;
    }
  }

  /** A reset may come before the reader or the sender of a stream has begun, so it is kept for them. */
  #reset(stream: number, fault: Fault): void {
    const known = this.#incoming.get(stream) ?? this.#outgoing.get(stream);
    if (known !== undefined) return known.fail(fault);
    this.#resets.set(stream, fault);
    const [oldest] = this.#resets.keys();
    if (this.#resets.size > RESETS_KEPT && oldest !== undefined) this.#resets.delete(oldest);
  }

  /** Fails a stream that begins now and cannot go on. */
  #failIfOver(number: number, stream: { fail(fault: Fault): void }): void {
    const fault = this.#broken ?? this.#resets.get(number);
    this.#resets.delete(number);
    if (fault !== undefined) stream.fail(fault);
  }

  /**
   * The credit of a stream. The first window may come right behind the answer that opens a stream, before its sender has
   * seen that answer. So the credit of a stream that is newer than all others is kept for its sender.
   */
  #sendWindow(stream: number): SendWindow | undefined {
    const known = this.#outgoing.get(stream);
    if (known !== undefined || stream <= this.#newest || this.#outgoing.size >= WIRE.streamsInFlight) {
      return known;
    }
    this.#newest = stream;
    const early = new SendWindow(0);
    this.#outgoing.set(stream, early);
    return early;
  }

  #onFrame(bytes: Buffer): void {
    const read = decodeFrame(bytes);
    if (!read.ok) return this.#fail(read.why, CLOSE.malformed);
    // Bytes may still arrive for a stream whose reader has stopped.
    this.#incoming.get(read.frame.stream)?.take(read.frame);
  }

  #break(why: string): Fault {
    this.#broken ??= lost(this.#options.label, why);
    return this.#broken;
  }

  #fail(why: string, code?: number): void {
    if (this.#broken !== undefined) return;
    const fault = this.#break(why);
    this.#liveness.stop();
    this.#greet.reject(fault);
    this.#requests.fail(fault);
    for (const stream of [...this.#incoming.values(), ...this.#outgoing.values()]) stream.fail(fault);
    if (code !== undefined && this.#socket.readyState === WebSocket.OPEN) {
      void this.close(code, why.slice(0, 100));
    } else {
      this.#socket.terminate();
    }
  }
}
