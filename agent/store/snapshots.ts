/** The versions that were displaced and are kept: which there are, in which order, and how one goes. */
import { parseSlotName } from '../../shared/format/name.ts';
import { compareTrees } from '../../shared/format/tree.ts';
import { expiredSnapshots } from '../../shared/rule/retention.ts';
import { removeTree } from '../disk/record.ts';
import { renameDurably, trash } from './durable-rename.ts';
import type { StoreContext } from './context.ts';
import type { Journal } from './journal.ts';
import { keptGeneration } from './loaded.ts';
import { installIdAt } from './marker.ts';
import { receiptOf } from './records.ts';
import { hashTree } from './tree.ts';

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

/**
 * Removes a snapshot and its receipt, unless it is still of use: files in it were edited in place and exist nowhere else,
 * the runtime is taken to have loaded it, or a process has it open.
 *
 * @returns whether it is gone.
 */
export function removeSnapshot(context: StoreContext, plugin: string, stamp: string): boolean {
  const { disk, layout } = context;
  const snapshot = layout.snapshot(plugin, stamp);
  const installId = installIdAt(context, snapshot);
  if (
    !isAsInstalled(context, plugin, snapshot) ||
    keptGeneration(context, plugin) === installId ||
    disk.isHeldOpen(snapshot)
  ) {
    return false;
  }
  trash(context, snapshot);
  if (installId !== undefined) {
    removeTree(disk, layout.receipt(plugin, installId));
  }
  return true;
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
 * Removes the snapshots of a plugin that the owner no longer wants, except those that are still of use.
 *
 * @returns the stamps that were removed.
 */
export function collect(context: StoreContext, plugin: string): string[] {
  const live = installIdAt(context, context.layout.live(plugin));
  return expiredSnapshots(snapshotsOf(context, plugin), context.policy, live, context.now()).filter((stamp) =>
    removeSnapshot(context, plugin, stamp),
  );
}
