/** So many events that the system may have dropped some: nothing of what it says is believed then. */
import type { Clock } from '../shared/clock.ts';

/** The system drops events from 16,384 in its queue on: long before that many in a second everything is doubted. */
const EVENTS = 4096;
const WITHIN_MILLIS = 1000;
/** Looking at everything is dear: it is done when a flood begins, this often while it lasts, and once it is over. */
const REST_MILLIS = 30_000;
const OVER_MILLIS = 3000;

export class Flood {
  readonly #clock: Clock;
  readonly #doubt: () => void;
  #since = 0;
  #count = 0;
  #rests = false;
  /** More of it came while it rested. */
  #due = false;
  #cancelRest = (): void => {};
  #cancelOver = (): void => {};

  /** @param doubt is to have everything looked at. */
  constructor(clock: Clock, doubt: () => void) {
    this.#clock = clock;
    this.#doubt = doubt;
  }

  /** An event came, whatever it is about. */
  hear(): void {
    const now = this.#clock.now();
    if (now - this.#since >= WITHIN_MILLIS) {
      this.#since = now;
      this.#count = 0;
    }
    this.#count += 1;
    if (this.#count % EVENTS !== 0) return;
    if (!this.#rests) {
      this.#look();
      return;
    }
    this.#due = true;
    this.#cancelOver();
    this.#cancelOver = this.#clock.after(OVER_MILLIS, () => this.#look());
  }

  close(): void {
    this.#cancelRest();
    this.#cancelOver();
  }

  #look(): void {
    this.close();
    this.#rests = true;
    this.#due = false;
    this.#cancelRest = this.#clock.after(REST_MILLIS, () => {
      this.#rests = false;
      if (this.#due) this.#look();
    });
    this.#doubt();
  }
}
