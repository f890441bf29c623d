/** The watch on `<root>/<name>`. It is opened again when another directory is at that path. */
import type { Stats } from 'node:fs';
import { join } from 'node:path';

import type { Ignore } from '../shared/format/tree.ts';
import { statOf } from './read-path.ts';
import type { FileEvents, Watched } from './ports.ts';

/** With more changed paths than this, the whole tree is read. */
const PATHS_MAX = 1000;

export type FileEventsFor = { current(): FileEvents; polling: FileEvents; failed(error: unknown): boolean };

export class DirectoryWatch {
  readonly directory: string;
  #watched: Watched | undefined;
  #identity: string | undefined;
  #stale = false;
  /** The system cannot watch this directory (though it can watch others), so it is polled. */
  #polls = false;
  #paths = new Set<string>();
  #all = true;

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
    await this.close();
    this.#identity = identity;
    this.#stale = false;
    this.#all = true;
    this.#paths.clear();
    if (identity === undefined) return;
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
      await this.close();
      this.#identity = identity;
      // It has vanished again. Its removal is a change of the root, whose watch reports it.
      if ((await identityOf(this.directory)) === undefined) return;
      this.#polls = !fileEvents.failed(error);
      await open(this.#polls ? fileEvents.polling : fileEvents.current());
    }
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

  invalidate(): void {
    this.note(undefined);
  }

  /** Whether the path still holds the directory that is watched. */
  async isSame(): Promise<boolean> {
    return (await identityOf(this.directory)) === this.#identity;
  }

  async close(): Promise<void> {
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
