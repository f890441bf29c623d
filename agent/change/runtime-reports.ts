/** What counts as loaded after a restart that somebody has reported, or that the agent has made itself. */
import { errorCode, toFault } from '../../shared/api/fault.ts';
import { dirname, join } from 'node:path';

import { type Basis, classifyLoaded } from '../../shared/rule/classify.ts';
import { loadedDraft } from '../../shared/format/loaded.ts';
import { isPluginName } from '../../shared/format/name.ts';
import { type Pending, isPromised, mayBeLoaded } from '../../shared/format/state.ts';
import type { FileEntry } from '../../shared/format/tree.ts';
import { diskFault } from '../disk/disk-fault.ts';
import { removeTree, syncDirectory, writeDurably } from '../disk/record.ts';
import type { StoreContext } from '../store/context.ts';
import { loadedRecord, pendingOf, readSince } from '../store/loaded.ts';
import { notedEdits, notedReasons, putPending } from '../store/state.ts';
import { receiptOf, stateOf } from '../store/records.ts';
import { liveVersionOf } from '../store/marker.ts';

/** A plugin and which version of it was live at a moment; null: none. */
export type LiveVersion = { plugin: string; generation: string | null };

/**
 * The versions that were live at a moment. A plugin of which that cannot be said is left out: what was taken to be
 * loaded stays so.
 *
 * @param at milliseconds since the epoch. @param swaps when versions became live, by installId, where that is known
 *   better than from their receipts.
 */
export function liveVersions(
  context: StoreContext,
  at: number,
  swaps: Readonly<Record<string, number>>,
): LiveVersion[] {
  const { disk, layout } = context;
  const named = [layout.loaded, layout.state]
    .filter((directory) => disk.stat(directory) !== undefined)
    .flatMap((directory) => disk.list(directory).map(({ name }) => name.replace(/\.json$/, '')));
  const remembered = new Set(named.filter((name) => isConcerned(context, name)));
  const live = disk.list(layout.root).map(({ name }) => name);
  return [...new Set([...live, ...remembered])]
    .filter(isPluginName)
    .toSorted()
    .flatMap((plugin) => {
      const generation = attempt(context, plugin, undefined, () => liveAt(context, plugin, at, swaps));
      return generation === undefined ? [] : { plugin, generation };
    });
}

/** One plugin that cannot be looked at says nothing of the others. */
function attempt<T>(context: StoreContext, plugin: string, otherwise: T, look: () => T): T {
  try {
    return look();
  } catch (error) {
    context.complain(toFault(error, `Looking what the runtime has loaded of "${plugin}"`));
    return otherwise;
  }
}

const isConcerned = (context: StoreContext, plugin: string): boolean =>
  loadedRecord(context, plugin) !== undefined || stateOf(context, plugin)?.pending !== undefined;

/** Undefined if nobody can say. */
function liveAt(
  context: StoreContext,
  plugin: string,
  at: number,
  swaps: Readonly<Record<string, number>>,
): string | null | undefined {
  const live = liveVersionOf(context, plugin);
  if (live === null) {
    const pending = stateOf(context, plugin)?.pending;
    const isLater = pending?.installId === null && Date.parse(pending.at) > at;
    return isLater ? undefined : null;
  }
  const seen = new Set<string>();
  let next = live.installId;
  while (next !== null && !seen.has(next)) {
    seen.add(next);
    const receipt = receiptOf(context, plugin, next);
    const since = swaps[next] ?? Date.parse(receipt?.installedAt ?? '');
    if (since <= at) {
      return next;
    }
    if (receipt === undefined) {
      return undefined;
    }
    next = receipt.replaced;
    if (next === null) {
      return null;
    }
  }
  return undefined;
}

/**
 * Takes a version for loaded since a restart that began at `began` (milliseconds since the epoch); null: the plugin is not
 * loaded. What the runtime has said itself since then counts more. What waited for that version waits no longer.
 *
 * @param cause what is told with it: an operation, or the agent's own restart.
 * @throws Fault READ_ONLY, NO_SPACE, INTERNAL if it cannot be written down.
 */
export function noteLoaded(
  context: StoreContext,
  { plugin, generation }: LiveVersion,
  began: number,
  cause: string,
): void {
  const said = loadedRecord(context, plugin);
  const isSaidSince = said?.at !== undefined && Date.parse(said.at) >= began;
  // Of a removed plugin of which nothing was ever said, what waits to be unloaded knows what was loaded.
  const before =
    said?.generation ?? (generation === null ? pendingOf(context, plugin)?.against : null) ?? null;
  const loaded = isSaidSince ? said.generation : generation;
  const waits = stateOf(context, plugin)?.pending !== undefined;
  try {
    // What waits stays noted for a loaded version before it; what is yet to be noted waits for nothing until that is told.
    if (!waits) {
      settlePending(context, plugin, loaded, cause);
    }
    if (!isSaidSince) {
      writeLoaded(context, plugin, generation, began);
    }
    if (waits) {
      settlePending(context, plugin, loaded, cause);
    }
  } catch (error) {
    throw diskFault(error, `Noting what the runtime has loaded of "${plugin}"`);
  }
  if (!isSaidSince && before !== generation) {
    context.tell({ type: 'plugin.loaded', data: { plugin, generation, cause } });
  }
}

/** The plugins of which a cold change still waits for a restart; in doubt it does. */
export const pendingPlugins = (context: StoreContext): string[] => waiting(context).map(([plugin]) => plugin);

/** The plugins of which a restart was promised that never ended well. */
export const promisedPlugins = (context: StoreContext): string[] =>
  waiting(context).flatMap(([plugin, pending]) => (isPromised(pending) ? plugin : []));

/** What waits, by plugin. Of one that cannot be looked at, what is noted. */
const waiting = (context: StoreContext): [plugin: string, pending: Pending][] =>
  context.disk
    .list(context.layout.state)
    .map(({ name }) => name.replace(/\.json$/, ''))
    .filter(isPluginName)
    .toSorted()
    .flatMap((plugin) => {
      const noted = stateOf(context, plugin)?.pending;
      const pending = noted && attempt(context, plugin, noted, () => pendingOf(context, plugin));
      return pending === undefined ? [] : [[plugin, pending]];
    });

/**
 * A restart begins: also what no restart was wanted for may be loaded by now, however it ends. For what was promised before a
 * moment (milliseconds since the epoch) it is the last try: after it, nobody is known to restart. Throws what the
 * disk throws.
 */
export function noteBegun(context: StoreContext, plugin: string, before: number): void {
  const pending = pendingOf(context, plugin);
  if (pending === undefined) {
    return;
  }
  const isLastTry = isPromised(pending) && Date.parse(pending.at) < before;
  if (isLastTry || !mayBeLoaded(pending)) {
    putPending(context, plugin, { ...pending, restarting: false, earlier: 'begun' });
  }
}

/** @param generation null: nothing is loaded. */
function writeLoaded(context: StoreContext, plugin: string, generation: string | null, began: number): void {
  if (generation !== null) {
    return putLoaded(context, plugin, generation, began);
  }
  const { disk, layout } = context;
  removeTree(disk, layout.loadedOf(plugin));
  if (disk.stat(layout.loaded) !== undefined) {
    syncDirectory(disk, layout.loaded);
  }
}

/** The directory may be another file system than the root, so that the temporary file lies beside what it becomes. */
function putLoaded({ disk, layout }: StoreContext, plugin: string, generation: string, began: number): void {
  const path = layout.loadedOf(plugin);
  const temporary = join(layout.loaded, loadedDraft(plugin, 'agent'));
  try {
    disk.mkdir(layout.loaded, 0o755);
    syncDirectory(disk, dirname(layout.loaded));
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') {
      throw error;
    }
  }
  removeTree(disk, temporary);
  const record = { version: 1, generation, at: new Date(began).toISOString(), by: 'agent' };
  writeDurably(disk, temporary, `${JSON.stringify(record)}\n`, 0o644);
  disk.rename(temporary, path);
  syncDirectory(disk, layout.loaded);
}

/**
 * What is live may be newer than what was loaded: then it waits on, for its own reasons, and where a restart was promised for
 * it, until that one has ended. The agent's own, which ends just now, may have read it all the same, or a version between: so
 * what came back meanwhile waits from now on. So does what came back before a restart was reported that had loaded something
 * else.
 */
function settlePending(
  context: StoreContext,
  plugin: string,
  generation: string | null,
  cause: string,
): void {
  const state = stateOf(context, plugin);
  if (state === undefined) {
    return;
  }
  const { pending } = state;
  const live = liveVersionOf(context, plugin);
  if ((live?.installId ?? null) === generation) {
    return putPending(context, plugin, undefined);
  }
  const listOf = (installId: string | null | undefined): readonly FileEntry[] | undefined =>
    typeof installId === 'string' ? receiptOf(context, plugin, installId)?.list : undefined;
  const before = listOf(generation);
  // Of a restart that somebody reports only the moment is known at which the runtime has read.
  const since = context.restartRuns?.() === true ? readSince(context, plugin, generation) : [];
  const edited = [...(pending?.edited ?? []), ...since];
  const basis: Basis =
    before === undefined
      ? { kind: 'unknown', why: 'nobody can say what the files of the loaded version were' }
      : { kind: 'tree', list: before, edited };
  const { kind, reasons } = classifyLoaded(basis, listOf(live?.installId), { ignore: context.ignore });
  const { earlier, ...waits }: Pending = pending ?? {
    at: new Date(context.now()).toISOString(),
    operationId: cause,
    installId: live?.installId ?? null,
    against: generation,
    restarting: false,
    earlier: 'begun',
    reasons: notedReasons(reasons),
  };
  // What somebody else was to restart for may have been promised after the restart that is reported began.
  const mayCome = earlier !== undefined && context.policy.restarts === 'caller';
  // Of skills that came with what waits nobody was told that they can be read again.
  const waitsOn =
    pending === undefined ? kind === 'cold' : pending.restarting || mayCome || kind !== 'identical';
  const noted: Pending = {
    ...waits,
    ...(mayCome ? { earlier } : {}),
    against: generation,
    ...notedEdits(edited),
  };
  putPending(context, plugin, waitsOn ? noted : undefined);
}
