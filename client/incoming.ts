/** A stream of bytes from the agent. The reader gives it credit. */
import { Fault } from '../shared/api/fault.ts';
import type { DataFrame } from '../shared/api/frame.ts';
import type { Window } from '../shared/api/session.ts';
import { WIRE } from '../shared/api/rpc.ts';

/**
 * Holds at most one window of bytes: the agent may send more only when bytes were read. Bytes beyond the credit, a gap,
 * and bytes after the last frame fail the stream.
 */
export class IncomingStream {
  readonly #stream: number;
  readonly #grant: (window: Window) => void;
  readonly #queue: Uint8Array[] = [];
  #received = 0;
  #limit = 0;
  #ended = false;
  #fault: Fault | undefined;
  #wake: () => void = () => {};

  constructor(stream: number, grant: (window: Window) => void) {
    this.#stream = stream;
    this.#grant = grant;
  }

  /** Whether the last byte has arrived, or the stream has failed. */
  get ended(): boolean {
    return this.#ended || this.#fault !== undefined;
  }

  take({ offset, data, fin }: DataFrame): void {
    const wrong =
      (this.#ended && 'it continues after its end') ||
      (offset !== this.#received && `it sends byte ${offset} instead of byte ${this.#received}`) ||
      (offset + data.length > this.#limit && 'it goes beyond its credit');
    if (wrong !== false) {
      this.fail(new Fault('INTERNAL', `Stream ${this.#stream} of the agent is broken: ${wrong}`));
      return;
    }
    this.#received += data.length;
    this.#ended = fin;
    if (data.length > 0) this.#queue.push(data);
    this.#wake();
  }

  fail(fault: Fault): void {
    this.#fault ??= fault;
    this.#wake();
  }

  /** @throws Fault INTERNAL for a stream that breaks the rules; UNREACHABLE if the connection breaks. */
  async *read(): AsyncGenerator<Uint8Array, void, undefined> {
    let taken = 0;
    this.#credit(taken);
    for (;;) {
      const chunk = this.#queue.shift();
      if (chunk !== undefined) {
        yield chunk;
        taken += chunk.length;
        if (!this.#ended && this.#limit - taken <= WIRE.windowBytes / 2) this.#credit(taken);
      } else if (this.#fault !== undefined) {
        throw this.#fault;
      } else if (this.#ended) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  #credit(taken: number): void {
    this.#limit = taken + WIRE.windowBytes;
    this.#grant({ stream: this.#stream, offset: taken, limit: this.#limit });
  }
}
