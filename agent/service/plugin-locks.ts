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
  holders: number;
  ready: Promise<Release>;
  /** Known once somebody here has the lock. */
  release: Release | undefined;
  /** Of one that shares with nobody: resolves when it has ended. */
  alone: Deferred<void> | undefined;
};

export type PluginLocksOptions = {
  locks: Locks;
  clock: Clock;
  /** How long (milliseconds) another process is waited for. */
  wait: number;
  /** Finishes or undoes what a crash has left of a plugin. Its failure keeps nobody from trying. */
  recover: (plugin: string) => Promise<void>;
};

/** Between two looks at a lock that somebody else has; it grows up to the second. */
const LOOK_MILLIS = { first: 10, most: 250 };

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
   * @throws Fault LOCKED if another process, or house-keeping here, has it for too long; READ_ONLY, NO_SPACE, INTERNAL if no
   *   lock can be made.
   */
  async hold(plugin: string): Promise<Release> {
    const { clock, wait } = this.#options;
    const until = clock.now() + wait;
    let entry = this.#entries.get(plugin);
    while (entry?.alone !== undefined) {
      await this.#endOf(plugin, entry.alone.promise, until);
      entry = this.#entries.get(plugin);
    }
    entry ??= this.#enter(plugin, this.#wait(plugin));
    entry.holders += 1;
    try {
      entry.release = await entry.ready;
    } catch (error) {
      this.#leave(plugin, entry);
      throw diskFault(error, `Locking "${plugin}"`);
    }
    return this.#releaseOf(plugin, entry);
  }

  /**
   * As {@link hold} does, but only if nobody works on the plugin, here or elsewhere; else undefined, at once. It is not
   * shared: who holds meanwhile waits for its end, for recovery would take a fresh slot for what a crash has left.
   */
  async tryHold(plugin: string): Promise<Release | undefined> {
    if (this.#entries.has(plugin)) {
      return undefined;
    }
    let release: Release | undefined;
    try {
      release = this.#options.locks.tryLock(plugin);
    } catch (error) {
      throw diskFault(error, `Locking "${plugin}"`);
    }
    if (release === undefined) {
      return undefined;
    }
    const entry = this.#enter(plugin, Promise.resolve(release));
    entry.holders += 1;
    entry.release = release;
    entry.alone = deferred<void>();
    return this.#releaseOf(plugin, entry);
  }

  /** Waits for the end of what shares with nobody. @throws Fault LOCKED when the moment has come. */
  async #endOf(plugin: string, alone: Promise<void>, until: number): Promise<void> {
    const { clock, wait } = this.#options;
    const tooLong = deferred<void>();
    const cancel = clock.after(Math.max(0, until - clock.now()), () =>
      tooLong.reject(locked(plugin, 'House-keeping', 'the sweep or the recovery of this agent', wait)),
    );
    try {
      await Promise.race([alone, tooLong.promise]);
    } finally {
      cancel();
    }
  }

  #enter(plugin: string, ready: Promise<Release>): Entry {
    const entry: Entry = { holders: 0, ready, release: undefined, alone: undefined };
    this.#entries.set(plugin, entry);
    return entry;
  }

  #releaseOf(plugin: string, entry: Entry): Release {
    let given = false;
    return () => {
      if (!given) {
        given = true;
        this.#leave(plugin, entry);
      }
    };
  }

  /** The lock is free when this returns: whoever asks next must not find it taken. */
  #leave(plugin: string, entry: Entry): void {
    entry.holders -= 1;
    if (entry.holders === 0) {
      this.#entries.delete(plugin);
      try {
        entry.release?.();
      } catch {
        // A disk that takes no more changes keeps the record until this process ends.
      }
      entry.alone?.resolve();
    }
  }

  async #wait(plugin: string): Promise<Release> {
    const { locks, clock, wait, recover } = this.#options;
    const until = clock.now() + wait;
    for (let failures = 1; ; failures += 1) {
      const release = locks.tryLock(plugin);
      if (release !== undefined) {
        await recover(plugin);
        return release;
      }
      if (clock.now() >= until) {
        throw locked(plugin, 'Another process', locks.holderOf(plugin) ?? 'it', wait);
      }
      await new Promise<void>((resolve) => {
        clock.after(pauseAfter(failures, LOOK_MILLIS), resolve);
      });
    }
  }
}

const locked = (plugin: string, who: string, holder: string, wait: number): Fault =>
  new Fault('LOCKED', `${who} has worked on "${plugin}" for more than ${wait / 1000} s`, {
    hint: `Wait for ${holder}, or look why it does not come to an end; then try again`,
  });
