/**
 * Who may work on a plugin: this process, for as long as one of its operations does, or another. The first operation here
 * takes the lock and clears away what a crash has left; those that come meanwhile share the hold, and the last one gives
 * it back.
 */
import { Fault } from '../../shared/api/fault.ts';
import { pauseAfter } from '../../shared/rule/retry.ts';
import { diskFault } from '../disk/disk-fault.ts';
import type { Release } from '../disk/lock-record.ts';
import type { Locks } from '../disk/lock.ts';
import type { Clock } from '../../shared/clock.ts';
import { type Deferred, deferred } from '../worker/deferred.ts';

type Entry = {
  /** `alone` shares with nobody. `ending` is given back, or will be as soon as the disk answers. */
  kind: 'shared' | 'alone' | 'ending';
  holders: number;
  /** Rejects where the lock cannot be had. It takes as long as the disk does. */
  ready: Promise<void>;
  /** Known once somebody here has the lock. */
  release: Release | undefined;
  /** Resolves when the lock is free for the next one here. */
  over: Deferred<void>;
};

export type PluginLocksOptions = {
  locks: Pick<Locks, 'take' | 'holderOf'>;
  clock: Clock;
  /** How long (milliseconds) another process is waited for. */
  wait: number;
  /** Finishes or undoes what a crash has left of a plugin. Its failure keeps nobody from trying. */
  recover: (plugin: string) => Promise<void>;
};

/** Between two looks at a lock that somebody else has; it grows up to the last. */
const LOOK_MILLIS = { first: 10, most: 250 };
/** So much longer (milliseconds) than another process a disk is waited for, so that it can say who that is. */
const DISK_MILLIS = 2000;

export class PluginLocks {
  readonly #options: PluginLocksOptions;
  readonly #entries = new Map<string, Entry>();

  constructor(options: PluginLocksOptions) {
    this.#options = options;
  }

  /**
   * Waits until this process may work on the plugin.
   *
   * @returns gives it back.
   * @throws Fault LOCKED if another process, or house-keeping here, has it for too long, or the disk does not answer; READ_ONLY,
   *   NO_SPACE, INTERNAL if no lock can be made.
   */
  async hold(plugin: string): Promise<Release> {
    const { clock, wait } = this.#options;
    const until = clock.now() + wait;
    let entry = this.#entries.get(plugin);
    while (entry !== undefined && entry.kind !== 'shared') {
      const why = entry.kind === 'alone' ? busyHere : silent;
      await this.#within(entry.over.promise, until, () => why(plugin, wait));
      entry = this.#entries.get(plugin);
    }
    entry ??= this.#enter(plugin, 'shared', (made) => this.#wait(plugin, made, until));
    return this.#readyOf(plugin, entry, until);
  }

  /**
   * As {@link hold} does, but only if nobody works on the plugin, here or elsewhere; else undefined, without waiting. It is not
   * shared: who holds meanwhile waits for its end, for recovery would take a fresh slot for what a crash has left.
   */
  async tryHold(plugin: string): Promise<Release | undefined> {
    const { clock, wait } = this.#options;
    const until = clock.now() + wait;
    let before = this.#entries.get(plugin);
    while (before?.kind === 'ending') {
      await this.#within(before.over.promise, until, () => silent(plugin, wait));
      before = this.#entries.get(plugin);
    }
    if (before !== undefined) {
      return undefined;
    }
    const entry = this.#enter(plugin, 'alone', async (made) => {
      made.release = await this.#options.locks.take(plugin);
    });
    const release = await this.#readyOf(plugin, entry, until);
    if (entry.release !== undefined) {
      return release;
    }
    await release();
    return undefined;
  }

  #enter(plugin: string, kind: 'shared' | 'alone', take: (entry: Entry) => Promise<void>): Entry {
    const entry: Entry = {
      kind,
      holders: 0,
      ready: Promise.resolve(),
      release: undefined,
      over: deferred<void>(),
    };
    this.#entries.set(plugin, entry);
    entry.ready = take(entry);
    return entry;
  }

  /** One more holder. */
  async #readyOf(plugin: string, entry: Entry, until: number): Promise<Release> {
    entry.holders += 1;
    let given = false;
    const release = async (): Promise<void> => {
      if (!given) {
        given = true;
        await this.#leave(plugin, entry);
      }
    };
    try {
      await this.#within(entry.ready, until + DISK_MILLIS, () => silent(plugin, this.#options.wait));
      return release;
    } catch (error) {
      // Not waited for: a lock that the disk has not given yet is given back when it comes.
      void release();
      throw diskFault(error, `Locking "${plugin}"`);
    }
  }

  /** @throws Fault when the moment has come. */
  async #within(work: Promise<void>, until: number, tooLong: () => Fault): Promise<void> {
    const { clock } = this.#options;
    const patience = deferred<void>();
    const cancel = clock.after(Math.max(0, until - clock.now()), () => patience.reject(tooLong()));
    try {
      await Promise.race([work, patience.promise]);
    } finally {
      cancel();
    }
  }

  /** The lock is free when this resolves. Whoever asks meanwhile waits for that, and must not find it taken. Never rejects. */
  async #leave(plugin: string, entry: Entry): Promise<void> {
    entry.holders -= 1;
    if (entry.holders > 0) {
      return;
    }
    entry.kind = 'ending';
    try {
      await entry.ready;
      await entry.release?.();
    } catch {
      // There is no lock, or a disk that takes no more changes keeps the record until this process ends.
    }
    this.#entries.delete(plugin);
    entry.over.resolve();
  }

  async #wait(plugin: string, entry: Entry, until: number): Promise<void> {
    const { locks, clock, wait, recover } = this.#options;
    for (let failures = 1; ; failures += 1) {
      entry.release = await locks.take(plugin);
      if (entry.release !== undefined) {
        // Where nobody waits for it any more, nothing is to be done under it.
        if (entry.kind !== 'ending') {
          await recover(plugin);
        }
        return;
      }
      const left = until - clock.now();
      if (left <= 0) {
        throw locked(plugin, 'Another process', (await locks.holderOf(plugin)) ?? 'it', wait);
      }
      await new Promise<void>((resolve) => {
        clock.after(Math.min(left, pauseAfter(failures, LOOK_MILLIS)), resolve);
      });
    }
  }
}

const locked = (plugin: string, who: string, holder: string, wait: number): Fault =>
  new Fault('LOCKED', `${who} has worked on "${plugin}" for more than ${wait / 1000} s`, {
    hint: `Wait for ${holder}, or look why it does not come to an end; then try again`,
  });

const busyHere = (plugin: string, wait: number): Fault =>
  locked(plugin, 'House-keeping', 'the sweep or the recovery of this agent', wait);

const silent = (plugin: string, wait: number): Fault =>
  new Fault('LOCKED', `The lock of "${plugin}" was not to be had for more than ${wait / 1000} s`, {
    hint: 'Look whether the disk of the root answers, and whether a recovery takes so long; then try again',
  });
