/**
 * Moves a live version out of a lower overlay layer (the image), where it cannot be renamed: copies it to its snapshot,
 * makes the copy durable, and then removes the original.
 */
import { join } from 'node:path';

import { Fault } from '../../shared/api/fault.ts';
import { removeTree, syncDirectory } from '../disk/record.ts';
import { walkTree } from '../disk/walk.ts';
import { clearLive, renameDurably, settle, trash } from '../store/durable-rename.ts';
import { attempt, type StoreContext } from '../store/context.ts';
import { type Journal, amend } from '../store/journal.ts';

const CHUNK_BYTES = 256 * 1024;

/**
 * Moves live to its snapshot by a copy and records each step in the journal. After the removal has begun, undoing means
 * to finish it and to put the copy in the live place.
 */
export function copyAway(context: StoreContext, journal: Journal): void {
  const { disk, layout } = context;
  const { moves } = journal;
  const { plugin, stamp } = journal.intent;
  const live = layout.live(plugin);
  const snapshot = layout.snapshot(plugin, stamp);
  // An incomplete copy has a name that is not that of a snapshot.
  const growing = `${snapshot}.old`;
  removeTree(disk, growing);
  try {
    copyTree(context, live, growing);
  } catch (error) {
    attempt(context, 'Removing a copy that is not whole', () => removeTree(disk, growing));
    throw error;
  }
  moves.push({
    what: 'the live version to its snapshot, by a copy',
    undo: () => {
      removeTree(disk, growing);
      if (disk.stat(snapshot) !== undefined) {
        trash(context, snapshot);
      }
    },
    durable: () => syncDirectory(disk, layout.previous),
  });
  renameDurably(context, growing, snapshot);
  amend(context, journal, { clearing: true });
  moves.push({
    what: 'the live version out of its place',
    undo: () => {
      if (disk.stat(live) !== undefined) {
        clearLive(context, live);
      }
      disk.rename(snapshot, live);
    },
    durable: () => settle(context, snapshot, live),
  });
  clearLive(context, live);
}

/** Copies files and directories with their modes and owners, durably. The caller syncs the name of the copy. */
function copyTree(context: StoreContext, from: string, to: string): void {
  const { disk } = context;
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  const copyEntry = (path: string): void => {
    const source = join(from, path);
    if (disk.stat(source)?.kind !== 'file') {
      throw new Fault(
        'SWAP_FAILED',
        `"${source}" is neither a file nor a directory, so it cannot be copied`,
        {
          hint: 'It lies in a layer of the image: build the image without it',
        },
      );
    }
    copyFile(context, source, join(to, path), buffer);
  };
  if (disk.stat(from)?.kind !== 'directory') {
    copyEntry('');
    return;
  }
  walkTree(disk, from, {
    enter: (path) => {
      const stat = disk.stat(join(from, path));
      if (stat === undefined) {
        throw new Fault('SWAP_FAILED', `"${join(from, path)}" has gone while it was copied`);
      }
      disk.mkdir(join(to, path), stat.mode);
      giveTo(context, join(to, path), stat);
    },
    entry: copyEntry,
    leave: (path) => syncDirectory(disk, join(to, path)),
  });
}

function copyFile(context: StoreContext, source: string, target: string, buffer: Buffer): void {
  const { disk } = context;
  const from = disk.open(source);
  try {
    const stat = disk.statOpen(from);
    const to = disk.create(target, stat.mode);
    try {
      for (let count = disk.read(from, buffer); count > 0; count = disk.read(from, buffer)) {
        disk.write(to, buffer.subarray(0, count));
      }
      giveTo(context, target, stat);
      disk.sync(to);
    } finally {
      disk.close(to);
    }
  } finally {
    disk.close(from);
  }
}

function giveTo({ disk }: StoreContext, path: string, { uid, gid }: { uid: number; gid: number }): void {
  const made = disk.stat(path);
  if (made?.uid !== uid || made.gid !== gid) {
    disk.chown(path, uid, gid);
  }
}
