/** A stream from the agent to a client, under the client's credit. */
import { FRAME_DATA_BYTES, encodeFrame } from '../../shared/api/frame.ts';

/** Sends what it has as far as the receiver's windows allow; it never queues frames beyond that. */
export class Outflow {
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

  /** The receiver takes bytes before `limit`. @returns whether the stream has come to its end. */
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
