/** The house-keeping of one plugin, and of what belongs to no plugin. */
import { join } from 'node:path';
import { toFault } from '../../shared/api/fault.ts';
import { isLoadedDraft } from '../../shared/format/loaded.ts';
import { isPluginName, parseSlotName } from '../../shared/format/name.ts';
import { unsyncedNote } from '../../shared/format/unsynced.ts';
import { putRecord, removeTree, syncDirectory } from '../disk/record.ts';
import { type CollectPlan, collectPlanned, planCollect, snapshotsOf } from '../store/snapshots.ts';
import { type Durability, type StoreContext, attempt } from '../store/context.ts';
import { keptGenerations } from '../store/runtime-state.ts';
import { installIdAt, liveVersionOf, versionOfTree } from '../store/marker.ts';
import { unfinishedPlugins } from '../store/staging.ts';
import { syncTree } from '../store/tree.ts';
import { unmarkLost } from '../store/unsynced.ts';
import { stateOf, unsyncedOf } from '../store/records.ts';
import { isUnnoted, noteFound } from './note-history.ts';
import { type AdoptPlan, adoptTouched, planAdopt } from './adopt.ts';

/** Finished operations are remembered for a day. */
const REMEMBERED_MILLIS = 24 * 60 * 60 * 1000;

/** A report is written in an instant, so a temporary file that is older than this belongs to a writer that was killed. */
const DRAFTED_MILLIS = 60 * 60 * 1000;

/** What was done for one plugin, with the names of what was removed. */
export type SweptPlugin = { snapshots: string[]; receipts: string[]; adopted: boolean };

/** All plugins that have anything in the root, live or kept, by name. */
export function knownPlugins({ disk, layout }: StoreContext): string[] {
  const names = (directory: string): string[] => disk.list(directory).map(({ name }) => name);
  return knownAmong(names(layout.root), [...names(layout.previous), ...names(layout.receipts)]);
}

/** The same, from the names in the root and those of the snapshots and receipts. */
export function knownAmong(live: readonly string[], kept: readonly string[]): string[] {
  const plugins = kept.flatMap((name) => parseSlotName(name.replace(/\.json$/, ''))?.plugin ?? []);
  return [...new Set([...live, ...plugins])].filter(isPluginName).toSorted();
}

/** The work for a plugin, as far as it is visible without its lock. */
export type SweepPlan = {
  expired: CollectPlan;
  touched: AdoptPlan | undefined;
  /** There are receipts that nothing refers to. */
  receipts: boolean;
  /** The history does not tell of the live version. */
  unnoted: boolean;
};

/** Whether there is no reason to take the lock. */
export const isNothing = ({ expired, touched, receipts, unnoted }: SweepPlan): boolean =>
  expired.length === 0 && touched === undefined && !receipts && !unnoted;

const NOTHING: SweepPlan = { expired: [], touched: undefined, receipts: false, unnoted: false };

/** Recovery that could not finish may need every snapshot and receipt. */
const isUnfinished = (context: StoreContext, plugin: string): boolean =>
  attempt(
    context,
    `Looking for unfinished work of "${plugin}"`,
    () => unfinishedPlugins(context).includes(plugin),
    true,
  );

/**
 * Finds snapshots beyond their number and age, receipts that nothing refers to, and an operator's `touch`. Everything
 * that takes long is done here, without the plugin's lock: files are read and hashed, and nothing is changed.
 */
export function planSweep(context: StoreContext, plugin: string): SweepPlan {
  if (isUnfinished(context, plugin)) {
    return NOTHING;
  }
  const removing = `Removing snapshots of "${plugin}"`;
  return {
    touched: attempt(context, `Adopting the files of "${plugin}"`, () => planAdopt(context, plugin)),
    expired: attempt(
      context,
      removing,
      () => planCollect(context, plugin, (error) => context.complain(toFault(error, removing))),
      [],
    ),
    receipts: attempt(
      context,
      `Removing receipts of "${plugin}"`,
      () => orphanedReceipts(context, plugin).length > 0,
      false,
    ),
    unnoted: attempt(context, `Reading the history of "${plugin}"`, () => isUnnoted(context, plugin), false),
  };
}

/**
 * Carries the plan out, as far as it still applies: removes snapshots and receipts, and replaces an operator's `touch` by
 * a full marker. It reads no file. The caller holds the plugin's lock.
 */
export function sweepPlugin(
  context: StoreContext,
  plugin: string,
  { expired, touched, unnoted }: SweepPlan = planSweep(context, plugin),
): SweptPlugin {
  if (isUnfinished(context, plugin)) {
    return { adopted: false, snapshots: [], receipts: [] };
  }
  if (unnoted) {
    noteFound(context, plugin);
  }
  return {
    adopted:
      touched !== undefined &&
      attempt(
        context,
        `Adopting the files of "${plugin}"`,
        () => adoptTouched(context, plugin, touched),
        false,
      ),
    snapshots: attempt(
      context,
      `Removing snapshots of "${plugin}"`,
      () => collectPlanned(context, plugin, expired),
      [],
    ).map((stamp) => `${plugin}.${stamp}`),
    receipts: attempt(
      context,
      `Removing receipts of "${plugin}"`,
      () => collectReceipts(context, plugin),
      [],
    ),
  };
}

/** A receipt is needed while live, a snapshot, the runtime or an entry in staging refers to its version. */
function orphanedReceipts(context: StoreContext, plugin: string): string[] {
  const { disk, layout } = context;
  const staged = disk
    .list(layout.staging)
    .flatMap(({ name }) => parseSlotName(name.replace(/\.(?:json|trash|old)$/, '')) ?? [])
    .filter((slot) => slot.plugin === plugin);
  const named = new Set<string | null | undefined>([
    liveVersionOf(context, plugin)?.installId,
    ...keptGenerations(context, plugin),
    ...snapshotsOf(context, plugin).map(
      (stamp) => versionOfTree(context, layout.snapshot(plugin, stamp))?.installId,
    ),
    ...staged.flatMap(({ stamp }) => [stamp, installIdAt(context, layout.slot(plugin, stamp))]),
  ]);
  return disk
    .list(layout.receipts)
    .map(({ name }) => name)
    .filter((name) => {
      const receipt = name.endsWith('.json') ? parseSlotName(name.slice(0, -'.json'.length)) : undefined;
      return receipt?.plugin === plugin && !named.has(receipt.stamp);
    });
}

function collectReceipts(context: StoreContext, plugin: string): string[] {
  const { disk, layout } = context;
  const orphans = orphanedReceipts(context, plugin);
  for (const name of orphans) {
    removeTree(disk, join(layout.receipts, name));
  }
  return orphans;
}

/**
 * Reports of loaded versions that have only a temporary name: their writer was killed, or is still writing. Empty if this
 * user may not list the directory, which belongs to the runtime.
 */
export function draftsIn({ disk, layout }: Pick<StoreContext, 'disk' | 'layout'>): string[] {
  try {
    return disk
      .list(layout.loaded)
      .filter(({ name, kind }) => kind === 'file' && isLoadedDraft(name))
      .map(({ name }) => join(layout.loaded, name));
  } catch {
    return [];
  }
}

/** Removes those that nobody writes any more. The agent removes nothing else in that directory. */
export function sweepDrafts(context: StoreContext): void {
  const { disk, now } = context;
  for (const path of draftsIn(context)) {
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

/** The history of a plugin that is gone is kept for three months, and of so many of them. */
const GONE_MILLIS = 90 * 24 * 60 * 60 * 1000;
const GONE_MAX = 1000;

/** The plugins whose history ended longest ago, of some of which nothing else is left. Throws the errors of the disk. */
export function expiredHistories(
  { disk, layout, now }: Pick<StoreContext, 'disk' | 'layout' | 'now'>,
  plugins: readonly string[],
): string[] {
  return plugins
    .map((plugin) => ({ plugin, at: disk.stat(layout.historyOf(plugin))?.mtimeMs ?? 0 }))
    .toSorted((a, b) => b.at - a.at)
    .filter(({ at }, i) => i >= GONE_MAX || now() - at > GONE_MILLIS)
    .map(({ plugin }) => plugin);
}

/** @returns whether it was removed: nothing else is left of the plugin. The caller holds the plugin's lock. */
export function removeHistory(context: StoreContext, plugin: string): boolean {
  if (knownPlugins(context).includes(plugin) || isUnfinished(context, plugin)) {
    return false;
  }
  const { disk, layout } = context;
  removeTree(disk, layout.historyOf(plugin));
  syncDirectory(disk, layout.history);
  return true;
}

/** Operations that finished before this time are forgotten. */
export const forgetBefore = (context: StoreContext): number => context.now() - REMEMBERED_MILLIS;

/**
 * Runs first at a start: compares what may have been lost, then notes durably whether this agent writes with syncs. The
 * note of an earlier boot stays while there is a plugin that could not be compared. A plugin with an interrupted change
 * is left to recovery, because only its marker says which of its trees is the new one.
 *
 * @param context with a disk that syncs.
 * @returns the plugins that differ from their receipts. They have lost their marker, so the gate refuses them.
 * @throws the errors of the disk.
 */
export function settleUnsynced(context: StoreContext, durability: Durability): string[] {
  const note = unsyncedOf(context);
  const { lost, open } = note === 'elsewhere' ? compareAll(context) : { lost: [], open: false };
  const { disk, layout } = context;
  if (open) {
    return lost;
  }
  if (durability === 'none') {
    writeNote(context);
  } else if (note !== 'none') {
    // What was written without syncs is made durable now, so that it is safe from here on.
    syncTree(context, layout.root);
    removeTree(disk, layout.unsynced);
    syncDirectory(disk, layout.root);
  }
  return lost;
}

/**
 * Notes durably that what is written from now on may be lost with this boot of the machine. The note of another boot
 * stays until {@link settleUnsynced} has made its comparison.
 */
export function noteUnsynced(context: StoreContext): void {
  if (unsyncedOf(context) === 'none') {
    writeNote(context);
  }
}

const writeNote = ({ disk, layout, owner }: StoreContext): void =>
  putRecord(disk, layout.staging, '', layout.unsynced, unsyncedNote(owner.bootId));

/** @returns the plugins that lost their marker or could not be compared, and whether there is something left to compare. */
function compareAll(context: StoreContext): { lost: string[]; open: boolean } {
  const unfinished = unfinishedPlugins(context);
  // A plugin that is held waits for an operator. The note does not wait for that.
  let open = unfinished.some((plugin) => stateOf(context, plugin)?.held === undefined);
  const lost = knownPlugins(context)
    .filter((plugin) => !unfinished.includes(plugin))
    .filter((plugin) => {
      try {
        return unmarkLost(context, plugin);
      } catch (error) {
        context.complain(toFault(error, `Comparing "${plugin}" with its receipt`));
        open = true;
        return true;
      }
    });
  return { lost, open };
}
