/** Gives a tree its marker: first the receipt, then the marker as the last file of the tree, all of it durable. */
import { type Marker, writeMarker } from '../../shared/format/marker.ts';
import type { Receipt } from '../../shared/format/receipt.ts';
import type { FileEntry } from '../../shared/format/tree.ts';
import { diskFault } from '../disk/disk-fault.ts';
import { putRecord, putUnsynced, syncDirectory } from '../disk/record.ts';
import type { StoreContext } from '../store/context.ts';
import { receiptBefore } from '../store/history.ts';
import type { Barrier, TreeToSeal } from './barrier.ts';

/** The fields of a marker that do not come from the files. */
type MarkerFacts = Omit<Marker, 'version' | 'files' | 'bytes' | 'skipped' | 'installedAt' | 'source'> & {
  source: string | undefined;
  /** The number of links that were left out. */
  skipped?: number | undefined;
};

/** The marker of a tree with these files, with the current time. */
export function markerOf(context: StoreContext, facts: MarkerFacts, files: readonly FileEntry[]): Marker {
  const {
    plugin,
    pluginVersion,
    installId,
    bundle,
    tree,
    source,
    by,
    replaced,
    skipped = 0,
    bundleUnread,
  } = facts;
  return {
    version: 1,
    plugin,
    pluginVersion,
    installId,
    bundle,
    ...(bundleUnread === undefined ? {} : { bundleUnread }),
    tree,
    files: files.length,
    bytes: files.reduce((sum, { size }) => sum + size, 0),
    ...(skipped === 0 ? {} : { skipped }),
    installedAt: new Date(context.now()).toISOString(),
    ...(source === undefined ? {} : { source }),
    by,
    replaced,
  };
}

/**
 * Seals a tree. When it returns, every file, name, mode and owner of the tree is durable, and the marker identifies it. A
 * crash before that leaves a slot that recovery does not take for the new version, or, in the live place, what was there
 * before.
 *
 * @throws Fault MARKER_FAILED, NO_SPACE, READ_ONLY
 */
export function seal(context: StoreContext, marker: Marker, tree: TreeToSeal, barrier: Barrier): void {
  const { disk, layout } = context;
  const { plugin, installId } = marker;
  try {
    barrier.giveAway(tree);
    const before = receiptBefore(context, plugin, marker.replaced);
    const receipt: Receipt = { ...marker, ...before, list: tree.files, ...tree.about };
    const put = barrier.coversAll ? putUnsynced : putRecord;
    put(disk, layout.staging, plugin, layout.receipt(plugin, installId), receipt);
    barrier.beforeMarker(tree);
    barrier.putMarker(tree, plugin, writeMarker(marker));
    if (!barrier.coversAll) {
      syncDirectory(disk, layout.staging);
    }
  } catch (error) {
    throw diskFault(error, `Sealing "${plugin}"`, 'MARKER_FAILED');
  }
}
