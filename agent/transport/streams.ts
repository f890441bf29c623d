/** Streams from the agent to a client, under the client's credit. */
import { Fault } from '../../shared/api/fault.ts';
import { FRAME_DATA_BYTES, encodeFrame } from '../../shared/api/frame.ts';
import type { Clock } from '../../shared/clock.ts';

/** Sends as far as the receiver's window allows, and never queues frames beyond it. */
export class OutgoingStream {
  readonly #stream: number;
  readonly #content: Buffer;
  readonly #send: (frame: Buffer) => void;
  #sent = 0;
  #ended = false;

  constructor(stream: number, content: Buffer, send: (frame: Buffer) => void) {
    this.#stream = stream;
    this.#content = content;
    this.#send = send;
  }

  /** The bytes that are kept until the stream ends. */
  get bytes(): number {
    return this.#content.length;
  }

  /** Bytes that have been sent. */
  get sent(): number {
    return this.#sent;
  }

  /** The receiver accepts bytes before `limit`. @returns whether the stream has ended. */
  grant(limit: number): boolean {
    const end = Math.min(limit, this.#content.length);
    while (!this.#ended && (this.#sent < end || this.#content.length === 0)) {
      const offset = this.#sent;
      const data = this.#content.subarray(offset, Math.min(end, offset + FRAME_DATA_BYTES));
      this.#sent += data.length;
      this.#ended = this.#sent === this.#content.length;
      this.#send(encodeFrame({ stream: this.#stream, offset, fin: this.#ended, data }));
    }
    return this.#ended;
  }
}

/** The most bytes that all streams of an agent keep for their readers. */
const KEPT_MAX_BYTES = 64 * 1024 * 1024;
/** A stream without new credit for so long (milliseconds) is ended. */
const STALL_MILLIS = 30_000;

/** Limits the memory that the streams of all connections keep for their readers. */
export class StreamMemory {
  readonly #max: number;
  #kept = 0;

  /** @param max bytes. */
  constructor(max = KEPT_MAX_BYTES) {
    this.#max = max;
  }

  get kept(): number {
    return this.#kept;
  }

  /** @throws Fault RATE_LIMITED if there is no room for so many bytes. */
  take(bytes: number): void {
    // A single stream is always accepted, however long its list is.
    if (this.#kept > 0 && this.#kept + bytes > this.#max) {
      throw new Fault('RATE_LIMITED', 'Other streams use all the memory that this agent has for streams', {
        hint: 'Read or cancel the streams that are open, or ask again in a moment',
      });
    }
    this.#kept += bytes;
  }

  give(bytes: number): void {
    this.#kept -= bytes;
  }
}

export type OutgoingStreamsOptions = {
  memory: StreamMemory;
  clock: Clock;
  send: (frame: Buffer) => void;
  /** Tells the reader that a stream has failed before its last byte. */
  reset: (stream: number, fault: Fault) => void;
};

/** The streams that one connection reads. */
export class OutgoingStreams {
  readonly #options: OutgoingStreamsOptions;
  readonly #open = new Map<number, { stream: OutgoingStream; stopTimer: () => void }>();

  constructor(options: OutgoingStreamsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Opens a stream with these bytes. @throws Fault RATE_LIMITED */
  open(number: number, content: Buffer): void {
    const { memory, send } = this.#options;
    memory.take(content.length);
    const stream = new OutgoingStream(number, content, send);
    this.#open.set(number, { stream, stopTimer: this.#stall(number) });
  }

  /** The reader accepts bytes before `limit`. */
  grant(number: number, limit: number): void {
    const open = this.#open.get(number);
    if (open === undefined) {
      return;
    }
    const before = open.stream.sent;
    if (open.stream.grant(limit)) {
      this.end(number);
    } else if (open.stream.sent > before) {
      // A window without new credit does not count: repeated, it would keep the stream for ever.
      open.stopTimer();
      open.stopTimer = this.#stall(number);
    }
  }

  /** The stream has no reader any more, so its memory is freed. */
  end(number: number): void {
    const open = this.#open.get(number);
    if (open !== undefined) {
      this.#open.delete(number);
      open.stopTimer();
      this.#options.memory.give(open.stream.bytes);
    }
  }

  endAll(): void {
    for (const number of this.#open.keys()) {
      this.end(number);
    }
  }

  #stall(number: number): () => void {
    return this.#options.clock.after(STALL_MILLIS, () => {
      this.end(number);
      const why = `The reader of the stream gave no credit for ${STALL_MILLIS / 1000} s`;
      const hint = 'Ask again, and give credit while you read; cancel a stream that you do not need';
      this.#options.reset(number, new Fault('DEADLINE', why, { hint }));
    });
  }
}
