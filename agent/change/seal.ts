/** The fourth step: the receipt, then the marker as the last file of the tree, all of it durable. */
import { MARKER } from '../../shared/format/layout.ts';
import { type Marker, writeMarker } from '../../shared/format/marker.ts';
import type { Receipt } from '../../shared/format/receipt.ts';
import { diskFault } from '../disk/disk-fault.ts';
import { putRecord, syncDirectory, syncFile, writeDurably } from '../disk/record.ts';
import type { Barrier } from './barrier.ts';
import type { StoreContext } from '../store/context.ts';
import type { Validated } from '../store/journal.ts';

/**
 * Seals a slot: when it returns, every file, name, mode and owner of the tree is durable and its marker says whose
 * it is. Until then a crash leaves a slot without a marker, which recovery throws away.
 *
 * @throws Fault MARKER_FAILED, NO_SPACE, READ_ONLY
 */
export function seal(
  context: StoreContext,
  slot: string,
  marker: Marker,
  tree: Validated,
  barrier: Barrier,
): void {
  const { disk, layout, policy } = context;
  const all = ['', ...tree.directories, ...tree.files.map(({ path }) => path)];
  try {
    if (policy.owner !== undefined) {
      for (const path of all) {
        disk.chown(`${slot}/${path}`, policy.owner.uid, policy.owner.gid);
      }
      // Each file was synced as it was written, and that was before it was given away.
      for (const { path } of barrier.perFile ? tree.files : []) {
        syncFile(disk, `${slot}/${path}`);
      }
    }
    const receipt: Receipt = { ...marker, list: tree.files, skipped: tree.skipped };
    putRecord(disk, layout.staging, marker.plugin, layout.receipt(marker.plugin, marker.installId), receipt);
    barrier.beforeMarker(slot, tree.directories);
    writeDurably(disk, `${slot}/${MARKER}`, writeMarker(marker), 0o644, policy.owner);
    barrier.afterMarker(slot);
    syncDirectory(disk, layout.staging);
  } catch (error) {
    throw diskFault(error, `Sealing "${marker.plugin}"`, 'MARKER_FAILED');
  }
}
