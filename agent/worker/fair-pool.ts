/** Threads for uploads, or for exports. While one waits for a thread, the holders of threads must move bytes or lose theirs. */
import { Fault } from '../../shared/api/fault.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Engine, Listener, Pool } from './pool.ts';

/** While others wait, a holder moves at least so many bytes in so long (milliseconds). */
const BYTES_MIN = 64 * 1024;
const LOOK_MILLIS = 5000;

/** The holder of a thread. */
export type ThreadHolder = {
  /** Bytes that have come from its client, or gone to it. */
  readonly received: number;
  /** It waits for its client. */
  readonly awaitsClient: boolean;
  readonly receiving: boolean;
  abort(fault: Fault): boolean;
};

/** Leases threads. */
export type ThreadLeases = { lease(listener: Listener, holder?: ThreadHolder): Promise<Engine> };

export class FairPool implements ThreadLeases {
  readonly #pool: Pick<Pool, 'lease'>;
  readonly #clock: Clock;
  /** Holders, with the bytes that they had received at the last check. One that came since then is judged at the next but one. */
  #holders = new Map<ThreadHolder, number | undefined>();
  #waiting = 0;
  #stop: (() => void) | undefined;

  constructor(pool: Pick<Pool, 'lease'>, clock: Clock) {
    this.#pool = pool;
    this.#clock = clock;
  }

  /** @throws Fault DRAINING */
  async lease(listener: Listener, holder?: ThreadHolder): Promise<Engine> {
    this.#waiting += 1;
    if (this.#waiting === 1) {
      this.#lookLater();
    }
    try {
      const engine = await this.#pool.lease(listener);
      if (holder !== undefined) {
        this.#holders.set(holder, undefined);
      }
      return engine;
    } finally {
      this.#waiting -= 1;
      if (this.#waiting === 0) {
        this.#stop?.();
      }
    }
  }

  #lookLater(): void {
    this.#holders = new Map(
      [...this.#holders.keys()]
        .filter(({ receiving }) => receiving)
        .map((holder) => [holder, holder.received]),
    );
    this.#stop = this.#clock.after(LOOK_MILLIS, () => this.#look());
  }

  #look(): void {
    const idle = [...this.#holders]
      .flatMap(([holder, before]) =>
        before === undefined ? [] : { holder, moved: holder.received - before },
      )
      .filter(({ holder, moved }) => holder.awaitsClient && moved < BYTES_MIN)
      .toSorted((a, b) => a.moved - b.moved)
      .slice(0, this.#waiting);
    const why = `Others waited for a thread, and too few bytes moved for ${LOOK_MILLIS / 1000} s`;
    const hint = 'Ask again (an upload with the same operation id), and send or read without a break';
    for (const { holder } of idle) {
      holder.abort(new Fault('DEADLINE', `${why}: this one is given up`, { hint }));
    }
    this.#lookLater();
  }
}
