/** Tells by ctime, which nobody can set, which files of a live tree are unchanged and need not be read. */
import type { Stats } from 'node:fs';
import { dirname, join } from 'node:path';

import { type FileEntry, modeOf } from '../shared/format/tree.ts';
import { type KnownDigest, statOf } from './read-path.ts';

/** The times of a file system are as coarse as the kernel's tick. */
const TICK_MILLIS = 20;

/** Whether a file has not changed since a time (milliseconds since the epoch). */
export const isUnchangedSince = (stats: Stats, at: number): boolean => stats.ctimeMs < at - TICK_MILLIS;

/** Finds a file in a list by its path. */
export function findIn(list: readonly FileEntry[] | undefined): (path: string) => FileEntry | undefined {
  const files = new Map(list?.map((file) => [file.path, file]));
  return (path) => files.get(path);
}

/**
 * The marker is the last file that an install writes. A file that has not changed since then is as in the receipt, or as
 * it was when it was last read. Every change of a file's content, mode or name sets its ctime. If a directory is renamed,
 * only its own ctime is set, so the directories above a file are checked too.
 */
export function knownDigests(
  root: string,
  sealed: number,
  known: (path: string) => FileEntry | undefined,
): KnownDigest {
  const checked = new Map<string, Promise<boolean>>();
  const isSealed = (directory: string): Promise<boolean> => {
    if (directory === '.') return Promise.resolve(true);
    const before = checked.get(directory);
    if (before !== undefined) return before;
    const now = (async () => {
      const stats = await statOf(join(root, directory)).catch(() => undefined);
      return stats !== undefined && isUnchangedSince(stats, sealed) && (await isSealed(dirname(directory)));
    })();
    checked.set(directory, now);
    return now;
  };
  return async (path, stats) => {
    const file = isUnchangedSince(stats, sealed) ? known(path) : undefined;
    if (file?.size !== stats.size || file.mode !== modeOf(stats.mode)) return undefined;
    return (await isSealed(dirname(path))) ? file : undefined;
  };
}

/**
 * Whether the entry at a path, or its absence, has not changed since a time (milliseconds since the epoch). A file can
 * also appear or disappear with a directory above it.
 */
export async function isPathUnchangedSince(root: string, path: string, at: number): Promise<boolean> {
  let isThere = false;
  for (let below = path; below !== '.' || !isThere; below = dirname(below)) {
    const stats = await statOf(join(root, below)).catch(() => undefined);
    if (stats !== undefined && !isUnchangedSince(stats, at)) return false;
    isThere ||= stats !== undefined;
    if (below === '.') break;
  }
  return true;
}
