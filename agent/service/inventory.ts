/** What lies below a root, by a look at names alone. It asks the disk asynchronously: the main thread waits for no disk. */
import { readdir } from 'node:fs/promises';

import { isLoadedDraft } from '../../shared/format/loaded.ts';
import type { Layout } from '../../shared/format/layout.ts';
import { diskFault } from '../disk/disk-fault.ts';
import { knownAmong } from '../change/sweep.ts';
import { unfinishedAmong } from '../store/staging.ts';

/**
 * What there is to look after: where there is nothing, no thread is started.
 *
 * All reject with Fault INTERNAL if the root cannot be looked at.
 */
export type Inventory = {
  /** The plugins that a crash has left half-way. */
  unfinished(): Promise<string[]>;
  /** The plugins of which there is anything. */
  known(): Promise<string[]>;
  /** How many answers are remembered. */
  answers(): Promise<number>;
  /** How many reports of what is loaded got no name. */
  drafts(): Promise<number>;
};

export const inventoryOf = (layout: Layout): Inventory => ({
  unfinished: async () => {
    const [staged, kept] = await Promise.all([namesIn(layout.staging), namesIn(layout.previous)]);
    return unfinishedAmong(staged, kept);
  },
  known: async () => {
    const { root, previous, receipts } = layout;
    const [live, kept, installed] = await Promise.all([namesIn(root), namesIn(previous), namesIn(receipts)]);
    return knownAmong(live, [...kept, ...installed]);
  },
  answers: async () => (await namesIn(layout.operations)).length,
  // The directory is the runtime's: where nobody may look there are none.
  drafts: async () => (await readdir(layout.loaded).catch(() => [])).filter(isLoadedDraft).length,
});

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    throw diskFault(error, 'Listing the root');
  }
}
