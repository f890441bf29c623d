/**
 * Swaps without exchange: the live tree is renamed away and the new tree is renamed in, and in between there is none. The
 * intent says so. With an exchange this never happens, and nobody waits.
 */
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';

import { INTENT_MAX_BYTES } from '../shared/format/intent.ts';
import type { Layout } from '../shared/format/layout.ts';
import { parseSlotName } from '../shared/format/name.ts';
import { isSwapInProgress } from '../shared/rule/swap-in-progress.ts';
import { readSmall } from './disk/file.ts';
import { isMissing, systemErrorOf } from './disk/system-error.ts';

/** The pauses (milliseconds) between checks; 2 s in all. */
export const PAUSES: readonly number[] = [5, 10, 15, 20, 25, 30, 35, 40, 45, ...Array<number>(35).fill(50)];

/**
 * The number of pauses (105 ms in all) if the user cannot read `.staging` (0700), so that it is not known whether there
 * is an intent.
 */
export const BLIND_PAUSES = 6;

/** An absent plugin without an intent counts as gone after so many checks in a row. */
export const ABSENT_CHECKS = 3;

/** `unknown`: this user cannot read the intents. */
export type Swaps = { kind: 'known'; names: ReadonlySet<string> } | { kind: 'unknown' };

/** The plugins whose live directory may be absent for a moment. @param only checks only this plugin. */
export async function readSwaps(layout: Layout, only?: string): Promise<Swaps> {
  let entries: string[];
  try {
    entries = await readdir(layout.staging);
  } catch (error) {
    return isMissing(systemErrorOf(error)) ? { kind: 'known', names: new Set() } : { kind: 'unknown' };
  }
  const names = new Set<string>();
  for (const entry of entries) {
    const slot = entry.endsWith('.json') ? parseSlotName(basename(entry, '.json')) : undefined;
    if (slot === undefined || (only !== undefined && slot.plugin !== only)) {
      continue;
    }
    const { reading } = await readSmall(join(layout.staging, entry), INTENT_MAX_BYTES);
    if (reading.kind === 'unreadable') {
      return { kind: 'unknown' };
    }
    if (reading.kind === 'text' && isSwapInProgress(reading.text, slot.plugin)) {
      names.add(slot.plugin);
    }
  }
  return { kind: 'known', names };
}
