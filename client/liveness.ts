/** Notices that the other side is silent. */

import type { Clock } from '../shared/clock.ts';

/** Calls `onDead` once when {@link Liveness.heard} was not called for `deadMillis`. */
export class Liveness {
  readonly #clock: Clock;
  readonly #deadMillis: number;
  readonly #onDead: () => void;
  #heardAt: number;
  #cancel: () => void;

  constructor(clock: Clock, deadMillis: number, onDead: () => void) {
    this.#clock = clock;
    this.#deadMillis = deadMillis;
    this.#onDead = onDead;
    this.#heardAt = clock.now();
    this.#cancel = clock.after(deadMillis, () => this.#look());
  }

  heard(): void {
    this.#heardAt = this.#clock.now();
  }

  stop(): void {
    this.#cancel();
  }

  // One timer that checks the time is cheaper than one that is set again with every frame.
  #look(): void {
    const left = this.#heardAt + this.#deadMillis - this.#clock.now();
    if (left <= 0) {
      this.#onDead();
    } else {
      this.#cancel = this.#clock.after(left, () => this.#look());
    }
  }
}
