/** A tree that lies in the live place without a full marker gets one, if it stands still while it is looked at. */
import { Fault } from '../../shared/api/fault.ts';
import { treeDigest } from '../../shared/format/tree.ts';
import type { StoreContext } from '../store/context.ts';
import { type HashedTree, hashTree, syncTree } from '../store/tree.ts';
import { inspect } from '../store/inspect.ts';
import { liveVersionOf, takeSlot } from '../store/journal.ts';
import { isUnsyncedElsewhere } from '../store/records.ts';
import { standingBarrier } from './barrier.ts';
import { markerOf, seal } from './seal.ts';

/** Who stands in the marker of a tree that was adopted by itself. */
const BY = 'airlock';

/**
 * Turns the empty marker of an operator's `touch` into a full one: the tree is digested, synced and digested again.
 * Nothing is done where the marker is another, or where a restart of the machine may have left empty files behind.
 *
 * @returns whether it was adopted.
 * @throws Fault CONFLICT if the tree changes meanwhile or holds what no plugin may; what the disk throws.
 */
export function adoptTouched(context: StoreContext, plugin: string): boolean {
  if (liveVersionOf(context, plugin)?.kind !== 'empty-marker' || isUnsyncedElsewhere(context)) {
    return false;
  }
  const judged = inspect(context, plugin);
  if (judged?.admitted !== true) {
    return false;
  }
  const { disk, layout } = context;
  const found = lookTwice(context, plugin);
  const tree = treeDigest(found.files);
  const stamp = takeSlot(context, plugin, tree, null);
  // It only arbitrates the stamp; beside a marker of its stamp it would be taken for what that has displaced.
  disk.rmdir(layout.slot(plugin, stamp));
  const facts = {
    plugin,
    pluginVersion: judged.manifest?.version ?? '0.0.0',
    installId: stamp,
    // There was no bundle: the tree's own digest stands here, which is equal to no bundle's.
    bundle: tree,
    tree,
    source: undefined,
    by: BY,
    replaced: null,
  };
  const marker = markerOf(context, facts, found.files);
  const unsealed = { directory: layout.live(plugin), files: found.files, directories: [], skipped: [] };
  seal(context, marker, unsealed, standingBarrier(context, { isDurable: true }));
  return true;
}

function lookTwice(context: StoreContext, plugin: string): HashedTree {
  const live = context.layout.live(plugin);
  const before = hashTree(context, live);
  syncTree(context, live);
  const after = hashTree(context, live);
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
