/** What a restart of the machine may have taken of versions that were written without syncs. */
import { join } from 'node:path';

import { MARKER } from '../../shared/layout.ts';
import { treeDigest } from '../../shared/tree.ts';
import { syncDirectory } from '../disk/record.ts';
import type { Ground } from './ground.ts';
import { hashTree } from './hash-tree.ts';
import { receiptOf } from './inspect.ts';
import { installIdAt, markerAt } from './marker-at.ts';
import { noteTrouble } from './notes.ts';
import { isAsInstalled, snapshotsOf } from './snapshots.ts';

/**
 * Compares what is live and what is kept of a plugin with the receipts. What is not as it was installed loses its marker:
 * then the gate refuses it, and it comes back only by force.
 *
 * @returns whether that is what happened to the live version. Throws what the disk throws: then nobody knows.
 */
export function unmarkLost(ground: Ground, plugin: string): boolean {
  const { layout } = ground;
  for (const stamp of snapshotsOf(ground, plugin)) {
    unmark(ground, plugin, layout.snapshot(plugin, stamp));
  }
  if (!unmark(ground, plugin, layout.live(plugin))) {
    return false;
  }
  noteTrouble(ground, plugin, {
    operationId: 'volatile',
    what: `"${plugin}" is not as it was installed: it was written without syncs, and the machine was restarted`,
    todo: `Install "${plugin}" again`,
    hold: undefined,
  });
  return true;
}

/** @returns whether it had a marker and has none now. */
function unmark(ground: Ground, plugin: string, directory: string): boolean {
  const { disk } = ground;
  const marker = join(directory, MARKER);
  // Without a marker the gate refuses it anyway.
  if (disk.stat(directory)?.kind !== 'directory' || disk.stat(marker) === undefined) {
    return false;
  }
  if (isWhole(ground, plugin, directory)) {
    return false;
  }
  disk.unlink(marker);
  syncDirectory(disk, directory);
  return true;
}

/** By the receipt or, where that is gone, by the digest in the marker. What cannot be read is not whole. */
function isWhole(ground: Ground, plugin: string, directory: string): boolean {
  const installId = installIdAt(ground, directory);
  try {
    if (installId !== undefined && receiptOf(ground, plugin, installId) !== undefined) {
      return isAsInstalled(ground, plugin, directory);
    }
    const { files, others } = hashTree(ground, directory);
    return others.length === 0 && markerAt(ground, directory)?.tree === treeDigest(files);
  } catch {
    return false;
  }
}
