/** Makes a tree durable that is there already, whoever has written it. */
import { join } from 'node:path';

import { syncDirectory } from '../disk/record.ts';
import type { Ground } from './ground.ts';

/** Returns when every file and every name of the tree is durable. Throws what the disk throws. */
export function syncTree({ disk }: Pick<Ground, 'disk'>, directory: string): void {
  const { syncAll } = disk;
  if (syncAll !== undefined && disk.canSyncAll(directory)) {
    // The dot goes through a link, for the owner may have put the root behind one.
    const fd = disk.open(`${directory}/.`);
    try {
      syncAll(fd);
    } finally {
      disk.close(fd);
    }
    return;
  }
  for (const { name, kind } of disk.list(directory)) {
    const path = join(directory, name);
    if (kind === 'directory') {
      syncTree({ disk }, path);
    } else if (kind === 'file') {
      const fd = disk.open(path);
      try {
        disk.sync(fd);
      } finally {
        disk.close(fd);
      }
    }
  }
  syncDirectory(disk, directory);
}
