/** Notices floods: so many events that the system may have dropped some. Then everything is read again. */
import type { Clock } from '../shared/clock.ts';

/** The system drops events when 16,384 are queued. A flood is far fewer events than that in a second. */
const EVENTS = 4096;
const WITHIN_MILLIS = 1000;
/** Reading everything is expensive: it is done when a flood begins, this often while it lasts, and once when it is over. */
const REST_MILLIS = 30_000;
const OVER_MILLIS = 3000;

export class Flood {
  readonly #clock: Clock;
  readonly #rescan: () => void;
  #since = 0;
  #count = 0;
  #rests = false;
  /** More events came during the rest. */
  #due = false;
  #cancelRest = (): void => {};
  #cancelOver = (): void => {};

  /** @param rescan reads everything again. */
  constructor(clock: Clock, rescan: () => void) {
    this.#clock = clock;
    this.#rescan = rescan;
  }

  /** Counts an event of any kind. */
  hear(): void {
    const now = this.#clock.now();
    if (now - this.#since >= WITHIN_MILLIS) {
      this.#since = now;
      this.#count = 0;
    }
    this.#count += 1;
    if (this.#count % EVENTS !== 0) return;
    if (!this.#rests) {
      this.#check();
      return;
    }
    this.#due = true;
    this.#cancelOver();
    this.#cancelOver = this.#clock.after(OVER_MILLIS, () => this.#check());
  }

  close(): void {
    this.#cancelRest();
    this.#cancelOver();
  }

  #check(): void {
    this.close();
    this.#rests = true;
    this.#due = false;
    this.#cancelRest = this.#clock.after(REST_MILLIS, () => {
      this.#rests = false;
      if (this.#due) this.#check();
    });
    this.#rescan();
  }
}
