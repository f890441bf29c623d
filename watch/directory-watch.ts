/** The watch on `<root>/<name>`. It is opened again when another directory is at that path. */
import type { Stats } from 'node:fs';
import { join } from 'node:path';

import type { Ignore } from '../shared/format/tree.ts';
import { isGone, statOf } from './read-path.ts';
import type { FileEvents, StagedVersion, Watched } from './ports.ts';

/** With more changed paths than this, the whole tree is read. */
const PATHS_MAX = 1000;

export type FileEventsFor = { current(): FileEvents; polling: FileEvents; failed(error: unknown): boolean };

/** A watch that was opened before its directory came to the live path. */
type Expected = {
  installId: string;
  identity: string;
  watched: Watched;
  paths: Set<string>;
  /** No change was missed so far. */
  isWhole: boolean;
};

export class DirectoryWatch {
  readonly directory: string;
  #watched: Watched | undefined;
  #identity: string | undefined;
  #stale = false;
  /** The system cannot watch this directory (though it can watch others), so it is polled. */
  #polls = false;
  #paths = new Set<string>();
  #all = true;
  #expected: Expected | undefined;
  /** Tells the last call of {@link expect} from earlier ones. */
  #expecting = 0;
  #isExpecting = false;
  #wholeSince: string | undefined;

  constructor(root: string, name: string) {
    this.directory = join(root, name);
  }

  /**
   * Makes sure that the directory at the path is watched.
   *
   * @param fileEvents `failed` says whether another source of events is current now, so that another try makes sense.
   */
  async settle(fileEvents: FileEventsFor, ignore: Ignore, onChange: () => void): Promise<void> {
    const identity = await identityOf(this.directory);
    if (identity === this.#identity && !this.#stale) return;
    await this.#release();
    const arrived = this.#expected?.identity === identity ? this.#expected : undefined;
    if (arrived !== undefined) {
      this.#expected = undefined;
      this.#isExpecting = false;
    }
    const expected = arrived?.isWhole === true ? arrived : undefined;
    // A watch that may have missed a change is opened again.
    if (expected === undefined) await arrived?.watched.close();
    this.#identity = identity;
    this.#stale = false;
    this.#all = expected === undefined;
    this.#paths = expected?.paths ?? new Set();
    this.#watched = expected?.watched;
    this.#wholeSince = expected?.installId;
    if (identity === undefined || expected !== undefined) return;
    const open = async (which: FileEvents): Promise<void> => {
      const onPath = (path: string | undefined): void => {
        // The slash marks a directory. A directory may have a name by which files are ignored; its content still counts.
        if (path !== undefined && ignore(`${path}/`)) return;
        this.note(path);
        onChange();
      };
      const watched = which.open(this.directory, true, onPath, (error) => {
        this.#polls = !fileEvents.failed(error);
        this.reopen();
        onChange();
      });
      this.#watched = watched;
      await watched.ready;
    };
    try {
      await open(this.#polls ? fileEvents.polling : fileEvents.current());
    } catch (error) {
      await this.#release();
      this.#identity = identity;
      const now = await identityOf(this.directory);
      // It has vanished again. Its removal is a change of the root, whose watch reports it.
      if (now === undefined) return;
      // It was away for a while, or another one is here.
      if (isGone(error) || now !== identity) {
        this.reopen();
        onChange();
        return;
      }
      this.#polls = !fileEvents.failed(error);
      await open(this.#polls ? fileEvents.polling : fileEvents.current());
    }
  }

  /**
   * Watches a directory that is about to come to the live path. If the watch is complete while the directory is still
   * elsewhere, it reports every change that is made at the live path. If it cannot be, nothing is lost: the directory is
   * watched and read once it is there.
   *
   * @param staged undefined: none is expected any more.
   */
  async expect(
    staged: StagedVersion | undefined,
    fileEvents: FileEvents,
    ignore: Ignore,
    onChange: () => void,
  ): Promise<void> {
    this.#expecting += 1;
    const turn = this.#expecting;
    this.#isExpecting = staged !== undefined;
    const before = this.#expected;
    this.#expected = undefined;
    await before?.watched.close();
    if (staged === undefined) return;
    const { directory, directories, installId } = staged;
    const identity = await identityOf(directory);
    if (identity === undefined || turn !== this.#expecting) return;
    const paths = new Set<string>();
    const state = { isWhole: true };
    const onPath = (path: string | undefined): void => {
      if (path !== undefined && ignore(`${path}/`)) return;
      if (this.#watched === watched) {
        this.note(path);
        onChange();
        return;
      }
      // The directory itself moves. The watch on the root reports it.
      if (path !== undefined) paths.add(path);
      if (paths.size > PATHS_MAX) state.isWhole = false;
    };
    const watched = fileEvents.open(directory, directories, onPath, () => {
      state.isWhole = false;
      if (this.#watched !== watched) return;
      this.reopen();
      onChange();
    });
    const isReady = await watched.ready.then(
      () => true,
      () => false,
    );
    // What was changed before the watch was complete was changed in staging, where only the agent writes.
    const isElsewhere = isReady && (await identityOf(directory)) === identity;
    if (isElsewhere && state.isWhole && turn === this.#expecting) {
      this.#expected = Object.assign(state, { installId, identity, watched, paths });
      return;
    }
    await watched.close();
    if (turn === this.#expecting) this.#isExpecting = false;
  }

  /** A directory is about to come to the live path. */
  get isExpecting(): boolean {
    return this.#isExpecting;
  }

  /**
   * The version of which every change was reported since it came to the live path; undefined if there may have been
   * changes before the watch.
   */
  get wholeSince(): string | undefined {
    return this.#wholeSince;
  }

  /** Watches anew at the next settling: a new directory may have changed before it was watched. */
  reopen(): void {
    this.#stale = true;
  }

  /** Which directory was found at the last check; undefined for none. */
  get identity(): string | undefined {
    return this.#identity;
  }

  /**
   * Changes after this time (milliseconds since the epoch) may not have been reported yet; infinite if changes are
   * reported at once.
   */
  get seen(): number {
    return this.#watched?.seen?.() ?? Infinity;
  }

  /** The directory is polled, so changes are not reported at once. */
  get isPolled(): boolean {
    return this.#watched?.seen !== undefined;
  }

  get isStale(): boolean {
    return this.#stale;
  }

  /**
   * Returns the paths that have changed since the last call; undefined if any path may have changed. After undefined, the
   * paths that changed since the watch began stay to be read: some of them may be directories, which need a new watch.
   */
  take(): ReadonlySet<string> | undefined {
    const isAll = this.#all;
    this.#all = false;
    if (isAll) return undefined;
    const paths = this.#paths;
    this.#paths = new Set();
    return paths;
  }

  /** Whether something has changed since the last {@link take}. */
  get hasChanges(): boolean {
    return this.#all || this.#paths.size > 0;
  }

  /** Events may be lost. */
  invalidate(): void {
    if (this.#expected !== undefined) this.#expected.isWhole = false;
    this.note(undefined);
  }

  /** Whether the path still holds the directory that is watched. */
  async isSame(): Promise<boolean> {
    return (await identityOf(this.directory)) === this.#identity;
  }

  async close(): Promise<void> {
    this.#expecting += 1;
    const expected = this.#expected;
    this.#expected = undefined;
    await expected?.watched.close();
    await this.#release();
  }

  async #release(): Promise<void> {
    const watched = this.#watched;
    this.#watched = undefined;
    this.#identity = undefined;
    await watched?.close();
  }

  /** Marks a path to be read the next time; undefined marks all paths. */
  note(path: string | undefined): void {
    if (path !== undefined && this.#paths.size < PATHS_MAX) {
      this.#paths.add(path);
      return;
    }
    this.#all = true;
    // The directory, or directories in it, may have been replaced.
    this.reopen();
  }
}

/** Identifies the directory at a path; undefined if there is none that can be read. */
export async function identityOf(path: string): Promise<string | undefined> {
  let stats: Stats | undefined;
  try {
    stats = await statOf(path);
  } catch {
    return undefined;
  }
  return stats?.isDirectory() === true ? `${stats.dev}-${stats.ino}` : undefined;
}
