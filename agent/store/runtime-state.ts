/** What a runtime may have loaded of a plugin, as it is written down: its own report, the stored state, and what is live. */
import { Fault } from '../../shared/api/fault.ts';
import type { Intent } from '../../shared/format/intent.ts';
import { type Loaded, readLoaded } from '../../shared/format/loaded.ts';
import type { Pending, RuntimeState, StoredRuntime, Waiting } from '../../shared/format/state.ts';
import type { FileEntry } from '../../shared/format/tree.ts';
import { type Basis, classifyLoaded, isSkill } from '../../shared/rule/classify.ts';
import { UNKNOWN, basisOf, reduce } from '../../shared/rule/runtime-state.ts';
import { firstOf } from '../../shared/truncate.ts';
import { putRecord, readText, removeTree, syncDirectory } from '../disk/record.ts';
import type { StoreContext } from './context.ts';
import { type Drifted, driftOf } from './drift.ts';
import { liveVersionOf } from './marker.ts';
import { receiptOf, stateOf } from './records.ts';
import { unreadable } from './state.ts';

/** A report of more bytes than this is not read. */
export const LOADED_MAX_BYTES = 64 * 1024;
/** Stands for a report that the disk does not let be read. */
const UNREADABLE = 'unreadable';

/** What the runtime says of a plugin; undefined if it has said nothing. What cannot be read names no version. */
export function loadedRecord({ disk, layout }: StoreContext, plugin: string): Loaded | undefined {
  const reading = readText(disk, layout.loadedOf(plugin), LOADED_MAX_BYTES);
  if (reading.kind === 'absent') {
    return undefined;
  }
  if (reading.kind === 'unreadable') {
    return { version: 1, generation: UNREADABLE };
  }
  return readLoaded(reading.text) ?? { version: 1, generation: UNKNOWN };
}

/** The generation that the runtime says it has loaded; undefined if it has said nothing. */
export const loadedGeneration = (context: StoreContext, plugin: string): string | undefined =>
  loadedRecord(context, plugin)?.generation;

/** What is known of the runtime, from one look at the records of a plugin. */
export type Runtime = {
  /** False: the state of the plugin cannot be read, and may say something else. */
  known: boolean;
  state: RuntimeState;
  /** The change that needs a restart; undefined: none does. */
  waiting: Waiting | undefined;
  /** What is written down; undefined: nothing is. */
  stored: StoredRuntime | undefined;
  /** Who has said what is loaded, so that the next load is told as well; undefined: nobody has. */
  reported: 'runtime' | 'restart' | undefined;
};

/** How a live version is called among the candidates; null: nothing is live. */
export const generationOfLive = (live: Intent['from']): string | null =>
  live === null ? null : (live.installId ?? UNKNOWN);

/**
 * What the runtime may have loaded: what is written down, and then what the report says.
 *
 * Where nothing is written down, no change waits: the runtime has loaded what it says or what is live.
 */
export function runtimeOf(context: StoreContext, plugin: string, live: Intent['from']): Runtime {
  const noted = stateOf(context, plugin);
  const said = loadedRecord(context, plugin);
  const generation = generationOfLive(live);
  const names = [...new Set([said === undefined ? generation : said.generation, generation])];
  const { waiting, ...before } = noted?.runtime ?? {
    candidates: names.map((name) => ({ generation: name, edited: [] })),
    restart: 'none' as const,
    waiting: undefined,
  };
  const told = said
    ? reduce(before, { type: 'reported', generation: said.generation, at: said.at, live: generation })
    : before;
  // A runtime reports what it has loaded, and never that a plugin is gone: it may be.
  const state =
    live === null
      ? reduce(told, { type: 'live-changed', to: null, kind: 'identical', restart: 'none' })
      : told;
  return {
    known: noted !== undefined,
    state,
    waiting: isLoaded(state, generation) ? undefined : waiting,
    stored: noted?.runtime,
    reported: said && (said.by === undefined ? 'runtime' : 'restart'),
  };
}

/** Whether the runtime can have loaded nothing but this version. */
export const isLoaded = ({ candidates }: RuntimeState, generation: string | null): boolean =>
  candidates.every((one) => one.generation === generation && one.edited.length === 0);

/** The files of a version by its receipt; undefined if nobody can say. */
export const listIn =
  (context: StoreContext, plugin: string) =>
  (generation: string): readonly FileEntry[] | undefined =>
    receiptOf(context, plugin, generation)?.list;

/** The cold change that waits to be loaded; undefined: none does. */
export function pendingOf(context: StoreContext, plugin: string): Pending | undefined {
  const live = liveVersionOf(context, plugin);
  const { state, waiting } = runtimeOf(context, plugin, live);
  if (waiting === undefined) {
    return undefined;
  }
  const reasons = reasonsOf(context, plugin, state, live);
  return reasons.length === 0
    ? undefined
    : {
        ...waiting,
        installId: live?.installId ?? null,
        against: state.candidates[0]?.generation ?? null,
        reasons: { items: firstOf(reasons.slice(0, REASONS_MAX)), total: reasons.length },
      };
}

/** Reasons of a pending change that are listed; more are counted. */
const REASONS_MAX = 20;

/** Why what is live needs a restart; empty: the runtime has loaded it. */
function reasonsOf(
  context: StoreContext,
  plugin: string,
  state: RuntimeState,
  live: Intent['from'],
): Pending['reasons']['items'] {
  if (live === null) {
    const isUnloaded = state.candidates.every(({ generation }) => generation === null);
    return isUnloaded ? [] : classifyLoaded({ kind: 'unknown', why: '' }, undefined).reasons;
  }
  const list = listIn(context, plugin);
  const files = list(generationOfLive(live) ?? UNKNOWN);
  const basis: Basis =
    files === undefined
      ? { kind: 'unknown', why: 'nobody can say what the files of the live version are' }
      : basisOf(state, list, context.ignore);
  return classifyLoaded(basis, files ?? [], { ignore: context.ignore }).reasons;
}

/** The generation that is taken to be loaded; null for none. */
export const takenGeneration = (context: StoreContext, plugin: string, live: Intent['from']): string | null =>
  runtimeOf(context, plugin, live).state.candidates[0]?.generation ?? null;

/**
 * The generations of which the receipts are kept. The first one is taken to be loaded, so its files are kept too.
 *
 * @throws Fault INTERNAL if the disk does not let its records be read: what is loaded is never collected.
 */
export function keptGenerations(context: StoreContext, plugin: string): string[] {
  const { layout } = context;
  const live = liveVersionOf(context, plugin);
  const { known, state, waiting } = runtimeOf(context, plugin, live);
  if (known && live === null && waiting === undefined) {
    // Nothing of a removed plugin is compared with what comes: that is cold.
    return [];
  }
  const kept = state.candidates.flatMap(({ generation }) => generation ?? []);
  if (!known || kept.includes(UNREADABLE)) {
    const path = known ? layout.loadedOf(plugin) : layout.stateOf(plugin);
    throw new Fault('INTERNAL', `What is loaded of "${plugin}" cannot be read`, {
      hint: `Check content, owner and permissions of ${path}, or remove it`,
    });
  }
  return kept;
}

/** What was edited in place of what is live; nothing where nobody can say. */
export function liveDrift(context: StoreContext, plugin: string, live: Intent['from']): Drifted[] {
  const installId = live?.installId ?? undefined;
  const receipt = installId === undefined ? undefined : receiptOf(context, plugin, installId);
  return receipt === undefined ? [] : driftOf(context, context.layout.live(plugin), receipt, Infinity);
}

/**
 * The state with what was edited in place of what is live. The runtime may have read those files if it may have loaded what is
 * live, or if it has loaded the same but for skills.
 */
export function withDrift(
  context: StoreContext,
  plugin: string,
  live: Intent['from'],
  drift: readonly Drifted[],
  state: RuntimeState,
): RuntimeState {
  const generation = generationOfLive(live);
  if (generation === null || drift.length === 0) {
    return state;
  }
  const list = listIn(context, plugin);
  const files = list(generation);
  const { kind } = classifyLoaded(basisOf(state, list, context.ignore), files ?? [], {
    ignore: context.ignore,
  });
  const before = reduce(state, { type: 'live-changed', to: generation, kind, restart: 'none' });
  return reduce(before, { type: 'edited', generation, paths: editsOf(drift) });
}

/** A skill is hot by its path. Where one was added, removed or changed its mode the whole plugin is named as well. */
function editsOf(drift: readonly Drifted[]): string[] {
  const paths = drift.map(({ path }) => path);
  const isCold = drift.some(({ change }) => change !== 'modified');
  return isCold && paths.every(isSkill) ? [...paths, ''] : paths;
}

/** What a change is compared with. In doubt it is not known, which makes the change cold. */
export function basisFor(
  context: StoreContext,
  plugin: string,
  live: Intent['from'],
  runtime: Runtime,
): Basis {
  if (live === null) {
    return { kind: 'unknown', why: 'no version was live' };
  }
  return runtime.known
    ? basisOf(runtime.state, listIn(context, plugin), context.ignore)
    : { kind: 'unknown', why: 'its state cannot be read' };
}

/** What a change that is made now would be compared with. It looks at every live file. */
export function loadedBasis(context: StoreContext, plugin: string): Basis {
  const live = liveVersionOf(context, plugin);
  const runtime = runtimeOf(context, plugin, live);
  const drift = liveDrift(context, plugin, live);
  const state = withDrift(context, plugin, live, drift, runtime.state);
  return basisFor(context, plugin, live, { ...runtime, state });
}

/**
 * Writes down what the runtime may have loaded; undefined: what it has reported and what is live.
 *
 * @throws Fault INTERNAL if the state cannot be read; what the disk throws.
 */
export function putRuntime(context: StoreContext, plugin: string, runtime: StoredRuntime | undefined): void {
  const { layout, disk } = context;
  const state = stateOf(context, plugin);
  if (state === undefined) {
    throw unreadable(context, plugin);
  }
  if (state.runtime === undefined && runtime === undefined) {
    return;
  }
  const { runtime: _, ...rest } = state;
  if (runtime !== undefined || Object.keys(rest).length > 1) {
    const changed = runtime === undefined ? rest : { ...rest, runtime };
    putRecord(disk, layout.staging, plugin, layout.stateOf(plugin), changed);
  } else {
    removeTree(disk, layout.stateOf(plugin));
    syncDirectory(disk, layout.state);
  }
}
