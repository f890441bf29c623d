/** The snapshots of a plugin: which there are, in which order, and how they are removed. */
import { join } from 'node:path';

import { parseSlotName, stampMillis } from '../../shared/format/name.ts';
import { compareTrees, type FileEntry, modeOf } from '../../shared/format/tree.ts';
import { expiredSnapshots } from '../../shared/rule/retention.ts';
import { removeTree } from '../disk/record.ts';
import { renameDurably, trashLater } from './durable-rename.ts';
import type { StoreContext } from './context.ts';
import type { Journal } from './journal.ts';
import { keptGenerations } from './runtime-state.ts';
import { installIdAt, markerAt } from './marker.ts';
import { receiptOf } from './records.ts';
import { fingerprintOf, hashFile, hashTree, walkCounted } from './tree.ts';

/**
 * The stamps of a plugin's snapshots: the version that live displaced, the one that this displaced, and so on. Snapshots
 * outside this chain come last, as the oldest. No clock is used.
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

/** Reads a tree: whether every file is as it was installed; false without a receipt. */
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

const CHUNK_BYTES = 256 * 1024;
/** Each clock of a file system lags behind the time of the system by less (milliseconds). */
const LAG_MILLIS = 20;
/** If more time (milliseconds) lies between stamp and marker, the clock may have been wrong. */
const SEAL_MILLIS = 10 * 60_000;

/**
 * Whether every file of a snapshot is as it was installed; false without a receipt or marker. A file that last changed
 * between the stamp and the marker, while only the agent could write to it, is not read: nobody can set that time, and a
 * clock that is set back leaves that span. All other files are read.
 */
function isUntouched(context: StoreContext, plugin: string, directory: string): boolean {
  const { disk } = context;
  const marker = markerAt(context, directory);
  const receipt = marker && receiptOf(context, plugin, marker.installId);
  if (marker === undefined || receipt === undefined) {
    return false;
  }
  const begun = stampMillis(marker.installId) - LAG_MILLIS;
  const marked = Date.parse(marker.installedAt);
  const sealed = marked - begun > SEAL_MILLIS ? begun : marked - LAG_MILLIS;
  const left = new Map(receipt.list.map((file) => [file.path, file]));
  const suspects: FileEntry[] = [];
  let isSame = true;
  walkCounted(context, directory, (path) => {
    const file = isSame ? left.get(path) : undefined;
    left.delete(path);
    const stat = file && disk.stat(join(directory, path));
    isSame = stat?.kind === 'file' && stat.size === file?.size && modeOf(stat.mode) === file.mode;
    if (file !== undefined && stat !== undefined && !(stat.ctimeMs > begun && stat.ctimeMs < sealed)) {
      suspects.push(file);
    }
  });
  if (!isSame || left.size > 0) {
    return false;
  }
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  return suspects.every(
    ({ path, sha256 }) => hashFile(disk, join(directory, path), buffer).sha256 === sha256,
  );
}

/** Snapshots to remove, each with the fingerprint of its tree from before the check. */
export type CollectPlan = readonly { stamp: string; fingerprint: string }[];

/** The snapshots beyond the owner's number and age. */
function expiredOf(context: StoreContext, plugin: string): string[] {
  const live = installIdAt(context, context.layout.live(plugin));
  return expiredSnapshots(snapshotsOf(context, plugin), context.policy, live, context.now());
}

/** Whether a snapshot counts as loaded, or a process has it open. */
const isInUse = (context: StoreContext, plugin: string, snapshot: string): boolean =>
  keptGenerations(context, plugin)[0] === installIdAt(context, snapshot) || context.disk.isHeldOpen(snapshot);

/**
 * The snapshots that can be removed: they are beyond the owner's number and age, no file was edited in place, they do not
 * count as loaded, and no process has them open. Cheap checks come first, and only what they leave is hashed, which may
 * take long. The plugin's lock is not needed.
 *
 * @param complain receives the failure of a snapshot that cannot be read; it stays.
 */
export function planCollect(
  context: StoreContext,
  plugin: string,
  complain: (error: unknown) => void,
): CollectPlan {
  const planOne = (stamp: string): CollectPlan => {
    const snapshot = context.layout.snapshot(plugin, stamp);
    if (isInUse(context, plugin, snapshot)) {
      return [];
    }
    const fingerprint = fingerprintOf(context, snapshot);
    return isUntouched(context, plugin, snapshot) ? [{ stamp, fingerprint }] : [];
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
 * Removes planned snapshots to which the plan still applies, with their receipts. The caller holds the plugin's lock.
 *
 * @returns the removed stamps.
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
  trashLater(context, snapshot);
  // Later changes are compared with the versions that the runtime may have loaded.
  if (installId !== undefined && !keptGenerations(context, plugin).includes(installId)) {
    removeTree(context.disk, context.layout.receipt(plugin, installId));
  }
}

/**
 * The work that must be done before the intent of a swap is removed. After an exchange the version before is in the slot.
 * It becomes the snapshot of the change that displaced it.
 */
export function tidy(context: StoreContext, { intent: { plugin, stamp, path } }: Journal): void {
  const { layout } = context;
  if (path === 'exchange') {
    renameDurably(context, layout.slot(plugin, stamp), layout.snapshot(plugin, stamp));
  }
}

/**
 * Removes the snapshots of a plugin beyond the owner's number and age, except those that are still needed. The caller
 * holds the plugin's lock.
 *
 * @returns the removed stamps.
 */
export function collect(context: StoreContext, plugin: string): string[] {
  return expiredOf(context, plugin).filter((stamp) => {
    const snapshot = context.layout.snapshot(plugin, stamp);
    if (isInUse(context, plugin, snapshot) || !isUntouched(context, plugin, snapshot)) {
      return false;
    }
    removeSnapshot(context, plugin, snapshot);
    return true;
  });
}
