/** The credit of an incoming stream. Pure: only the rules, without the stream. */
import { Fault, type FaultCode } from '../../shared/api/fault.ts';

export class ReceiveWindow {
  readonly #size: number;
  readonly #window: number;
  #received = 0;
  #taken = 0;
  #fin = false;

  /** @param size the declared bytes. @param window the bytes that may be on the way beyond those that are taken in. */
  constructor(size: number, window: number) {
    this.#size = size;
    this.#window = window;
  }

  /** The offset at which the sender continues. */
  get received(): number {
    return this.#received;
  }

  /** The bytes that the thread has taken in. */
  get taken(): number {
    return this.#taken;
  }

  /** The sender may send bytes before this offset (exclusive). */
  get limit(): number {
    return Math.min(this.#size, this.#taken + this.#window);
  }

  get fin(): boolean {
    return this.#fin;
  }

  /** Whether it is the sender's turn: then silence is a stall. */
  get mayCome(): boolean {
    return !this.#fin && (this.#received < this.limit || this.#received === this.#size);
  }

  /** Checks bytes that came in. @returns what is wrong with them; then the stream has failed. */
  accept(offset: number, length: number, fin: boolean): Fault | undefined {
    const end = offset + length;
    if (this.#fin && fin && length === 0 && offset === this.#received) {
      // After a reconnection the sender does not know whether the FIN had arrived, and may send it again.
      return undefined;
    }
    if (this.#fin) {
      return new Fault('INVALID_PARAMS', 'Bytes of the bundle came after its end', {
        hint: 'Send FIN with the last bytes only',
      });
    }
    if (offset !== this.#received) {
      const detail = `Bytes of the bundle came from offset ${offset}, expected from offset ${this.#received}`;
      return new Fault('INVALID_PARAMS', detail, { hint: 'Send each byte once, in order' });
    }
    if (end > this.#size) {
      return new Fault('DIGEST_MISMATCH', `More bytes came in than the ${this.#size} that were declared`, {
        hint: 'Declare the size of what you send',
      });
    }
    if (end > this.limit) {
      return new Fault('INVALID_PARAMS', `Bytes of the bundle came beyond the limit of ${this.limit}`, {
        hint: 'Wait for a window before sending on',
      });
    }
    this.#received = end;
    this.#fin = fin;
    return undefined;
  }

  take(offset: number): void {
    this.#taken = offset;
  }
}

/** After these faults further bytes are useless. After other faults they still show whether the digest is right. */
const HOPELESS: ReadonlySet<FaultCode> = new Set([
  'LIMIT_ENTRIES',
  'LIMIT_RATIO',
  'LIMIT_UNPACKED',
  'NO_SPACE',
  'READ_ONLY',
  'INTERNAL',
]);

export const isHopeless = (code: FaultCode): boolean => HOPELESS.has(code);
