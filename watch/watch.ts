/**
 * The watcher: reports edits by hand in live plugins and swaps by an agent, with one verdict for each burst.
 *
 * File events only say which paths to read. So it does not matter how an editor saves a file, and many events cost no
 * more than one.
 */
import { statfs } from 'node:fs/promises';

import { Fault } from '../shared/api/fault.ts';
import { Lanes } from '../shared/lanes.ts';
import type { FileEventsFor } from './directory-watch.ts';
import type { FileEvents, Ports, StagedVersion, Watch, WatchEvent } from './ports.ts';
import { Flood } from './flood.ts';
import { Semaphore } from '../shared/semaphore.ts';
import { Queue } from './queue.ts';
import { coalesceAll } from './coalesce.ts';
import { RootWatch } from './root-watch.ts';
import { SETTLE_MAX_MILLIS, SETTLE_MILLIS, WatchedPlugin } from './watched-plugin.ts';

/** Plugins that are read at the same time. Descriptors are few, and no plugin should keep all others waiting. */
const AT_ONCE = 8;

/** The system has no watches left, or none at all. */
const LIMITS: Readonly<Record<string, string>> = {
  ENOSPC: 'raise fs.inotify.max_user_watches',
  EMFILE: 'raise fs.inotify.max_user_instances, or the limit of open files',
  ENFILE: 'raise the limit of open files',
  ENOMEM: 'give the process more memory',
  ENOSYS: 'this system has no file events',
};
/** NFS, SMB, CIFS, SMB2, 9p, FUSE, vboxsf, Ceph: a change that is made elsewhere causes no event here. */
const WITHOUT_EVENTS: ReadonlySet<number> = new Set([
  0x69_69, 0x51_7b, 0xff_53_4d_42, 0xfe_53_4d_42, 0x01_02_19_97, 0x65_73_55_46, 0x78_6f_4b_4a, 0x00_c3_6a_40,
]);

/** The part of a watch that the loader and the agent call and users do not. */
export type Reported = {
  /** The runtime has loaded this version, as it was at a time (milliseconds since the epoch). Never rejects. */
  reported(plugin: string, generation: string, at: number): Promise<void>;
  /**
   * A version is about to be swapped in, in the first of the roots. It is watched before that, so the
   * version need not be read afterwards. Undefined: it is not. Never rejects.
   */
  expect(plugin: string, staged: StagedVersion | undefined): Promise<void>;
  /** Aborted when the watch is closed. */
  closing: AbortSignal;
};

/** The lane of the roots. No plugin has this name. */
const ROOTS = '/';

type Burst = { watched: WatchedPlugin; since: number; cancel: () => void };

export function createWatch(ports: Ports): Watch & Reported {
  const watcher = new Watcher(ports);
  return {
    ready: watcher.ready,
    loaded: (plugin) => watcher.loaded(plugin),
    reported: (plugin, generation, at) => watcher.reported(plugin, generation, at),
    expect: (plugin, staged) => watcher.expect(plugin, staged),
    close: () => watcher.close(),
    closing: watcher.closing,
    [Symbol.asyncIterator]: () => watcher.events(),
  };
}

class Watcher {
  readonly ready: Promise<void>;
  readonly #ports: Ports;
  readonly #plugins = new Map<string, WatchedPlugin>();
  readonly #bursts = new Map<string, Burst>();
  readonly #queue = new Queue<readonly WatchEvent[]>(coalesceAll);
  readonly #roots: readonly RootWatch[];
  readonly #fileEvents: FileEventsFor;
  #polls = false;
  /** One task after another for each plugin. The roots have a lane of their own. */
  readonly #lanes = new Lanes();
  readonly #semaphore = new Semaphore(AT_ONCE);
  /** The running tasks. */
  readonly #work = new Set<Promise<void>>();
  #closing: Promise<void> | undefined;
  /** Ends the reading of files when the watch is closed. */
  readonly #abort = new AbortController();
  readonly #flood: Flood;
  /** The file watches alone do not keep the process alive. */
  readonly #alive = setInterval(() => {}, 2 ** 30);

  get closing(): AbortSignal {
    return this.#abort.signal;
  }

  constructor(ports: Ports) {
    this.#ports = ports;
    this.#flood = new Flood(ports.clock, () => this.#onChange(undefined));
    this.#fileEvents = {
      current: () => (this.#polls ? ports.polling : this.#counted),
      polling: ports.polling,
      failed: (error) => this.#failed(error),
    };
    this.#roots = ports.roots.map(
      (root) => new RootWatch(root, this.#fileEvents, ports.clock, (name) => this.#onChange(name)),
    );
    this.ready = this.#begin();
    this.ready.catch((error: unknown) => this.#broken(error));
  }

  async #begin(): Promise<void> {
    for (const root of this.#ports.roots) {
      const type = await statfs(root).then(
        (stats) => stats.type >>> 0,
        () => 0,
      );
      if (WITHOUT_EVENTS.has(type)) {
        this.#poll(`"${root}" is on a file system that does not report all changes`);
      }
    }
    const queue = [...(await this.#settleRoots())].values();
    const faults: unknown[] = [];
    const worker = async (): Promise<void> => {
      for (const name of queue) {
        if (this.#closing !== undefined || faults.length > 0) return;
        await this.#pluginOf(name).begin(this.#fileEvents, () => this.#onChange(name));
      }
    };
    const onError = (error: unknown): void => void faults.push(error);
    // Waits for all workers: a watch that one of them opened later would never be closed.
    await Promise.all(Array.from({ length: AT_ONCE }, () => worker().catch(onError)));
    if (faults.length > 0 && this.#closing === undefined) throw faults[0];
  }

  events(): AsyncGenerator<WatchEvent, void, undefined> {
    const queue = this.#queue;
    const close = (): Promise<void> => this.close();
    const events = (async function* () {
      try {
        for await (const some of queue.values()) yield* some;
      } finally {
        await close();
      }
    })();
    const leave = events.return.bind(events);
    // A generator does not notice a return while it waits for an event or before its first one, so the return closes the
    // watch itself.
    return Object.assign(events, { return: () => close().then(() => leave()) });
  }

  loaded(plugin: string): void {
    const watched = this.#plugins.get(plugin);
    if (this.#ports.loaded === undefined) {
      watched?.load();
      return;
    }
    void this.#inLane(plugin, async () => void (await watched?.learn()));
  }

  reported(plugin: string, generation: string, at: number): Promise<void> {
    return this.#inLane(plugin, async () => this.#plugins.get(plugin)?.report(generation, at));
  }

  /** Not in the lane: the swap does not wait for a plugin that is being read. */
  async expect(plugin: string, version: StagedVersion | undefined): Promise<void> {
    if (this.#closing !== undefined) return;
    const canWatch = !this.#polls && this.#ports.fileEvents.movesAlong === true;
    // Also where nothing can be expected now, an earlier version is expected no more.
    const staged = canWatch ? version : undefined;
    const watched = staged === undefined ? this.#plugins.get(plugin) : this.#pluginOf(plugin);
    const done = watched
      ?.expect(staged, this.#counted, () => this.#onChange(plugin))
      .catch((error: unknown) => this.#broken(error))
      .finally(() => void (done && this.#work.delete(done)));
    if (done !== undefined) this.#work.add(done);
    await done;
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      clearInterval(this.#alive);
      this.#flood.close();
      this.#abort.abort();
      for (const { cancel } of this.#bursts.values()) cancel();
      this.#bursts.clear();
      this.#queue.end();
      await this.ready.catch(() => undefined);
      await Promise.all(this.#work);
      for (const root of this.#roots) await root.close();
      for (const watched of this.#plugins.values()) await watched.close();
    })();
    return this.#closing;
  }

  #pluginOf(name: string): WatchedPlugin {
    const known = this.#plugins.get(name) ?? new WatchedPlugin(name, this.#ports, this.#abort.signal);
    this.#plugins.set(name, known);
    return known;
  }

  /** Something has changed in a plugin, or in any of them (undefined). */
  #onChange(name: string | undefined): void {
    if (name !== undefined) {
      this.#wait(name);
      return;
    }
    for (const [each, { directoryWatches }] of this.#plugins) {
      for (const directoryWatch of directoryWatches) directoryWatch.invalidate();
      this.#wait(each);
    }
  }

  /**
   * File events of the system, counted for floods. Events of ignored files count too, because they also fill the queue of
   * the system.
   */
  readonly #counted: FileEvents = {
    open: (directory, deep, onPath, onError) =>
      this.#ports.fileEvents.open(
        directory,
        deep,
        (path) => {
          onPath(path);
          this.#flood.hear();
        },
        onError,
      ),
  };

  #wait(name: string): void {
    if (this.#closing !== undefined) return;
    const { clock } = this.#ports;
    const burst = this.#bursts.get(name);
    burst?.cancel();
    const now = clock.now();
    const since = burst?.since ?? now;
    const rest = since + SETTLE_MAX_MILLIS - now;
    const millis = Math.max(0, Math.min(SETTLE_MILLIS, rest));
    const cancel = clock.after(millis, () => {
      this.#bursts.delete(name);
      void this.#inLane(name, () => this.#settle(name, rest < SETTLE_MILLIS));
    });
    this.#bursts.set(name, { watched: this.#pluginOf(name), since, cancel });
  }

  /** Runs a task after the earlier tasks of the plugin. Never rejects. */
  #inLane(name: string, work: () => Promise<void>): Promise<void> {
    const done = this.ready
      .then(() => this.#lanes.run(name, () => this.#semaphore.run(work)))
      .catch((error: unknown) => this.#broken(error))
      .finally(() => this.#work.delete(done));
    this.#work.add(done);
    return done;
  }

  /** @returns the names in the roots that are new. */
  async #settleRoots(): Promise<Set<string>> {
    const names = new Set<string>();
    for (const root of this.#roots) for (const name of await root.settle()) names.add(name);
    return names;
  }

  async #settle(name: string, isOngoing: boolean): Promise<void> {
    if (this.#closing !== undefined) return;
    for (const other of await this.#lanes.run(ROOTS, () => this.#settleRoots())) {
      if (other !== name) this.#wait(other);
    }
    const watched = this.#pluginOf(name);
    const events = await watched.settle(this.#fileEvents, () => this.#onChange(name), isOngoing);
    if (events.length > 0) this.#queue.put(name, events);
    if (watched.isBlank) this.#plugins.delete(name);
  }

  /** Handles an error of file events. @returns whether the current source of events is another one now. */
  #failed(error: unknown): boolean {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    const why = error instanceof Error ? error.message : String(error);
    const limit = LIMITS[code];
    if (limit === undefined) {
      if (!this.#polls) this.#ports.notice(`A directory cannot be watched and is polled instead: ${why}`);
      return this.#polls;
    }
    this.#poll(`the system's limit of file watches is reached (${why}): ${limit}`);
    return true;
  }

  /** Polls everything from now on. */
  #poll(why: string): void {
    if (this.#polls) return;
    this.#polls = true;
    this.#ports.notice(`Watching falls back to polling: ${why}`);
    for (const root of this.#roots) root.reopen();
    for (const [name, { directoryWatches }] of this.#plugins) {
      for (const directoryWatch of directoryWatches) directoryWatch.reopen();
      this.#wait(name);
    }
  }

  #broken(error: unknown): void {
    this.#queue.end(
      error instanceof Error ? error : new Fault('INTERNAL', 'The watcher failed', { cause: error }),
    );
    void this.close();
  }
}
