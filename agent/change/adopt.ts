/** A tree that lies in the live place without a full marker gets one, if it stands still while it is looked at. */
import { Fault } from '../../shared/api/fault.ts';
import { type FileEntry, treeDigest } from '../../shared/format/tree.ts';
import type { AdmissionDecision } from '../../shared/rule/admission.ts';
import type { StoreContext } from '../store/context.ts';
import { fingerprintOf, hashTree, syncTree } from '../store/tree.ts';
import { inspect } from '../store/inspect.ts';
import { liveVersionOf } from '../store/marker.ts';
import { takeSlot } from '../store/journal.ts';
import { isUnsyncedElsewhere } from '../store/records.ts';
import { standingBarrier } from './barrier.ts';
import { markerOf, seal } from './seal.ts';

/** Who stands in the marker of a tree that was adopted by itself. */
const BY = 'airlock';

/** A tree without a full marker that stood still while it was looked at, and its fingerprint from before. */
export type AdoptPlan = { files: FileEntry[]; fingerprint: string };

/** Nothing is done where the marker is another, or where a restart of the machine may have left empty files behind. */
function judgeTouched(
  context: StoreContext,
  plugin: string,
): (AdmissionDecision & { admitted: true }) | undefined {
  if (liveVersionOf(context, plugin)?.kind !== 'empty-marker' || isUnsyncedElsewhere(context)) {
    return undefined;
  }
  const judged = inspect(context, plugin);
  return judged?.admitted === true ? judged : undefined;
}

/**
 * Looks whether an operator's `touch` is to become a full marker: the tree is digested, synced and digested again, which may
 * take long. The plugin's lock is not needed.
 *
 * @returns undefined if there is nothing to adopt.
 * @throws Fault CONFLICT if the tree changes meanwhile or holds what no plugin may; what the disk throws.
 */
export function planAdopt(context: StoreContext, plugin: string): AdoptPlan | undefined {
  return judgeTouched(context, plugin) && lookTwice(context, plugin);
}

/**
 * Turns the empty marker of an operator's `touch` into a full one. The plugin's lock is the caller's to hold.
 *
 * @param touched what was found before; looked for here without it.
 * @returns whether it was adopted.
 * @throws Fault CONFLICT if the tree has changed meanwhile or holds what no plugin may; what the disk throws.
 */
export function adoptTouched(
  context: StoreContext,
  plugin: string,
  touched = planAdopt(context, plugin),
): boolean {
  const { disk, layout } = context;
  const live = layout.live(plugin);
  const judged = touched && judgeTouched(context, plugin);
  if (judged === undefined) {
    return false;
  }
  if (fingerprintOf(context, live) !== touched?.fingerprint) {
    throw changing(plugin);
  }
  const { files } = touched;
  const tree = treeDigest(files);
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
  const marker = markerOf(context, facts, files);
  const unsealed = { directory: live, files, directories: [], skipped: [] };
  seal(context, marker, unsealed, standingBarrier(context, { isDurable: true }));
  return true;
}

const changing = (plugin: string): Fault =>
  new Fault('CONFLICT', `"${plugin}" changes while it is read, so it is not adopted`, {
    hint: 'Find the process that writes there; the next sweep tries again',
  });

function lookTwice(context: StoreContext, plugin: string): AdoptPlan {
  const live = context.layout.live(plugin);
  const fingerprint = fingerprintOf(context, live);
  const before = hashTree(context, live);
  syncTree(context, live);
  const after = hashTree(context, live);
  if (treeDigest(before.files) !== treeDigest(after.files)) {
    throw changing(plugin);
  }
  const [strange] = after.others;
  if (strange !== undefined) {
    throw new Fault('CONFLICT', `"${plugin}" holds "${strange}", which is not a file, so it is not adopted`, {
      hint: 'Remove it, or install the plugin from a bundle',
    });
  }
  return { files: after.files, fingerprint };
}
