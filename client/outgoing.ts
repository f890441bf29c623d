/** The credit of a stream of bytes to the agent. */
import type { Fault } from '../shared/api/fault.ts';
import type { Window } from '../shared/api/session.ts';

/** How a wait for credit ends; `stalled`: nobody gave credit in time. */
export type WindowWait = 'granted' | 'stalled';

/** Windows are absolute, so a late or repeated one changes nothing. */
export class SendWindow {
  #limit: number;
  #acknowledged = 0;
  #fault: Fault | undefined;
  #wake: () => void = () => {};
  #interrupt: (fault: Fault) => void = () => {};

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Bytes before this offset may be sent. */
  get limit(): number {
    return this.#limit;
  }

  /** Bytes before this offset have been taken in. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  grant({ offset, limit }: Window): void {
    this.#limit = Math.max(this.#limit, limit);
    this.#acknowledged = Math.max(this.#acknowledged, offset);
    this.#wake();
  }

  /** The stream has failed. Current and later waits throw the fault. */
  fail(fault: Fault): void {
    this.#fault ??= fault;
    this.#wake();
    this.#interrupt(this.#fault);
  }

  /**
   * Waits for a frame to find room in the socket, which may take for ever if nobody reads at the other end.
   *
   * @throws Fault of {@link SendWindow.fail}, at once; as the work.
   */
  unlessFailed(work: Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#fault !== undefined) reject(this.#fault);
      this.#interrupt = reject;
      work.then(resolve, reject);
    });
  }

  /**
   * Waits until the byte at `offset` may be sent, at most `stallMillis`.
   *
   * @throws Fault of {@link SendWindow.fail}.
   */
  async credit(offset: number, stallMillis: number): Promise<WindowWait> {
    let stalled = false;
    const timer = setTimeout(() => {
      stalled = true;
      this.#wake();
    }, stallMillis);
    try {
      for (;;) {
        if (this.#fault !== undefined) throw this.#fault;
        if (offset < this.#limit) return 'granted';
        if (stalled) return 'stalled';
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      clearTimeout(timer);
    }
  }
}
