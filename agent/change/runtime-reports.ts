/** What counts as loaded after a restart that somebody has reported, or that the agent has made itself. */
import { errorCode, toFault } from '../../shared/api/fault.ts';
import { dirname, join } from 'node:path';

import { classifyLoaded } from '../../shared/rule/classify.ts';
import { UNKNOWN, reduce } from '../../shared/rule/runtime-state.ts';
import { loadedDraft } from '../../shared/format/loaded.ts';
import { isPluginName } from '../../shared/format/name.ts';
import type { RuntimeState, StoredRuntime } from '../../shared/format/state.ts';
import type { Intent } from '../../shared/format/intent.ts';
import { diskFault } from '../disk/disk-fault.ts';
import { removeTree, syncDirectory, writeDurably } from '../disk/record.ts';
import type { StoreContext } from '../store/context.ts';
import {
  type Runtime,
  basisFor,
  generationOfLive,
  isLoaded,
  listIn,
  loadedRecord,
  pendingOf,
  putRuntime,
  runtimeOf,
} from '../store/runtime-state.ts';
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
  loadedRecord(context, plugin) !== undefined || stateOf(context, plugin)?.runtime !== undefined;

/** Undefined if nobody can say. */
function liveAt(
  context: StoreContext,
  plugin: string,
  at: number,
  swaps: Readonly<Record<string, number>>,
): string | null | undefined {
  const live = liveVersionOf(context, plugin);
  if (live === null) {
    const removed = stateOf(context, plugin)?.runtime?.waiting;
    return removed !== undefined && Date.parse(removed.at) > at ? undefined : null;
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
 * loaded. What the runtime has reported itself since then counts more. A change that waited for that version waits no longer.
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
  const live = liveVersionOf(context, plugin);
  const runtime = runtimeOf(context, plugin, live);
  // Of a removed plugin of which nothing was ever said, the stored state knows what was loaded.
  const before =
    said?.generation ?? (generation === null ? (runtime.state.candidates[0]?.generation ?? null) : null);
  const loaded = isSaidSince ? said.generation : generation;
  const at = new Date(isSaidSince ? Date.parse(said.at ?? '') : began).toISOString();
  // Of a restart that somebody reports only the moment is known at which the runtime has read; of the agent's own its whole time.
  const state =
    context.restartRuns?.() === true
      ? reduce(runtime.state, {
          type: 'restart-ended',
          live: versionsSince(context, plugin, live, loaded),
          at,
        })
      : reduce(runtime.state, { type: 'reported', generation: loaded, at, live: generationOfLive(live) });
  const settled = settle(context, plugin, live, { ...runtime, state }, cause);
  const note = (): void => {
    if (runtime.known) {
      putRuntime(context, plugin, settled);
    }
  };
  try {
    // With a stored state, the report alone leads to the same. Without one, the state must say first what waits.
    if (runtime.stored === undefined) {
      note();
    }
    if (!isSaidSince) {
      writeLoaded(context, plugin, generation, began);
    }
    if (runtime.stored !== undefined) {
      note();
    }
  } catch (error) {
    throw diskFault(error, `Noting what the runtime has loaded of "${plugin}"`);
  }
  if (!isSaidSince && before !== generation) {
    context.tell({ type: 'plugin.loaded', data: { plugin, generation, cause } });
  }
}

/** What is to be written down after a report; undefined: the report says it all. */
function settle(
  context: StoreContext,
  plugin: string,
  live: Intent['from'],
  runtime: Runtime,
  cause: string,
): StoredRuntime | undefined {
  const { state } = runtime;
  const generation = generationOfLive(live);
  if (isLoaded(state, generation)) {
    return undefined;
  }
  const waiting = runtime.waiting ?? {
    at: new Date(context.now()).toISOString(),
    operationId: cause,
    restarting: false,
  };
  if (runtime.waiting === undefined && generation !== null) {
    // Nobody was told of skills that came with a version which waits. Of others the runtime was told.
    const files = listIn(context, plugin)(generation);
    const basis = basisFor(context, plugin, live, runtime);
    const { kind } = classifyLoaded(basis, files, { ignore: context.ignore });
    if (kind !== 'cold') {
      return undefined;
    }
  }
  return {
    ...state,
    waiting: { ...waiting, restarting: waiting.restarting && state.restart === 'promised' },
  };
}

/** All versions that were live since one was, that one first. The chain may be broken: then an unknown one stands in it. */
function versionsSince(
  context: StoreContext,
  plugin: string,
  live: Intent['from'],
  since: string | null,
): (string | null)[] {
  const last = generationOfLive(live);
  const versions: (string | null)[] = [];
  let next = last;
  while (next !== since) {
    const receipt = next === null || versions.includes(next) ? undefined : receiptOf(context, plugin, next);
    if (receipt === undefined) {
      return [...new Set([since, UNKNOWN, last])];
    }
    versions.unshift(next);
    next = receipt.replaced;
  }
  return [since, ...versions];
}

/** The plugins of which a cold change still waits for a restart; in doubt it does. */
export const pendingPlugins = (context: StoreContext): string[] =>
  waiting(context).map(({ plugin }) => plugin);

/** The plugins of which a restart was promised that never ended well. */
export const promisedPlugins = (context: StoreContext): string[] =>
  waiting(context).flatMap(({ plugin, restart }) => (restart === 'promised' ? plugin : []));

/** What waits, by plugin. Of one that cannot be looked at, what is written down. */
const waiting = (context: StoreContext): { plugin: string; restart: RuntimeState['restart'] }[] =>
  context.disk
    .list(context.layout.state)
    .map(({ name }) => name.replace(/\.json$/, ''))
    .filter(isPluginName)
    .toSorted()
    .flatMap((plugin) => {
      const stored = stateOf(context, plugin)?.runtime;
      if (stored?.waiting === undefined) {
        return [];
      }
      return attempt(context, plugin, [{ plugin, restart: stored.restart }], () =>
        pendingOf(context, plugin) === undefined ? [] : [{ plugin, restart: restartOf(context, plugin) }],
      );
    });

/** Whether a restart is promised for a plugin, or runs. */
export const restartOf = (context: StoreContext, plugin: string): RuntimeState['restart'] =>
  runtimeOf(context, plugin, liveVersionOf(context, plugin)).state.restart;

/**
 * A restart begins: also what no restart was wanted for may be loaded by now, however it ends. For what was promised before a
 * moment (milliseconds since the epoch) it is the last try: after it, nobody is known to restart. Throws what the
 * disk throws.
 */
export function noteBegun(context: StoreContext, plugin: string, before: number): void {
  const live = liveVersionOf(context, plugin);
  const { state, waiting: change } = runtimeOf(context, plugin, live);
  if (change === undefined || pendingOf(context, plugin) === undefined) {
    return;
  }
  const promised = state.restart === 'promised' && Date.parse(change.at) >= before;
  const begun = reduce(state, { type: 'restart-began', live: generationOfLive(live), promised });
  putRuntime(context, plugin, {
    ...begun,
    waiting: { ...change, restarting: change.restarting && promised },
  });
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
