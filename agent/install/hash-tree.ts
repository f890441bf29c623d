/** A directory as a file list: what lies there now, read and hashed. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';

import { type FileEntry, counts, modeOf } from '../../shared/tree.ts';
import type { Disk } from '../disk/port.ts';
import type { Ground } from './ground.ts';

const CHUNK_BYTES = 256 * 1024;

/** The files that count in a tree, and the paths of entries that are neither files nor directories. */
export type HashedTree = { files: FileEntry[]; others: string[] };

/** Reads and hashes a whole tree; the marker and ignored files are left out. Throws what the disk throws. */
export function hashTree({ disk, ignore }: Ground, directory: string): HashedTree {
  const found: HashedTree = { files: [], others: [] };
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  const walk = (below: string): void => {
    for (const { name, kind } of disk.list(join(directory, below))) {
      const path = below === '' ? name : `${below}/${name}`;
      // The slash asks about the directory itself: patterns for files do not apply to what lies in it.
      if (!counts(kind === 'directory' ? `${path}/` : path, ignore)) {
        continue;
      }
      if (kind === 'directory') {
        walk(path);
      } else if (kind === 'file') {
        found.files.push({ path, ...hashFile(disk, join(directory, path), buffer) });
      } else {
        found.others.push(path);
      }
    }
  };
  walk('');
  return found;
}

export function hashFile(disk: Disk, path: string, buffer: Buffer): Omit<FileEntry, 'path'> {
  const fd = disk.open(path);
  try {
    const hash = createHash('sha256');
    let size = 0;
    for (let count = disk.read(fd, buffer); count > 0; count = disk.read(fd, buffer)) {
      hash.update(buffer.subarray(0, count));
      size += count;
    }
    return { size, mode: modeOf(disk.statOpen(fd).mode), sha256: hash.digest('hex') };
  } finally {
    disk.close(fd);
  }
}
