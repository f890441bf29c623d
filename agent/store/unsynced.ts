/** Finds versions that were written without syncs and damaged by a restart of the machine. */
import { join } from 'node:path';

import { MARKER } from '../../shared/format/layout.ts';
import { treeDigest } from '../../shared/format/tree.ts';
import { syncDirectory } from '../disk/record.ts';
import type { StoreContext } from './context.ts';
import { hashTree } from './tree.ts';
import { receiptOf } from './records.ts';
import { installIdAt, markerAt } from './marker.ts';
import { noteTrouble } from './state.ts';
import { isAsInstalled, snapshotsOf } from './snapshots.ts';

/**
 * Compares the live version and the snapshots of a plugin with their receipts. A version that differs loses its marker.
 * Then the gate refuses it, and a rollback to it needs force.
 *
 * @returns whether the live version lost its marker. Throws the errors of the disk; then that is not known.
 */
export function unmarkLost(context: StoreContext, plugin: string): boolean {
  const { layout } = context;
  for (const stamp of snapshotsOf(context, plugin)) {
    unmark(context, plugin, layout.snapshot(plugin, stamp));
  }
  if (!unmark(context, plugin, layout.live(plugin))) {
    return false;
  }
  noteTrouble(context, plugin, {
    operationId: 'volatile',
    what: `"${plugin}" differs from its receipt: it was written without syncs before the machine was restarted`,
    todo: `Install "${plugin}" again`,
    hold: undefined,
  });
  return true;
}

/** @returns whether it had a marker and has none now. */
function unmark(context: StoreContext, plugin: string, directory: string): boolean {
  const { disk } = context;
  const marker = join(directory, MARKER);
  // Without a marker the gate refuses it anyway.
  if (disk.stat(directory)?.kind !== 'directory' || disk.stat(marker) === undefined) {
    return false;
  }
  if (isWhole(context, plugin, directory)) {
    return false;
  }
  disk.unlink(marker);
  syncDirectory(disk, directory);
  return true;
}

/** Compares with the receipt, or, if there is none, with the digest in the marker. What cannot be read is not whole. */
function isWhole(context: StoreContext, plugin: string, directory: string): boolean {
  const installId = installIdAt(context, directory);
  try {
    if (installId !== undefined && receiptOf(context, plugin, installId) !== undefined) {
      return isAsInstalled(context, plugin, directory);
    }
    const { files, others } = hashTree(context, directory);
    return others.length === 0 && markerAt(context, directory)?.tree === treeDigest(files);
  } catch {
    return false;
  }
}
