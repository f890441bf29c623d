/** Walks a tree on the disk. */
import { join } from 'node:path';

import type { Disk, Kind } from './port.ts';

/** The callbacks of a walk. Paths are relative to the top, which is ''. */
export type WalkSteps = {
  /** Whether an entry is part of the walk; default: every entry is. The path of a directory ends with a slash. */
  counts?: (path: string) => boolean;
  /** Called before the content of a directory. */
  enter?: (path: string) => void;
  /** Called for every entry that is not a directory. */
  entry: (path: string, kind: Kind) => void;
  /** Called after the content of a directory. */
  leave?: (path: string) => void;
};

/** Walks a tree, each directory in the order of the disk's listing. Links are not followed. Throws the errors of the disk. */
export function walkTree(disk: Pick<Disk, 'list'>, top: string, visitor: WalkSteps, path = ''): void {
  visitor.enter?.(path);
  for (const { name, kind } of disk.list(join(top, path))) {
    const inner = path === '' ? name : `${path}/${name}`;
    const isDirectory = kind === 'directory';
    // The slash marks a directory: patterns for files do not apply to it.
    if (visitor.counts?.(isDirectory ? `${inner}/` : inner) === false) {
      continue;
    }
    if (isDirectory) {
      walkTree(disk, top, visitor, inner);
    } else {
      visitor.entry(inner, kind);
    }
  }
  visitor.leave?.(path);
}
