/** Keeps an answer that costs something to get, so that asking for it often does not load the agent. */
import type { Clock } from '../../shared/clock.ts';

export type RecentOptions<T> = {
  /** One at a time. */
  get: () => Promise<T>;
  /** A clock that does not jump. */
  clock: Clock;
  /** An answer is not asked for again within so long (milliseconds) … */
  freshMillis: number;
  /** … nor within so many times what the last one took. */
  restFactor: number;
  /** Who asks waits at most so long (milliseconds) for a new answer. */
  patienceMillis: number;
};

/** The last answer. */
export type Recently<T> = {
  /** Undefined: there was none yet, or the last try has failed with `error`. */
  value: T | undefined;
  error: unknown;
  /** Milliseconds since it was asked for, and for how long it was worked on; undefined: there was none yet. */
  age: number | undefined;
  took: number | undefined;
  /** A new answer was waited for in vain. */
  late: boolean;
};

export class Recent<T> {
  readonly #options: RecentOptions<T>;
  #last: { value: T | undefined; error: unknown; asked: number; took: number } | undefined;
  #asking: Promise<void> | undefined;

  constructor(options: RecentOptions<T>) {
    this.#options = options;
  }

  /** The last answer if it is fresh, else a new one; the last one if that does not come in time. Never rejects. */
  async ask(): Promise<Recently<T>> {
    const { clock, patienceMillis } = this.#options;
    let late = false;
    if (this.#asking !== undefined || !this.#isFresh()) {
      this.#asking ??= this.#get();
      late = await isLate(this.#asking, clock, patienceMillis);
    }
    const last = this.#last;
    return {
      value: last?.value,
      error: last?.error,
      age: last === undefined ? undefined : clock.now() - last.asked,
      took: last?.took,
      late,
    };
  }

  #isFresh(): boolean {
    const { clock, freshMillis, restFactor } = this.#options;
    const last = this.#last;
    return (
      last !== undefined && clock.now() - last.asked < Math.max(freshMillis, last.took * (1 + restFactor))
    );
  }

  async #get(): Promise<void> {
    const { get, clock } = this.#options;
    const asked = clock.now();
    const [value, error] = await get().then(
      (answer) => [answer, undefined] as const,
      (reason: unknown) => [undefined, reason] as const,
    );
    this.#last = { value, error, asked, took: clock.now() - asked };
    this.#asking = undefined;
  }
}

const isLate = (work: Promise<void>, clock: Clock, millis: number): Promise<boolean> =>
  new Promise((resolve) => {
    const cancel = clock.after(millis, () => resolve(true));
    void work.then(() => {
      cancel();
      resolve(false);
    });
  });
