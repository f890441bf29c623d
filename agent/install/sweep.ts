/** The house-keeping of one plugin, and of what belongs to none. The plugin's lock is the caller's to hold. */
import { join } from 'node:path';

import { toFault } from '../../shared/fault.ts';
import { isLoadedDraft } from '../../shared/loaded.ts';
import { isPluginName, parseSlotName, stampMillis } from '../../shared/name.ts';
import { removeTree } from '../disk/record.ts';
import { adoptTouched } from './adopt.ts';
import { collect } from './collect.ts';
import type { Ground } from './ground.ts';
import { keptGeneration } from './loaded.ts';
import { installIdAt } from './marker-at.ts';
import { unfinishedPlugins } from './unfinished.ts';
import { lookAtLive, lookAtTree } from './slot.ts';
import { removeSnapshot, snapshotsOf } from './snapshots.ts';

/** Finished operations are remembered for a day. */
const REMEMBERED_MILLIS = 24 * 60 * 60 * 1000;

/** A report that got no name in so long gets none: it is written in an instant. */
const DRAFTED_MILLIS = 60 * 60 * 1000;

/** What was done for one plugin; all by name of what is gone. */
export type SweptPlugin = { snapshots: string[]; receipts: string[]; adopted: boolean };

/** Everything that a name of a plugin stands on, live or kept, by name. */
export function knownPlugins({ disk, layout }: Ground): string[] {
  const live = disk.list(layout.root).map(({ name }) => name);
  const kept = [layout.previous, layout.receipts]
    .flatMap((directory) => disk.list(directory))
    .flatMap(({ name }) => parseSlotName(name.replace(/\.json$/, ''))?.plugin ?? []);
  return [...new Set([...live, ...kept])].filter(isPluginName).toSorted();
}

/**
 * Removes snapshots beyond their number and their age and receipts that nothing names, and makes a full marker of an
 * operator's `touch`. What fails is complained of, and the rest is done.
 */
export function sweepPlugin(ground: Ground, plugin: string): SweptPlugin {
  const attempt = <T>(doing: string, otherwise: T, run: () => T): T => {
    try {
      return run();
    } catch (error) {
      ground.complain(toFault(error, `${doing} of "${plugin}"`));
      return otherwise;
    }
  };
  if (attempt('Looking for unfinished work', true, () => unfinishedPlugins(ground).includes(plugin))) {
    // What recovery could not finish may need every snapshot and receipt that there is.
    return { adopted: false, snapshots: [], receipts: [] };
  }
  return {
    adopted: attempt('Adopting the files', false, () => adoptTouched(ground, plugin)),
    snapshots: [
      ...attempt('Removing snapshots', [], () => collect(ground, plugin)),
      ...attempt('Removing old snapshots', [], () => collectAged(ground, plugin)),
    ].map((stamp) => `${plugin}.${stamp}`),
    receipts: attempt('Removing receipts', [], () => collectReceipts(ground, plugin)),
  };
}

/** Age counts from the displacement. A clock that is behind the newest stamp is wrong, and nothing goes by it. */
function collectAged(ground: Ground, plugin: string): string[] {
  const now = ground.now();
  const stamps = snapshotsOf(ground, plugin);
  const live = lookAtLive(ground, plugin)?.installId;
  const newest = Math.max(0, ...[...stamps, live ?? ''].map(stampMillis).filter((at) => !Number.isNaN(at)));
  if (now < newest) {
    return [];
  }
  return stamps
    .filter((stamp) => now - stampMillis(stamp) > ground.policy.keepMillis)
    .filter((stamp) => removeSnapshot(ground, plugin, stamp));
}

/** A receipt is of use while live, a snapshot, the runtime or something in staging names its version. */
function collectReceipts(ground: Ground, plugin: string): string[] {
  const { disk, layout } = ground;
  const staged = disk
    .list(layout.staging)
    .flatMap(({ name }) => parseSlotName(name.replace(/\.(?:json|trash|old)$/, '')) ?? [])
    .filter((slot) => slot.plugin === plugin);
  const named = new Set<string | null | undefined>([
    lookAtLive(ground, plugin)?.installId,
    keptGeneration(ground, plugin),
    ...snapshotsOf(ground, plugin).map(
      (stamp) => lookAtTree(ground, layout.snapshot(plugin, stamp))?.installId,
    ),
    ...staged.flatMap(({ stamp }) => [stamp, installIdAt(ground, layout.slot(plugin, stamp))]),
  ]);
  const orphans = disk
    .list(layout.receipts)
    .map(({ name }) => name)
    .filter((name) => {
      const receipt = name.endsWith('.json') ? parseSlotName(name.slice(0, -'.json'.length)) : undefined;
      return receipt?.plugin === plugin && !named.has(receipt.stamp);
    });
  for (const name of orphans) {
    removeTree(disk, join(layout.receipts, name));
  }
  return orphans;
}

/**
 * Reports of what is loaded that got no name, for their writer was killed or still writes. None where nobody may look: the
 * directory is the runtime's, and they are in nobody's way.
 */
export function draftsIn({ disk, layout }: Pick<Ground, 'disk' | 'layout'>): string[] {
  try {
    return disk
      .list(layout.loaded)
      .filter(({ name, kind }) => kind === 'file' && isLoadedDraft(name))
      .map(({ name }) => join(layout.loaded, name));
  } catch {
    return [];
  }
}

/** Removes those that nobody writes any more; nothing else in that directory is the agent's to remove. */
export function sweepDrafts(ground: Ground): void {
  const { disk, now } = ground;
  for (const path of draftsIn(ground)) {
    try {
      const stat = disk.stat(path);
      if (stat?.kind === 'file' && now() - stat.mtimeMs > DRAFTED_MILLIS) {
        disk.unlink(path);
      }
    } catch {
      // The next sweep tries again.
    }
  }
}

/** The moment before which finished operations are forgotten. */
export const forgetBefore = (ground: Ground): number => ground.now() - REMEMBERED_MILLIS;
