/** Named timers, of which each runs at most once at a time. */
import type { Clock } from './clock.ts';

export class Timers<Name extends string> {
  readonly #clock: Clock;
  readonly #running = new Map<Name, () => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Starts a timer, anew if it runs. */
  start(name: Name, millis: number, call: () => void): void {
    this.stop(name);
    this.#running.set(name, this.#clock.after(millis, call));
  }

  stop(name: Name): void {
    this.#running.get(name)?.();
    this.#running.delete(name);
  }

  stopAll(): void {
    for (const name of this.#running.keys()) {
      this.stop(name);
    }
  }
}
