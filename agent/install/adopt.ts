/** A tree that lies in the live place without a full marker gets one, if it stands still while it is looked at. */
import { Fault } from '../../shared/fault.ts';
import { MARKER } from '../../shared/layout.ts';
import { type Marker, writeMarker } from '../../shared/marker.ts';
import type { Receipt } from '../../shared/receipt.ts';
import { treeDigest } from '../../shared/tree.ts';
import { putRecord, putText, syncDirectory } from '../disk/record.ts';
import type { Ground } from './ground.ts';
import { type HashedTree, hashTree } from './hash-tree.ts';
import { inspect } from './inspect.ts';
import { lookAtLive, takeSlot } from './slot.ts';
import { syncTree } from './sync-tree.ts';
import { isVolatileElsewhere } from './volatility.ts';

/** Who stands in the marker of a tree that was adopted by itself. */
const BY = 'airlock';

/**
 * Turns the empty marker of an operator's `touch` into a full one: the tree is digested, synced and digested again.
 * Nothing is done where the marker is another, or where a restart of the machine may have left empty files behind.
 *
 * @returns whether it was adopted.
 * @throws Fault CONFLICT if the tree changes meanwhile or holds what no plugin may; what the disk throws.
 */
export function adoptTouched(ground: Ground, plugin: string): boolean {
  if (lookAtLive(ground, plugin)?.kind !== 'empty-marker' || isVolatileElsewhere(ground)) {
    return false;
  }
  const judged = inspect(ground, plugin);
  if (judged?.admitted !== true) {
    return false;
  }
  const { disk, layout } = ground;
  const live = layout.live(plugin);
  const found = lookTwice(ground, plugin);
  const tree = treeDigest(found.files);
  const stamp = takeSlot(ground, plugin, tree.slice('sha256:'.length), null);
  // It only arbitrates the stamp; beside a marker of its stamp it would be taken for what that has displaced.
  disk.rmdir(layout.slot(plugin, stamp));
  const marker: Marker = {
    version: 1,
    plugin,
    pluginVersion: judged.manifest?.version ?? '0.0.0',
    installId: stamp,
    // There was no bundle: the tree's own digest stands here, which is equal to no bundle's.
    bundle: tree,
    tree,
    files: found.files.length,
    bytes: found.files.reduce((sum, { size }) => sum + size, 0),
    installedAt: new Date(ground.now()).toISOString(),
    by: BY,
    replaced: null,
  };
  const receipt: Receipt = { ...marker, list: found.files, skipped: [] };
  putRecord(disk, layout.staging, plugin, layout.receipt(plugin, stamp), receipt);
  // No marker without its receipt, also after a power cut.
  syncDirectory(disk, layout.staging);
  putText(disk, layout.staging, plugin, `${live}/${MARKER}`, writeMarker(marker));
  syncDirectory(disk, layout.staging);
  return true;
}

function lookTwice(ground: Ground, plugin: string): HashedTree {
  const live = ground.layout.live(plugin);
  const before = hashTree(ground, live);
  syncTree(ground, live);
  const after = hashTree(ground, live);
  if (treeDigest(before.files) !== treeDigest(after.files)) {
    throw new Fault('CONFLICT', `"${plugin}" changes while it is looked at, so it is not adopted`, {
      hint: 'Find out who writes there; it is tried again at the next sweep',
    });
  }
  const [strange] = after.others;
  if (strange !== undefined) {
    throw new Fault('CONFLICT', `"${plugin}" holds "${strange}", which is no file, so it is not adopted`, {
      hint: 'Remove it, or install the plugin from a bundle',
    });
  }
  return after;
}
