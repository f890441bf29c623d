/**
 * One connection: passes frames to methods of the service, and sends answers and events. It has no access to disk or
 * threads.
 */
import { downloadPath, externalFault, isRefusedByExternal } from '../../shared/api/external.ts';
import { Fault, type FaultCode, toFault } from '../../shared/api/fault.ts';
import { decodeFrame } from '../../shared/api/frame.ts';
import {
  type MethodName,
  type Params,
  type Result,
  isMethod,
  isRead,
  methods,
  readParams,
} from '../../shared/api/methods.ts';
import { type Reset, type Hello, cancelSchema, windowSchema } from '../../shared/api/session.ts';
import {
  CLOSE,
  RPC_METHOD_NOT_FOUND,
  WIRE,
  readMessage,
  writeFailure,
  writeNotification,
  writeSuccess,
} from '../../shared/api/rpc.ts';
import type { Clock } from '../../shared/clock.ts';
import { isExternalRuntime } from '../../shared/format/manifest.ts';
import type { Log } from '../log.ts';
import type { Caller } from './auth.ts';
import type { Streamed } from '../service/execute.ts';
import type { Source } from '../service/exports.ts';
import type { Service } from '../service/service.ts';
import type { Inflow, Link } from '../service/upload.ts';
import { type EventLog, startFeed } from './event-log.ts';
import { OutgoingStreams, type StreamMemory } from './streams.ts';

/** The part of a socket that a session uses. */
export type Socket = {
  sendText(text: string): void;
  /** @param flushed called when the frame was given to the system, or the socket is gone. */
  sendBinary(frame: Buffer, flushed?: () => void): void;
  close(code: number, reason: string): void;
  /** Bytes that the other side has not read. */
  readonly buffered: number;
};

/** A client that leaves more bytes than this unread is closed instead of waited for. */
const BUFFERED_MAX = 16 * 1024 * 1024;

/** The parts of the agent that a session uses. */
export type Served = {
  hello: Hello;
  service: Pick<Service, 'execute' | 'begin' | 'warm'>;
  /** Shared by all sessions of an agent. */
  memory: StreamMemory;
  clock: Clock;
  /** Hears of each answer: `none`, or the code of its fault. */
  answered: (method: MethodName, code: FaultCode | 'none') => void;
};

export class Session {
  readonly #socket: Socket;
  readonly #caller: Caller;
  readonly #hello: Hello;
  readonly #service: Served['service'];
  readonly #answered: Served['answered'];
  readonly #eventLog: EventLog;
  readonly #log: Log;
  readonly #inflows = new Map<number, { inflow: Inflow; stream: Link }>();
  readonly #outgoing: OutgoingStreams;
  #streams = 0;
  #inFlight = 0;
  #started = false;
  #closed = false;
  #stopFeed: (() => void) | undefined;

  constructor(
    socket: Socket,
    caller: Caller,
    { hello, service, memory, clock, answered }: Served,
    eventLog: EventLog,
    log: Log,
  ) {
    this.#socket = socket;
    this.#caller = caller;
    this.#hello = hello;
    this.#service = service;
    this.#answered = answered;
    this.#outgoing = new OutgoingStreams({
      memory,
      clock,
      send: (frame, flushed) => {
        if (this.#canSend()) {
          this.#socket.sendBinary(frame, flushed);
        }
      },
      reset: (stream, fault) => this.#reset(stream, fault),
    });
    this.#eventLog = eventLog;
    this.#log = log;
    this.#notify('hello', hello);
  }

  /** Whether the client has started the session. */
  get started(): boolean {
    return this.#started;
  }

  /** Handles a text frame. */
  text(frame: string): void {
    const read = readMessage(frame);
    if (!read.ok) {
      this.#close(CLOSE.malformed, read.why);
      return;
    }
    const { message } = read;
    if (message.kind === 'request') {
      this.#request(message.id, message.method, message.params);
    } else if (message.kind === 'notification' && message.method === 'window') {
      this.#window(message.params);
    } else if (message.kind === 'notification' && message.method === 'cancel') {
      this.#cancel(message.params);
    } else {
      this.#close(CLOSE.malformed, 'a client sends only requests, window and cancel');
    }
  }

  /** Handles a binary frame. Frames of a stream that has ended may still arrive; they are dropped. */
  binary(bytes: Buffer): void {
    const read = decodeFrame(bytes);
    if (!read.ok) {
      this.#close(CLOSE.malformed, read.why);
      return;
    }
    const { stream, offset, data, fin } = read.frame;
    if (stream < 1 || stream > this.#streams) {
      this.#close(CLOSE.malformed, `there is no stream ${stream}`);
      return;
    }
    this.#inflows.get(stream)?.inflow.accept(offset, data, fin);
  }

  /** The connection is gone. Its uploads wait for another one. */
  ended(): void {
    this.#closed = true;
    this.#stopFeed?.();
    for (const { inflow, stream } of this.#inflows.values()) {
      inflow.detach(stream);
    }
    this.#inflows.clear();
    this.#outgoing.endAll();
  }

  #request(id: string, method: string, params: unknown): void {
    if (!isMethod(method)) {
      const fault = new Fault('NOT_FOUND', `This agent has no method "${method.slice(0, 64)}"`, {
        hint: `It has ${Object.keys(methods).join(', ')}`,
      });
      this.#send(writeFailure(id, fault, RPC_METHOD_NOT_FOUND));
      return;
    }
    if (this.#inFlight >= WIRE.requestsInFlight) {
      const fault = new Fault('RATE_LIMITED', `${WIRE.requestsInFlight} requests are in flight already`);
      this.#answered(method, fault.code);
      this.#send(writeFailure(id, fault));
      return;
    }
    this.#inFlight += 1;
    this.#run(method, params)
      .then(
        (result) => {
          this.#answered(method, 'none');
          this.#send(answerOf(id, method, result));
        },
        (error: unknown) => this.#refuse(id, method, toFault(error, `"${method}"`)),
      )
      .finally(() => {
        this.#inFlight -= 1;
      })
      // Only a socket that has just closed can throw here.
      .catch((error: unknown) => this.#log.debug({ err: error }, 'answer not sent'));
  }

  #refuse(id: string, method: MethodName, fault: Fault): void {
    this.#answered(method, fault.code);
    const level = fault.status >= 500 ? 'error' : 'info';
    this.#log[level]({ method, code: fault.code, detail: fault.message }, 'request refused');
    this.#send(writeFailure(id, fault));
  }

  async #run(method: MethodName, params: unknown): Promise<unknown> {
    if (!this.#started && method !== 'session.start') {
      throw new Fault('INVALID_PARAMS', `"${method}" came before session.start`, {
        hint: 'Send session.start first',
      });
    }
    if (!isRead(method, params) && this.#caller.scope !== 'write') {
      throw new Fault(
        'FORBIDDEN',
        `The token "${this.#caller.label}" may only read, and "${method}" makes changes`,
        {
          hint: 'Use a token of scope write',
        },
      );
    }
    this.#refuseExternally(method, params);
    if (method === 'session.start') {
      return this.#start(readParams(method, params));
    }
    if (method === 'install.begin') {
      return this.#begin(readParams(method, params));
    }
    // An export takes a thread, so it is refused before that.
    if (method === 'plugin.export') {
      this.#checkStreams();
    }
    const executed: unknown = await this.#service.execute(
      method,
      readParams(method, params),
      this.#caller.label,
    );
    return methods[method].streams ? this.#streamed(executed as Streamed<object>) : executed;
  }

  /** An external workspace lets nobody change a plugin from outside. Its own commands work on the root, or pull. */
  #refuseExternally(method: MethodName, params: unknown): void {
    const { workspace, runtime } = this.#hello;
    if (isExternalRuntime(runtime ?? undefined) && isRefusedByExternal(method)) {
      const read = readParams(method, params);
      const plugin = 'plugin' in read ? read.plugin : undefined;
      throw externalFault(downloadPath(workspace ?? undefined, plugin ?? ':name'));
    }
  }

  /** Opens a stream for the rest of an answer, if there is one. */
  #streamed({ answer, lines }: Streamed<object>): object {
    return lines === undefined ? answer : { ...answer, stream: this.#rest(lines) };
  }

  #rest(lines: NonNullable<Streamed<object>['lines']>): number {
    if (lines instanceof Uint8Array) {
      return this.#openOutgoing(Buffer.from(lines.buffer, lines.byteOffset, lines.byteLength));
    }
    return 'pull' in lines ? this.#tap(lines) : this.#pour(lines);
  }

  /** Opens a stream with the bytes of a source. @returns its number. */
  #tap(source: Source): number {
    try {
      return this.#openOutgoing(source);
    } catch (error) {
      source.cancel();
      throw error;
    }
  }

  async #start({ client, events, resume }: Params<'session.start'>): Promise<Result<'session.start'>> {
    if (this.#started) {
      throw new Fault('CONFLICT', 'The session has been started already');
    }
    this.#started = true;
    try {
      return await this.#startFeed({ client, events, resume });
    } catch (error) {
      // After a failed start the client can try again.
      this.#started = false;
      throw error;
    }
  }

  async #startFeed({ client, events, resume }: Params<'session.start'>): Promise<Result<'session.start'>> {
    this.#log.info({ client, events, resume }, 'session started');
    if (this.#caller.scope === 'write') {
      this.#service.warm();
    }
    const feed = await startFeed(
      this.#eventLog,
      async () => (await this.#service.execute('plugin.list', {}, this.#caller.label)).answer.plugins,
      { events, resume },
      (event) => this.#notify('event', event),
    );
    this.#stopFeed = feed.stop;
    if (this.#closed) {
      feed.stop();
    }
    return { at: this.#eventLog.at, resumed: feed.resumed };
  }

  /** Opens a stream with values as JSON lines. @returns its number. */
  #pour(values: readonly object[]): number {
    this.#checkStreams();
    return this.#openOutgoing(
      Buffer.from(values.map((value) => `${JSON.stringify(value)}\n`).join(''), 'utf8'),
    );
  }

  #openOutgoing(content: Buffer | Source): number {
    this.#checkStreams();
    if (this.#closed) {
      throw new Fault('CANCELLED', 'The connection is gone');
    }
    this.#outgoing.open(this.#streams + 1, content);
    this.#streams += 1;
    return this.#streams;
  }

  /** Refuses at once if all streams are in use, before waiting for a thread. */
  async #begin(params: Params<'install.begin'>): Promise<Result<'install.begin'>> {
    this.#checkStreams();
    return this.#service.begin(params, this.#caller.label, (inflow) => this.#openInflow(inflow));
  }

  #openInflow(inflow: Inflow): Link {
    this.#checkStreams();
    this.#streams += 1;
    const number = this.#streams;
    const stream: Link = {
      stream: number,
      grant: (offset, limit) => this.#notify('window', { stream: number, offset, limit }),
      drop: (fault) => {
        this.#inflows.delete(number);
        if (fault !== undefined) {
          this.#reset(number, fault);
        }
      },
    };
    if (this.#closed) {
      // The client left while its upload was being opened. The upload waits for another connection.
      queueMicrotask(() => inflow.detach(stream));
    } else {
      this.#inflows.set(number, { inflow, stream });
    }
    return stream;
  }

  #checkStreams(): void {
    if (this.#inflows.size + this.#outgoing.size >= WIRE.streamsInFlight) {
      throw new Fault('RATE_LIMITED', `${WIRE.streamsInFlight} streams are open on this connection already`, {
        hint: 'Read or cancel one that is open, or open another connection',
      });
    }
  }

  #window(params: unknown): void {
    const parsed = windowSchema.safeParse(params);
    if (!parsed.success) {
      this.#close(CLOSE.malformed, 'a window is not valid');
      return;
    }
    const { stream, limit } = parsed.data;
    this.#outgoing.grant(stream, limit);
  }

  /** The reader does not need the rest of a stream. A stream of the other direction, or one that has ended, is ignored. */
  #cancel(params: unknown): void {
    const parsed = cancelSchema.safeParse(params);
    if (!parsed.success) {
      this.#close(CLOSE.malformed, 'a cancel is not valid');
      return;
    }
    this.#outgoing.end(parsed.data.stream);
  }

  #reset(stream: number, fault: Fault): void {
    this.#notify('reset', { stream, error: fault.toData() } satisfies Reset);
  }

  #notify(method: string, params: unknown): void {
    this.#send(writeNotification(method, params));
  }

  #send(text: string): void {
    if (this.#canSend()) {
      this.#socket.sendText(text);
    }
  }

  #canSend(): boolean {
    if (!this.#closed && this.#socket.buffered > BUFFERED_MAX) {
      this.#close(CLOSE.policy, 'the client reads too slowly');
    }
    return !this.#closed;
  }

  #close(code: number, reason: string): void {
    this.#closed = true;
    this.#log.info({ code, reason }, 'closing the connection');
    this.#socket.close(code, reason);
  }
}

/** Every list in an answer is cut, so it fits a frame. If it does not, the request fails and the connection stays. */
function answerOf(id: string, method: string, result: unknown): string {
  const text = writeSuccess(id, result);
  const bytes = Buffer.byteLength(text);
  if (bytes <= WIRE.frameBytes) {
    return text;
  }
  const why = `The answer to "${method}" has ${bytes} bytes, more than a frame holds (${WIRE.frameBytes})`;
  return writeFailure(id, new Fault('INTERNAL', why, { executed: 'yes', retry: 'never' }));
}
