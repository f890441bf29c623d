/** A plugin's tree as it lies there: every file with its size, mode and, if asked for, its digest. */
import { createHash } from 'node:crypto';
import type { Dirent } from 'node:fs';
import { lstat, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { type FileEntry, type Ignore, counts, modeOf } from '../../shared/format/tree.ts';
import { mapBounded } from '../pool.ts';
import { OPEN_CAUTIOUSLY } from './file.ts';
import { isAbsence, troubleOf } from './trouble.ts';

const AT_ONCE = 16;
const CHUNK_BYTES = 128 * 1024;

export type TreeFile = Omit<FileEntry, 'sha256'>;

export type Tree<F> = {
  files: F[];
  /** Paths of links, fifos, sockets and devices, which no install leaves in a tree. */
  strangers: string[];
};

/** Something in the tree cannot be read: the gate says so instead of guessing. */
export class TreeUnreadable extends Error {
  constructor(path: string, why: string) {
    super(`"${path}" cannot be read: ${why}`);
  }
}

/**
 * Lists a tree without its marker and what is ignored. What vanishes meanwhile is left out; links are not followed.
 * @throws TreeUnreadable; the signal's reason.
 */
export async function listTree(
  root: string,
  ignore: Ignore,
  signal: AbortSignal | undefined,
): Promise<Tree<TreeFile>> {
  const tree: Tree<TreeFile> = { files: [], strangers: [] };
  let level = [''];
  while (level.length > 0) {
    const below = await mapBounded(level, AT_ONCE, async (directory) => {
      signal?.throwIfAborted();
      return listDirectory(root, directory);
    });
    const entries = below.flat();
    // The empty last name asks about the directory itself: patterns for files do not apply to what lies below it.
    level = entries
      .filter(({ entry, path }) => entry.isDirectory() && !ignore(`${path}/`))
      .map(({ path }) => path);
    const others = entries.filter(({ entry, path }) => !entry.isDirectory() && counts(path, ignore));
    await mapBounded(others, AT_ONCE, async ({ path }) => {
      await listFile(root, path, tree);
    });
  }
  return tree;
}

type Below = { path: string; entry: Dirent };

async function listDirectory(root: string, directory: string): Promise<Below[]> {
  try {
    const entries = await readdir(join(root, directory), { withFileTypes: true });
    return entries.map((entry) => ({
      path: directory === '' ? entry.name : `${directory}/${entry.name}`,
      entry,
    }));
  } catch (error) {
    assertVanished(error, directory);
    return [];
  }
}

async function listFile(root: string, path: string, { files, strangers }: Tree<TreeFile>): Promise<void> {
  try {
    const stats = await lstat(join(root, path));
    if (stats.isFile()) {
      files.push({ path, size: stats.size, mode: modeOf(stats.mode) });
    } else {
      strangers.push(path);
    }
  } catch (error) {
    assertVanished(error, path);
    // A name that is no UTF-8 is listed with a replacement character and cannot be found by it.
    if (path.includes('\uFFFD')) {
      strangers.push(path);
    }
  }
}

/** @throws TreeUnreadable unless the error says that there is nothing of that name any more. */
function assertVanished(error: unknown, path: string): void {
  const trouble = troubleOf(error);
  if (!isAbsence(trouble)) {
    throw new TreeUnreadable(path, trouble.why);
  }
}

/**
 * Hashes the files of a list, with the size and mode that they have by then. One that has vanished is left out.
 * @throws TreeUnreadable; the signal's reason.
 */
export async function hashTree(
  root: string,
  { files, strangers }: Tree<TreeFile>,
  signal: AbortSignal | undefined,
): Promise<Tree<FileEntry>> {
  const tree: Tree<FileEntry> = { files: [], strangers: [...strangers] };
  await mapBounded(files, AT_ONCE, async (file) => {
    signal?.throwIfAborted();
    try {
      await hashFile(root, file, tree, signal);
    } catch (error) {
      signal?.throwIfAborted();
      assertVanished(error, file.path);
    }
  });
  return tree;
}

async function hashFile(
  root: string,
  { path }: TreeFile,
  { files, strangers }: Tree<FileEntry>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const file = await open(join(root, path), OPEN_CAUTIOUSLY);
  try {
    const stats = await file.stat();
    if (!stats.isFile()) {
      strangers.push(path);
      return;
    }
    const hash = createHash('sha256');
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, stats.size + 1));
    let size = 0;
    for (;;) {
      signal?.throwIfAborted();
      const { bytesRead } = await file.read(chunk, 0, chunk.length, size);
      if (bytesRead === 0) {
        break;
      }
      hash.update(chunk.subarray(0, bytesRead));
      size += bytesRead;
    }
    files.push({ path, size, mode: modeOf(stats.mode), sha256: hash.digest('hex') });
  } finally {
    await file.close();
  }
}
