/** The one walk over a tree on the disk. */
import { join } from 'node:path';

import type { Disk, Kind } from './port.ts';

/** What is done on the way. Paths are relative to the top, which is ''. */
export type WalkSteps = {
  /** Whether an entry is part of the walk; left out: every one is. The path of a directory ends with a slash. */
  counts?: (path: string) => boolean;
  /** Before what lies in a directory. */
  enter?: (path: string) => void;
  /** Whatever is no directory. */
  entry: (path: string, kind: Kind) => void;
  /** After what lies in a directory. */
  leave?: (path: string) => void;
};

/** Walks a tree, each directory in the order in which the disk lists it. Links are not followed. Throws what the disk throws. */
export function walkTree(disk: Pick<Disk, 'list'>, top: string, visitor: WalkSteps, path = ''): void {
  visitor.enter?.(path);
  for (const { name, kind } of disk.list(join(top, path))) {
    const inner = path === '' ? name : `${path}/${name}`;
    const isDirectory = kind === 'directory';
    // The slash asks about the directory itself: patterns for files do not apply to what lies in it.
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
