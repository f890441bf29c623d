/** Reads and hashes a directory as a list of files. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { counts, type FileEntry, modeOf } from '../../shared/format/tree.ts';
import type { Disk } from '../disk/port.ts';
import { syncDirectory, syncFile } from '../disk/record.ts';
import { type WalkSteps, walkTree } from '../disk/walk.ts';
import type { StoreContext } from './context.ts';

const CHUNK_BYTES = 256 * 1024;

/** The files of a tree that count, and the paths of entries that are neither files nor directories. */
export type HashedTree = { files: FileEntry[]; others: string[] };

/** Walks the entries of a tree that count; see {@link walkTree}. */
export function walkCounted(
  { disk, ignore }: Pick<StoreContext, 'ignore'> & { disk: Pick<Disk, 'list'> },
  directory: string,
  entry: WalkSteps['entry'],
): void {
  walkTree(disk, directory, { counts: (path) => counts(path, ignore), entry });
}

/**
 * Reads and hashes a tree, without the marker and ignored files. Throws the errors of the disk.
 *
 * @param begins receives the first bytes of each file that is not empty. They are overwritten after it returns.
 */
export function hashTree(
  context: Pick<StoreContext, 'disk' | 'ignore'>,
  directory: string,
  begins?: (path: string, first: Buffer) => void,
): HashedTree {
  const found: HashedTree = { files: [], others: [] };
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  walkCounted(context, directory, (path, kind) => {
    if (kind === 'file') {
      const first = begins && ((bytes: Buffer): void => begins(path, bytes));
      found.files.push({ path, ...hashFile(context.disk, join(directory, path), buffer, first) });
    } else {
      found.others.push(path);
    }
  });
  return found;
}

/**
 * A text that changes when a file of a tree is changed, added, removed or replaced. It is made of names and ctimes, which
 * nobody can set. No file is read. Throws the errors of the disk.
 */
export function fingerprintOf(context: Pick<StoreContext, 'disk' | 'ignore'>, directory: string): string {
  const lines: string[] = [];
  walkCounted(context, directory, (path, kind) => {
    lines.push(`${path}\0${kind}\0${context.disk.changedAt(join(directory, path)) ?? ''}\n`);
  });
  return createHash('sha256').update(lines.toSorted().join(''), 'utf8').digest('hex');
}

/** The digest of a file, read through a shared buffer. Throws the errors of the disk. @param begins as of {@link hashTree}. */
export function hashFile(
  disk: Disk,
  path: string,
  buffer: Buffer,
  begins?: (first: Buffer) => void,
): Omit<FileEntry, 'path'> {
  const fd = disk.open(path);
  try {
    const hash = createHash('sha256');
    let size = 0;
    for (let count = disk.read(fd, buffer); count > 0; count = disk.read(fd, buffer)) {
      const bytes = buffer.subarray(0, count);
      if (size === 0) {
        begins?.(bytes);
      }
      hash.update(bytes);
      size += count;
    }
    return { size, mode: modeOf(disk.statOpen(fd).mode), sha256: hash.digest('hex') };
  } finally {
    disk.close(fd);
  }
}

/** When it returns, every file and every name of the tree is durable. Throws the errors of the disk. */
export function syncTree({ disk }: Pick<StoreContext, 'disk'>, directory: string): void {
  const { syncAll } = disk;
  if (syncAll !== undefined && disk.canSyncAll(directory)) {
    // The dot follows a link, because the owner may have put the root behind one.
    const fd = disk.open(`${directory}/.`);
    try {
      syncAll(fd);
    } finally {
      disk.close(fd);
    }
    return;
  }
  walkTree(disk, directory, {
    entry: (path, kind) => {
      if (kind === 'file') {
        syncFile(disk, join(directory, path));
      }
    },
    leave: (path) => syncDirectory(disk, join(directory, path)),
  });
}
