/**
 * Lists what is below a root, by names only. It reads the disk asynchronously, because the main thread must not wait for
 * a disk.
 */
import { readdir } from 'node:fs/promises';

import { isLoadedDraft } from '../../shared/format/loaded.ts';
import { isPluginName } from '../../shared/format/name.ts';
import type { Layout } from '../../shared/format/layout.ts';
import { diskFault } from '../disk/disk-fault.ts';
import { knownAmong } from '../change/sweep.ts';
import { unfinishedAmong } from '../store/staging.ts';

/**
 * The work that there is. If there is none, no thread is started.
 *
 * All methods reject with Fault INTERNAL if the root cannot be listed.
 */
export type Inventory = {
  /** The plugins with an interrupted change. @param isRemoving half-removed snapshots are work of this process. */
  unfinished(isRemoving?: boolean): Promise<string[]>;
  /** All plugins that have anything in the root. */
  known(): Promise<string[]>;
  /** The names of histories of plugins. */
  histories(): Promise<string[]>;
  /** The number of remembered answers. */
  answers(): Promise<number>;
  /** The number of reports of loaded versions that have only a temporary name. */
  drafts(): Promise<number>;
};

export const inventoryOf = (layout: Layout): Inventory => ({
  unfinished: async (isRemoving = false) => {
    const [staged, kept] = await Promise.all([namesIn(layout.staging), namesIn(layout.previous)]);
    return unfinishedAmong(staged, isRemoving ? [] : kept);
  },
  known: async () => {
    const { root, previous, receipts } = layout;
    const [live, kept, installed] = await Promise.all([namesIn(root), namesIn(previous), namesIn(receipts)]);
    return knownAmong(live, [...kept, ...installed]);
  },
  histories: async () =>
    // The first line of a history makes the directory.
    (await readdir(layout.history).catch(() => []))
      .map((name) => name.replace(/\.jsonl$/, ''))
      .filter((name) => isPluginName(name)),
  answers: async () => (await namesIn(layout.operations)).length,
  // The directory belongs to the runtime. If this user may not list it, there are none.
  drafts: async () => (await readdir(layout.loaded).catch(() => [])).filter(isLoadedDraft).length,
});

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    throw diskFault(error, 'Listing the root');
  }
}
