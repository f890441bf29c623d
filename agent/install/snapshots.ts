/** The versions that were displaced and are kept: which there are, in which order, and how one goes. */
import { join } from 'node:path';

import { MARKER } from '../../shared/layout.ts';
import { loadedSchema } from '../../shared/loaded.ts';
import { MARKER_MAX_BYTES, type Marker, readMarker } from '../../shared/marker.ts';
import { parseSlotName } from '../../shared/name.ts';
import { compareTrees } from '../../shared/tree.ts';
import { readText, removeTree } from '../disk/record.ts';
import { trash } from './aside.ts';
import type { Ground } from './ground.ts';
import { hashTree } from './hash-tree.ts';
import { receiptOf } from './inspect.ts';

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
  let next = markerAt(ground, layout.live(plugin))?.installId;
  while (next !== undefined && left.delete(next)) {
    chain.push(next);
    next = markerAt(ground, layout.snapshot(plugin, next))?.installId;
  }
  return [...chain, ...[...left].toSorted().toReversed()];
}

/** The full marker of a tree; undefined if it has none. */
export function markerAt({ disk }: Ground, directory: string): Marker | undefined {
  const reading = readText(disk, join(directory, MARKER), MARKER_MAX_BYTES);
  const marker = reading.kind === 'text' ? readMarker(reading.text) : undefined;
  return marker?.kind === 'full' ? marker.marker : undefined;
}

/** Whether every file of a snapshot is as it was installed; without a receipt nobody can say so. */
export function isAsInstalled(ground: Ground, plugin: string, directory: string): boolean {
  const marker = markerAt(ground, directory);
  const receipt = marker === undefined ? undefined : receiptOf(ground, plugin, marker.installId);
  if (receipt === undefined) {
    return false;
  }
  const found = hashTree(ground, directory);
  const { modified, missing, unlisted } = compareTrees(receipt.list, found.files);
  return modified.length + missing.length + unlisted.length + found.others.length === 0;
}

const LOADED_MAX_BYTES = 64 * 1024;

/** The generation that the runtime says it has loaded; undefined if it has said nothing that can be read. */
export function loadedGeneration({ disk, layout }: Ground, plugin: string): string | undefined {
  const reading = readText(disk, layout.loadedOf(plugin), LOADED_MAX_BYTES);
  if (reading.kind === 'absent') {
    return undefined;
  }
  if (reading.kind === 'unreadable') {
    throw new Error(`What the runtime has loaded of "${plugin}" cannot be read: ${reading.why}`);
  }
  try {
    return loadedSchema.parse(JSON.parse(reading.text)).generation;
  } catch {
    return undefined;
  }
}

/**
 * Removes a snapshot and its receipt, unless it is still of use: files in it were edited in place and exist nowhere else,
 * the runtime has loaded it, or a process has it open.
 *
 * @returns whether it is gone.
 */
export function removeSnapshot(ground: Ground, plugin: string, stamp: string): boolean {
  const { disk, layout } = ground;
  const snapshot = layout.snapshot(plugin, stamp);
  const installId = markerAt(ground, snapshot)?.installId;
  if (
    !isAsInstalled(ground, plugin, snapshot) ||
    loadedGeneration(ground, plugin) === installId ||
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
