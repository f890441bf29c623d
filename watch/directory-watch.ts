/** The eyes on `<root>/<name>`: opened again whenever another directory lies there. */
import type { Stats } from 'node:fs';
import { join } from 'node:path';

import type { Ignore } from '../shared/format/tree.ts';
import { statOf } from './look.ts';
import type { FileEvents, Watched } from './ports.ts';

/** More changed paths than this, and the whole tree is looked at. */
const PATHS_MAX = 1000;

export type FileEventsFor = { current(): FileEvents; polling: FileEvents; failed(error: unknown): boolean };

export class DirectoryWatch {
  readonly directory: string;
  #watched: Watched | undefined;
  #identity: string | undefined;
  #stale = false;
  /** The system cannot watch this directory, though others: it is polled. */
  #polls = false;
  #paths = new Set<string>();
  #all = true;

  constructor(root: string, name: string) {
    this.directory = join(root, name);
  }

  /**
   * Sees to it that what lies there is watched.
   *
   * @param eyes `failed` says whether to try once more: it has changed the current ones.
   */
  async settle(fileEvents: FileEventsFor, ignore: Ignore, stir: () => void): Promise<void> {
    const identity = await identityOf(this.directory);
    if (identity === this.#identity && !this.#stale) return;
    await this.close();
    this.#identity = identity;
    this.#stale = false;
    this.#all = true;
    this.#paths.clear();
    if (identity === undefined) return;
    const open = async (which: FileEvents): Promise<void> => {
      const tell = (path: string | undefined): void => {
        // The slash asks about a directory: one may have a name by which files are ignored, and what lies in it counts.
        if (path !== undefined && ignore(`${path}/`)) return;
        this.note(path);
        stir();
      };
      const watched = which.open(this.directory, true, tell, (error) => {
        this.#polls = !fileEvents.failed(error);
        this.reopen();
        stir();
      });
      this.#watched = watched;
      await watched.ready;
    };
    try {
      await open(this.#polls ? fileEvents.polling : fileEvents.current());
    } catch (error) {
      await this.close();
      this.#identity = identity;
      // It has vanished again: whoever removed it has woken the eyes on the root.
      if ((await identityOf(this.directory)) === undefined) return;
      this.#polls = !fileEvents.failed(error);
      await open(this.#polls ? fileEvents.polling : fileEvents.current());
    }
  }

  /** Watch anew at the next settling: a directory came, and nobody can say since when it is watched. */
  reopen(): void {
    this.#stale = true;
  }

  /** Which directory was there when it was last looked at; undefined for none. */
  get identity(): string | undefined {
    return this.#identity;
  }

  /** Since when (milliseconds since the epoch) what has changed was perhaps not told; endless where it is told at once. */
  get seen(): number {
    return this.#watched?.seen?.() ?? Infinity;
  }

  /** It is looked at again and again, and nothing is told at once. */
  get isPolled(): boolean {
    return this.#watched?.seen !== undefined;
  }

  get isStale(): boolean {
    return this.#stale;
  }

  /**
   * Takes what has changed since it was last asked; undefined: whatever may have. Then what changed since it is watched
   * stays to be looked at: among that may be directories, which are watched anew.
   */
  take(): ReadonlySet<string> | undefined {
    const isAll = this.#all;
    this.#all = false;
    if (isAll) return undefined;
    const paths = this.#paths;
    this.#paths = new Set();
    return paths;
  }

  /** Something has changed since it was last asked. */
  get isStirred(): boolean {
    return this.#all || this.#paths.size > 0;
  }

  doubt(): void {
    this.note(undefined);
  }

  /** Whether the directory that is watched still lies there. */
  async isSame(): Promise<boolean> {
    return (await identityOf(this.directory)) === this.#identity;
  }

  async close(): Promise<void> {
    const watched = this.#watched;
    this.#watched = undefined;
    this.#identity = undefined;
    await watched?.close();
  }

  /** Is to be looked at the next time; undefined: nobody can say what. */
  note(path: string | undefined): void {
    if (path !== undefined && this.#paths.size < PATHS_MAX) {
      this.#paths.add(path);
      return;
    }
    this.#all = true;
    // The directory may be another one by now, and so may those in it.
    this.reopen();
  }
}

/** Undefined where there is no directory that can be looked at. */
export async function identityOf(path: string): Promise<string | undefined> {
  let stats: Stats | undefined;
  try {
    stats = await statOf(path);
  } catch {
    return undefined;
  }
  return stats?.isDirectory() === true ? `${stats.dev}-${stats.ino}` : undefined;
}
