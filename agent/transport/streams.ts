/** Streams from the agent to a client, under the client's credit. */
import { Fault, toFault } from '../../shared/api/fault.ts';
import { FRAME_DATA_BYTES, encodeFrame } from '../../shared/api/frame.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Piece, Source } from '../service/exports.ts';

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

/** Sends a frame. @param flushed called when the socket has given it to the system, or is gone. */
type Send = (frame: Buffer, flushed?: () => void) => void;

/**
 * Sends what a source gives. The next piece is read when the reader has room for it and the socket has sent the one
 * before, so one piece at most is in memory.
 */
export class SourceStream {
  readonly #stream: number;
  readonly #source: Source;
  readonly #send: Send;
  readonly #ended: (fault: Fault | undefined) => void;
  #piece: Piece = { bytes: new Uint8Array(0), isLast: false };
  #sent = 0;
  #limit = 0;
  #isReading = false;
  #isFlushing = false;
  #isOver = false;

  /** @param ended called once, with the fault if the stream has failed. */
  constructor(stream: number, source: Source, send: Send, ended: (fault: Fault | undefined) => void) {
    this.#stream = stream;
    this.#source = source;
    this.#send = send;
    this.#ended = ended;
    source.lost.then(
      (fault) => this.#end(fault),
      () => undefined,
    );
  }

  get sent(): number {
    return this.#sent;
  }

  /** It waits for its reader, and not for the disk. */
  get awaitsReader(): boolean {
    return !this.#isReading;
  }

  /** The receiver accepts bytes before `limit`. */
  grant(limit: number): void {
    this.#limit = Math.max(this.#limit, limit);
    this.#pump();
  }

  /** Nobody reads the rest. */
  stop(): void {
    if (!this.#isOver) {
      this.#isOver = true;
      this.#source.cancel();
    }
  }

  #end(fault: Fault | undefined): void {
    if (!this.#isOver) {
      this.#isOver = true;
      this.#ended(fault);
    }
  }

  #pump(): void {
    while (!this.#isOver && !this.#isReading && !this.#isFlushing) {
      const { bytes, isLast } = this.#piece;
      if (bytes.length === 0 && !isLast) {
        if (this.#sent >= this.#limit) return;
        this.#read();
      } else if (bytes.length > 0 && this.#sent >= this.#limit) {
        return;
      } else {
        this.#sendFrame();
      }
    }
  }

  #sendFrame(): void {
    const { bytes, isLast } = this.#piece;
    const offset = this.#sent;
    const data = bytes.subarray(0, Math.min(this.#limit - offset, FRAME_DATA_BYTES));
    const rest = bytes.subarray(data.length);
    const fin = isLast && rest.length === 0;
    this.#sent += data.length;
    this.#piece = { bytes: rest, isLast };
    const frame = encodeFrame({ stream: this.#stream, offset, fin, data });
    if (fin) {
      this.#send(frame);
      this.#end(undefined);
    } else if (rest.length > 0) {
      this.#send(frame);
    } else {
      this.#isFlushing = true;
      this.#send(frame, () => {
        this.#isFlushing = false;
        this.#pump();
      });
    }
  }

  #read(): void {
    this.#isReading = true;
    this.#source.pull().then(
      (piece) => {
        this.#isReading = false;
        this.#piece = piece;
        this.#pump();
      },
      (error: unknown) => this.#end(toFault(error, 'Reading for a stream')),
    );
  }
}

/** The most bytes that all streams of an agent keep for their readers. */
const KEPT_MAX_BYTES = 64 * 1024 * 1024;
/** What a stream with a source keeps: a piece, and what is on its way to the socket. */
const SOURCE_BYTES = 512 * 1024;
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
  send: Send;
  /** Tells the reader that a stream has failed before its last byte. */
  reset: (stream: number, fault: Fault) => void;
};

type Open = { stream: OutgoingStream | SourceStream; bytes: number; stopTimer: () => void };

/** The streams that one connection reads. */
export class OutgoingStreams {
  readonly #options: OutgoingStreamsOptions;
  readonly #open = new Map<number, Open>();

  constructor(options: OutgoingStreamsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Opens a stream with these bytes, or with what a source gives. @throws Fault RATE_LIMITED */
  open(number: number, content: Buffer | Source): void {
    const { memory, send } = this.#options;
    const isKept = Buffer.isBuffer(content);
    const bytes = isKept ? content.length : SOURCE_BYTES;
    memory.take(bytes);
    const stream = isKept
      ? new OutgoingStream(number, content, send)
      : new SourceStream(number, content, send, (fault) => this.#ended(number, fault));
    this.#open.set(number, { stream, bytes, stopTimer: this.#stall(number) });
  }

  /** The reader accepts bytes before `limit`. */
  grant(number: number, limit: number): void {
    const open = this.#open.get(number);
    if (open === undefined) {
      return;
    }
    const before = open.stream.sent;
    if (open.stream.grant(limit) === true) {
      this.end(number);
    } else if (open.stream.sent > before && this.#open.has(number)) {
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
      if (open.stream instanceof SourceStream) open.stream.stop();
      this.#options.memory.give(open.bytes);
    }
  }

  endAll(): void {
    for (const number of this.#open.keys()) {
      this.end(number);
    }
  }

  #ended(number: number, fault: Fault | undefined): void {
    this.end(number);
    if (fault !== undefined) this.#options.reset(number, fault);
  }

  /** Ends a stream that has sent nothing since, if its reader is the one to blame. */
  #stall(number: number): () => void {
    const before = this.#open.get(number)?.stream.sent ?? 0;
    return this.#options.clock.after(STALL_MILLIS, () => {
      const open = this.#open.get(number);
      if (
        open?.stream instanceof SourceStream &&
        !(open.stream.awaitsReader && open.stream.sent === before)
      ) {
        open.stopTimer = this.#stall(number);
        return;
      }
      const why = `The reader of the stream gave no credit for ${STALL_MILLIS / 1000} s`;
      const hint = 'Ask again, and give credit while you read; cancel a stream that you do not need';
      this.#ended(number, new Fault('DEADLINE', why, { hint }));
    });
  }
}
