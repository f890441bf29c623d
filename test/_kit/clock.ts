/** A clock that stands still until the test moves it. */
import type { Clock } from '../../shared/clock.ts';

type Timer = { at: number; call: () => void };

export class FakeClock implements Clock {
  #now = 1_000_000;
  readonly #timers = new Set<Timer>();

  now(): number {
    return this.#now;
  }

  after(millis: number, call: () => void): () => void {
    const timer = { at: this.#now + millis, call };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** How many timers run. */
  get running(): number {
    return this.#timers.size;
  }

  /** Lets time pass: timers ring in their order, each at its own moment. */
  advance(millis: number): void {
    const end = this.#now + millis;
    for (;;) {
      const due = [...this.#timers].filter(({ at }) => at <= end).toSorted((a, b) => a.at - b.at)[0];
      if (due === undefined) {
        break;
      }
      this.#timers.delete(due);
      this.#now = due.at;
      due.call();
    }
    this.#now = end;
  }
}
