/** The last step: what is no longer needed goes. Nothing here fails the install; what fails is told and left. */
import { join } from 'node:path';

import { MARKER } from '../../shared/layout.ts';
import { MARKER_MAX_BYTES, readMarker } from '../../shared/marker.ts';
import { parseSlotName } from '../../shared/name.ts';
import { compareTrees } from '../../shared/tree.ts';
import { readText, removeTree, syncDirectory } from '../disk/record.ts';
import type { Ground } from './ground.ts';
import { hashTree } from './hash-tree.ts';
import { receiptOf } from './inspect.ts';
import { renameDurably } from './move.ts';

/** After an exchange the version before is in the slot: it becomes the snapshot of the install that displaced it. */
export function keepDisplaced(ground: Ground, plugin: string, stamp: string): void {
  const { layout } = ground;
  renameDurably(ground, layout.slot(plugin, stamp), layout.snapshot(plugin, stamp));
}

/**
 * Removes the snapshots of a plugin beyond the owner's retention. Their order is the chain of `replaced` from live,
 * never a clock: what is not on the chain is older than all that is. A snapshot with files that were edited in place
 * is kept: they exist nowhere else.
 *
 * @returns the stamps that were removed.
 */
export function collect(ground: Ground, plugin: string): string[] {
  const { disk, layout, policy } = ground;
  const snapshots = disk
    .list(layout.previous)
    .flatMap(({ name }) => parseSlotName(name) ?? [])
    .filter((slot) => slot.plugin === plugin)
    .map(({ stamp }) => stamp);
  const removed: string[] = [];
  for (const stamp of newestFirst(ground, plugin, snapshots).slice(policy.keep)) {
    if (isAsInstalled(ground, plugin, layout.snapshot(plugin, stamp))) {
      removeSnapshot(ground, plugin, stamp);
      removed.push(stamp);
    }
  }
  return removed;
}

/** What live displaced, what that had displaced, and so on; then whatever is not on the chain. */
function newestFirst(ground: Ground, plugin: string, stamps: string[]): string[] {
  const left = new Set(stamps);
  const chain: string[] = [];
  let next = installIdAt(ground, ground.layout.live(plugin));
  while (next !== undefined && left.delete(next)) {
    chain.push(next);
    next = installIdAt(ground, ground.layout.snapshot(plugin, next));
  }
  return [...chain, ...[...left].toSorted().toReversed()];
}

function removeSnapshot(ground: Ground, plugin: string, stamp: string): void {
  const { disk, layout } = ground;
  const snapshot = layout.snapshot(plugin, stamp);
  const installId = installIdAt(ground, snapshot);
  // A tree that is half removed must not have the name of a whole one.
  disk.rename(snapshot, `${snapshot}.trash`);
  syncDirectory(disk, layout.previous);
  removeTree(disk, `${snapshot}.trash`);
  if (installId !== undefined) {
    removeTree(disk, layout.receipt(plugin, installId));
  }
}

function installIdAt({ disk }: Ground, directory: string): string | undefined {
  const reading = readText(disk, join(directory, MARKER), MARKER_MAX_BYTES);
  const marker = reading.kind === 'text' ? readMarker(reading.text) : undefined;
  return marker?.kind === 'full' ? marker.marker.installId : undefined;
}

function isAsInstalled(ground: Ground, plugin: string, directory: string): boolean {
  const installId = installIdAt(ground, directory);
  if (installId === undefined) {
    return false;
  }
  const receipt = receiptOf(ground, plugin, installId);
  if (receipt === undefined) {
    return false;
  }
  const found = hashTree(ground, directory);
  const { modified, missing, unlisted } = compareTrees(receipt.list, found.files);
  return modified.length + missing.length + unlisted.length + found.others.length === 0;
}
