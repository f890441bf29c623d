/**
 * Swaps without exchange: live is renamed away and the new tree renamed in, and between the two there is nothing. An
 * intent says so. Where there is an exchange this never happens, and nobody waits.
 */
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';

import { INTENT_MAX_BYTES } from '../shared/format/intent.ts';
import type { Layout } from '../shared/format/layout.ts';
import { parseSlotName } from '../shared/format/name.ts';
import { isSwapInProgress } from '../shared/rule/swap-in-progress.ts';
import { readSmall } from './probe/file.ts';
import { isAbsence, troubleOf } from './probe/trouble.ts';

/** How long to wait before looking again, each time; 2 s in all. */
export const PAUSES: readonly number[] = [5, 10, 15, 20, 25, 30, 35, 40, 45, ...Array<number>(35).fill(50)];

/** As many of them, 105 ms, are waited where `.staging` (0700) hides whether there is an intent. */
export const BLIND_PAUSES = 6;

/** So often in a row an absent plugin is not awaited by anybody before it is taken to be gone. */
export const UNAWAITED_LOOKS = 3;

/** `unknown`: the intents cannot be read by this user. */
export type Swaps = { kind: 'known'; names: ReadonlySet<string> } | { kind: 'unknown' };

/** Plugins whose live directory may be away for a moment; `only` looks for one of them. */
export async function readSwaps(layout: Layout, only?: string): Promise<Swaps> {
  let entries: string[];
  try {
    entries = await readdir(layout.staging);
  } catch (error) {
    return isAbsence(troubleOf(error)) ? { kind: 'known', names: new Set() } : { kind: 'unknown' };
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
