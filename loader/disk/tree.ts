/** Reads a plugin's tree: every file with its size and mode, and its digest if requested. */
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';

import { type FileEntry, type Ignore, modeOf } from '../../shared/format/tree.ts';
import { hashFile, isMangled, walkTree } from '../../watch/files.ts';
import { mapBounded } from '../pool.ts';
import { isMissing, systemErrorOf } from './system-error.ts';

/** Files that are hashed at the same time. */
const AT_ONCE = 16;

export type TreeFile = Omit<FileEntry, 'sha256'>;

export type Tree<F> = {
  files: F[];
  /** Entries that no install creates: links, fifos, sockets, devices, and names that are not UTF-8. */
  foreign: string[];
};

/** A part of the tree cannot be read, so the gate refuses the plugin. */
export class TreeUnreadable extends Error {
  constructor(path: string, why: string) {
    super(`"${path}" cannot be read: ${why}`);
  }
}

/**
 * Lists a tree without its marker and ignored names. Files that vanish meanwhile are left out. Links are not followed.
 * @throws TreeUnreadable; the signal's reason.
 */
export async function listTree(
  root: string,
  ignore: Ignore,
  signal: AbortSignal | undefined,
): Promise<Tree<TreeFile>> {
  const tree: Tree<TreeFile> = { files: [], foreign: [] };
  const gone = (path: string, error: unknown): void => {
    assertVanished(error, path);
    if (isMangled(path)) tree.foreign.push(path);
  };
  await walkTree(
    root,
    '',
    { ignore, signal },
    {
      entry: async (path) => {
        try {
          const stats = await lstat(join(root, path));
          if (stats.isFile()) tree.files.push({ path, size: stats.size, mode: modeOf(stats.mode) });
          else tree.foreign.push(path);
        } catch (error) {
          gone(path, error);
        }
      },
      unlistable: gone,
    },
  );
  return tree;
}

/** @throws TreeUnreadable unless the error says that the path no longer exists. */
function assertVanished(error: unknown, path: string): void {
  const problem = systemErrorOf(error);
  if (!isMissing(problem)) {
    throw new TreeUnreadable(path, problem.why);
  }
}

/**
 * Hashes the files of a list, with their size and mode at that time. A file that has vanished is left out.
 * @throws TreeUnreadable; the signal's reason.
 */
export async function hashTree(
  root: string,
  { files, foreign }: Tree<TreeFile>,
  signal: AbortSignal | undefined,
): Promise<Tree<FileEntry>> {
  const tree: Tree<FileEntry> = { files: [], foreign: [...foreign] };
  await mapBounded(files, AT_ONCE, async ({ path }) => {
    signal?.throwIfAborted();
    try {
      const found = await hashFile(join(root, path), signal);
      if (found.kind === 'file') {
        const { size, mode, sha256 } = found;
        tree.files.push({ path, size, mode, sha256 });
      } else {
        tree.foreign.push(path);
      }
    } catch (error) {
      signal?.throwIfAborted();
      assertVanished(error, path);
    }
  });
  return tree;
}
