/** Notices that the other side has fallen silent. */

/** What tells the time and wakes up; `setTimeout` and friends outside tests. */
export type Timers = {
  now(): number;
  after(millis: number, run: () => void): { cancel(): void };
};

export const realTimers: Timers = {
  now: () => performance.now(),
  after: (millis, run) => {
    const timer = setTimeout(run, millis);
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};

/** Calls `onDead` once, when {@link Liveness.heard} was not called for `deadMillis`. */
export class Liveness {
  readonly #timers: Timers;
  readonly #deadMillis: number;
  readonly #onDead: () => void;
  #heardAt: number;
  #timer: { cancel(): void };

  constructor(timers: Timers, deadMillis: number, onDead: () => void) {
    this.#timers = timers;
    this.#deadMillis = deadMillis;
    this.#onDead = onDead;
    this.#heardAt = timers.now();
    this.#timer = timers.after(deadMillis, () => this.#look());
  }

  heard(): void {
    this.#heardAt = this.#timers.now();
  }

  stop(): void {
    this.#timer.cancel();
  }

  // One timer that looks, not one that is set anew with every frame.
  #look(): void {
    const left = this.#heardAt + this.#deadMillis - this.#timers.now();
    if (left <= 0) {
      this.#onDead();
    } else {
      this.#timer = this.#timers.after(left, () => this.#look());
    }
  }
}
