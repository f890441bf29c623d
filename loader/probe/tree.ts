/** A plugin's tree as it lies there: every file with its size, mode and, if asked for, its digest. */
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';

import { type FileEntry, type Ignore, modeOf } from '../../shared/format/tree.ts';
import { hashFile, isMangled, walkTree } from '../../watch/files.ts';
import { mapBounded } from '../pool.ts';
import { isAbsence, troubleOf } from './trouble.ts';

/** Files that are hashed at the same time. */
const AT_ONCE = 16;

export type TreeFile = Omit<FileEntry, 'sha256'>;

export type Tree<F> = {
  files: F[];
  /** What no install leaves in a tree: links, fifos, sockets, devices, and names that are not UTF-8. */
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
  const gone = (path: string, error: unknown): void => {
    assertVanished(error, path);
    if (isMangled(path)) tree.strangers.push(path);
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
          else tree.strangers.push(path);
        } catch (error) {
          gone(path, error);
        }
      },
      unlistable: gone,
    },
  );
  return tree;
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
  await mapBounded(files, AT_ONCE, async ({ path }) => {
    signal?.throwIfAborted();
    try {
      const found = await hashFile(join(root, path), signal);
      if (found.kind === 'file') {
        const { size, mode, sha256 } = found;
        tree.files.push({ path, size, mode, sha256 });
      } else {
        tree.strangers.push(path);
      }
    } catch (error) {
      signal?.throwIfAborted();
      assertVanished(error, path);
    }
  });
  return tree;
}
