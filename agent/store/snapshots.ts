/** The versions that were displaced and are kept: which there are, in which order, and how one goes. */
import { parseSlotName } from '../../shared/format/name.ts';
import { compareTrees } from '../../shared/format/tree.ts';
import { expiredSnapshots } from '../../shared/rule/retention.ts';
import { removeTree } from '../disk/record.ts';
import { renameDurably, trash } from './durable-rename.ts';
import type { StoreContext } from './context.ts';
import { driftOf } from './drift.ts';
import type { Journal } from './journal.ts';
import { keptGenerations } from './runtime-state.ts';
import { installIdAt } from './marker.ts';
import { receiptOf } from './records.ts';
import { fingerprintOf, hashTree } from './tree.ts';

/**
 * The stamps of a plugin's snapshots: what live displaced, what that had displaced, and so on; then whatever is not on the
 * chain, which is older. Clocks have no say.
 */
export function snapshotsOf(context: StoreContext, plugin: string): string[] {
  const { disk, layout } = context;
  const stamps = disk
    .list(layout.previous)
    .flatMap(({ name }) => parseSlotName(name) ?? [])
    .filter((slot) => slot.plugin === plugin)
    .map(({ stamp }) => stamp);
  const left = new Set(stamps);
  const chain: string[] = [];
  let next = installIdAt(context, layout.live(plugin));
  while (next !== undefined && left.delete(next)) {
    chain.push(next);
    next = installIdAt(context, layout.snapshot(plugin, next));
  }
  return [...chain, ...[...left].toSorted().toReversed()];
}

/** Whether every file of a snapshot is as it was installed; without a receipt nobody can say so. */
export function isAsInstalled(context: StoreContext, plugin: string, directory: string): boolean {
  const installId = installIdAt(context, directory);
  const receipt = installId === undefined ? undefined : receiptOf(context, plugin, installId);
  if (receipt === undefined) {
    return false;
  }
  const found = hashTree(context, directory);
  const { modified, missing, unlisted } = compareTrees(receipt.list, found.files);
  return modified.length + missing.length + unlisted.length + found.others.length === 0;
}

/** Snapshots that may go, each with the fingerprint of its tree from before that was found out. */
export type CollectPlan = readonly { stamp: string; fingerprint: string }[];

/** The snapshots that the owner no longer wants. */
function expiredOf(context: StoreContext, plugin: string): string[] {
  const live = installIdAt(context, context.layout.live(plugin));
  return expiredSnapshots(snapshotsOf(context, plugin), context.policy, live, context.now());
}

/** Whether the runtime is taken to have loaded a snapshot, or a process has it open. */
const isInUse = (context: StoreContext, plugin: string, snapshot: string): boolean =>
  keptGenerations(context, plugin)[0] === installIdAt(context, snapshot) || context.disk.isHeldOpen(snapshot);

/** Whether sizes, modes and times say that something was edited in place. Reads only what is younger than its install. */
function isEdited(context: StoreContext, plugin: string, snapshot: string): boolean {
  const installId = installIdAt(context, snapshot);
  const receipt = installId === undefined ? undefined : receiptOf(context, plugin, installId);
  return receipt === undefined || driftOf(context, snapshot, receipt, Infinity).length > 0;
}

/**
 * The snapshots that the owner no longer wants and that are of no use: no file was edited in place, the runtime is not taken
 * to have loaded them, and no process has them open. What costs little is asked first: only what nothing else keeps is hashed,
 * which may take long. The plugin's lock is not needed.
 *
 * @param complain hears of a snapshot that cannot be looked at; it stays.
 */
export function planCollect(
  context: StoreContext,
  plugin: string,
  complain: (error: unknown) => void,
): CollectPlan {
  const planOne = (stamp: string): CollectPlan => {
    const snapshot = context.layout.snapshot(plugin, stamp);
    if (isInUse(context, plugin, snapshot) || isEdited(context, plugin, snapshot)) {
      return [];
    }
    const fingerprint = fingerprintOf(context, snapshot);
    return isAsInstalled(context, plugin, snapshot) ? [{ stamp, fingerprint }] : [];
  };
  return expiredOf(context, plugin).flatMap((stamp) => {
    try {
      return planOne(stamp);
    } catch (error) {
      if (context.disk.stat(context.layout.snapshot(plugin, stamp)) !== undefined) {
        complain(error);
      }
      return [];
    }
  });
}

/**
 * Removes planned snapshots that are still of no use, with their receipts. The plugin's lock is the caller's to hold.
 *
 * @returns the stamps that were removed.
 */
export function collectPlanned(context: StoreContext, plugin: string, plan: CollectPlan): string[] {
  const expired = new Set(plan.length === 0 ? [] : expiredOf(context, plugin));
  return plan
    .filter(({ stamp, fingerprint }) => {
      const snapshot = context.layout.snapshot(plugin, stamp);
      if (
        !expired.has(stamp) ||
        isInUse(context, plugin, snapshot) ||
        fingerprintOf(context, snapshot) !== fingerprint
      ) {
        return false;
      }
      removeSnapshot(context, plugin, snapshot);
      return true;
    })
    .map(({ stamp }) => stamp);
}

function removeSnapshot(context: StoreContext, plugin: string, snapshot: string): void {
  const installId = installIdAt(context, snapshot);
  trash(context, snapshot);
  // What the runtime may have loaded is compared with what comes next.
  if (installId !== undefined && !keptGenerations(context, plugin).includes(installId)) {
    removeTree(context.disk, context.layout.receipt(plugin, installId));
  }
}

/**
 * What must be done before the intent of a swap may go. After an exchange the version before is in the slot: it becomes the
 * snapshot of the change that displaced it.
 */
export function tidy(context: StoreContext, { intent: { plugin, stamp, path } }: Journal): void {
  const { layout } = context;
  if (path === 'exchange') {
    renameDurably(context, layout.slot(plugin, stamp), layout.snapshot(plugin, stamp));
  }
}

/**
 * Removes the snapshots of a plugin that the owner no longer wants, except those that are still of use. The plugin's lock is
 * the caller's to hold.
 *
 * @returns the stamps that were removed.
 */
export function collect(context: StoreContext, plugin: string): string[] {
  return expiredOf(context, plugin).filter((stamp) => {
    const snapshot = context.layout.snapshot(plugin, stamp);
    if (isInUse(context, plugin, snapshot) || !isAsInstalled(context, plugin, snapshot)) {
      return false;
    }
    removeSnapshot(context, plugin, snapshot);
    return true;
  });
}
