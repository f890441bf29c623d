/** The versions that were displaced and are kept: which there are, in which order, and how one goes. */
import { parseSlotName } from '../../shared/name.ts';
import { compareTrees } from '../../shared/tree.ts';
import { removeTree } from '../disk/record.ts';
import { trash } from './aside.ts';
import type { Ground } from './ground.ts';
import { hashTree } from './hash-tree.ts';
import { keptGeneration } from './loaded.ts';
import { installIdAt } from './marker-at.ts';
import { receiptOf } from './records.ts';

/**
 * The stamps of a plugin's snapshots: what live displaced, what that had displaced, and so on; then whatever is not on the
 * chain, which is older. Clocks have no say.
 */
export function snapshotsOf(ground: Ground, plugin: string): string[] {
  const { disk, layout } = ground;
  const stamps = disk
    .list(layout.previous)
    .flatMap(({ name }) => parseSlotName(name) ?? [])
    .filter((slot) => slot.plugin === plugin)
    .map(({ stamp }) => stamp);
  const left = new Set(stamps);
  const chain: string[] = [];
  let next = installIdAt(ground, layout.live(plugin));
  while (next !== undefined && left.delete(next)) {
    chain.push(next);
    next = installIdAt(ground, layout.snapshot(plugin, next));
  }
  return [...chain, ...[...left].toSorted().toReversed()];
}

/** Whether every file of a snapshot is as it was installed; without a receipt nobody can say so. */
export function isAsInstalled(ground: Ground, plugin: string, directory: string): boolean {
  const installId = installIdAt(ground, directory);
  const receipt = installId === undefined ? undefined : receiptOf(ground, plugin, installId);
  if (receipt === undefined) {
    return false;
  }
  const found = hashTree(ground, directory);
  const { modified, missing, unlisted } = compareTrees(receipt.list, found.files);
  return modified.length + missing.length + unlisted.length + found.others.length === 0;
}

/**
 * Removes a snapshot and its receipt, unless it is still of use: files in it were edited in place and exist nowhere else,
 * the runtime is taken to have loaded it, or a process has it open.
 *
 * @returns whether it is gone.
 */
export function removeSnapshot(ground: Ground, plugin: string, stamp: string): boolean {
  const { disk, layout } = ground;
  const snapshot = layout.snapshot(plugin, stamp);
  const installId = installIdAt(ground, snapshot);
  if (
    !isAsInstalled(ground, plugin, snapshot) ||
    keptGeneration(ground, plugin) === installId ||
    disk.isHeldOpen(snapshot)
  ) {
    return false;
  }
  trash(ground, snapshot);
  if (installId !== undefined) {
    removeTree(disk, layout.receipt(plugin, installId));
  }
  return true;
}
