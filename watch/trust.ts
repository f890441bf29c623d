/** What of a live tree may be believed without reading it, by the times that nobody can set. */
import type { Stats } from 'node:fs';
import { dirname, join } from 'node:path';

import { type FileEntry, modeOf } from '../shared/format/tree.ts';
import { type KnownDigest, statOf } from './look.ts';

/** The times of a file system are as coarse as the kernel's tick. */
const TICK_MILLIS = 20;

/** Whether something has been as it is since before a moment (milliseconds since the epoch). */
export const isBefore = (stats: Stats, at: number): boolean => stats.ctimeMs < at - TICK_MILLIS;

/** How a file is found by its path. */
export function fileOf(list: readonly FileEntry[] | undefined): (path: string) => FileEntry | undefined {
  const files = new Map(list?.map((file) => [file.path, file]));
  return (path) => files.get(path);
}

/**
 * The marker is the last file of an install: what has not changed since is as its receipt says, or as it was when it
 * was last read. Every change of a file, its mode or its name sets its ctime, which nobody can set; with a directory that
 * takes another name the files in it come along, and only its own ctime is set.
 */
export function spareOf(
  root: string,
  sealed: number,
  known: (path: string) => FileEntry | undefined,
): KnownDigest {
  const looked = new Map<string, Promise<boolean>>();
  const isSealed = (directory: string): Promise<boolean> => {
    if (directory === '.') return Promise.resolve(true);
    const before = looked.get(directory);
    if (before !== undefined) return before;
    const now = (async () => {
      const stats = await statOf(join(root, directory)).catch(() => undefined);
      return stats !== undefined && isBefore(stats, sealed) && (await isSealed(dirname(directory)));
    })();
    looked.set(directory, now);
    return now;
  };
  return async (path, stats) => {
    const file = isBefore(stats, sealed) ? known(path) : undefined;
    if (file?.size !== stats.size || file.mode !== modeOf(stats.mode)) return undefined;
    return (await isSealed(dirname(path))) ? file : undefined;
  };
}

/**
 * Whether what lies at a path, or that nothing does, has been so since a moment (milliseconds since the epoch): a file can
 * also come or go with a directory above it.
 */
export async function isSince(root: string, path: string, at: number): Promise<boolean> {
  let isThere = false;
  for (let below = path; below !== '.' || !isThere; below = dirname(below)) {
    const stats = await statOf(join(root, below)).catch(() => undefined);
    if (stats !== undefined && !isBefore(stats, at)) return false;
    isThere ||= stats !== undefined;
    if (below === '.') break;
  }
  return true;
}
