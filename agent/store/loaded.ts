/** What a runtime is taken to have loaded: what it says, or, where it has said nothing, what was live before. */
import { type Basis, type Verdict, classify, isSkill } from '../../shared/rule/classify.ts';
import { Fault } from '../../shared/api/fault.ts';
import type { Intent } from '../../shared/format/intent.ts';
import { type Loaded, readLoaded } from '../../shared/format/loaded.ts';
import { type Pending, isPending, mayBeLoaded } from '../../shared/format/state.ts';
import type { FileEntry } from '../../shared/format/tree.ts';
import { readText } from '../disk/record.ts';
import { type Drifted, driftOf } from './drift.ts';
import type { StoreContext } from './context.ts';
import { receiptOf, stateOf } from './records.ts';
import { liveVersionOf } from './marker.ts';

/** A report of more bytes than this is not read. */
export const LOADED_MAX_BYTES = 64 * 1024;
/** Stands for a version of which nobody can say which one it is. No generation is called so. */
const UNKNOWN = 'unknown';
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

/** The cold change that waits to be loaded; one that the runtime says it has loaded waits no more. */
export const pendingOf = (context: StoreContext, plugin: string): Pending | undefined =>
  loadingOf(context, plugin, liveVersionOf(context, plugin)).pending;

/** What is known of the loading of a plugin, of one look at its records. */
export type Loading = {
  /** False: the state cannot be read, and may hold what is pending. */
  known: boolean;
  pending: Pending | undefined;
  /**
   * The generation that is taken to be loaded, null for none: what the runtime says; else what was live when the change
   * that is still pending was made; else what is live.
   */
  generation: string | null;
  /** Who has said what is loaded, so that nothing else is until that is said as well; undefined: nobody has. */
  reported: 'runtime' | 'restart' | undefined;
};

export function loadingOf(context: StoreContext, plugin: string, live: Intent['from']): Loading {
  const state = stateOf(context, plugin);
  const said = loadedRecord(context, plugin);
  const loaded = said?.generation;
  const version = live === null ? null : (live.installId ?? undefined);
  const pending = isPending(state?.pending, loaded, version) ? state?.pending : undefined;
  const before = live === null ? null : (live.installId ?? UNKNOWN);
  const generation = loaded ?? (pending === undefined ? before : pending.against);
  const reported = said && (said.by === undefined ? 'runtime' : 'restart');
  return { known: state !== undefined, pending, generation, reported };
}

/** The generation that is taken to be loaded; null for none. */
export const takenGeneration = (context: StoreContext, plugin: string, live: Intent['from']): string | null =>
  loadingOf(context, plugin, live).generation;

/**
 * The generation of which nothing may be collected; null for none.
 *
 * @throws Fault INTERNAL if the disk does not let its records be read: what is loaded is never collected.
 */
export function keptGeneration(context: StoreContext, plugin: string): string | null {
  const { layout } = context;
  const live = liveVersionOf(context, plugin);
  const { known, pending, generation } = loadingOf(context, plugin, live);
  if (known && live === null && pending === undefined) {
    // Nothing of a removed plugin is compared with what comes: that is cold.
    return null;
  }
  if (generation === UNREADABLE || !known) {
    const path = known ? layout.loadedOf(plugin) : layout.stateOf(plugin);
    throw new Fault('INTERNAL', `What is loaded of "${plugin}" cannot be read`, {
      hint: `Check content, owner and permissions of ${path}, or remove it`,
    });
  }
  return generation;
}

/** What was edited in place of what is live; nothing where nobody can say. */
export function liveDrift(context: StoreContext, plugin: string, live: Intent['from']): Drifted[] {
  const installId = live?.installId ?? undefined;
  const receipt = installId === undefined ? undefined : receiptOf(context, plugin, installId);
  return receipt === undefined ? [] : driftOf(context, context.layout.live(plugin), receipt, Infinity);
}

/**
 * What a change is compared with. In doubt it is not known, which makes the change cold.
 *
 * @param drift what was edited in place of what is live.
 */
export function basisOf(
  context: StoreContext,
  plugin: string,
  live: Intent['from'],
  drift: readonly Drifted[],
  loading: Loading = loadingOf(context, plugin, live),
): Basis {
  const { known, generation } = loading;
  if (live === null) {
    return { kind: 'unknown', why: 'no version was live' };
  }
  if (!known) {
    return { kind: 'unknown', why: 'its state cannot be read' };
  }
  if (generation === null) {
    return { kind: 'unknown', why: 'no version is loaded' };
  }
  const receipt = receiptOf(context, plugin, generation);
  if (receipt === undefined) {
    return {
      kind: 'unknown',
      why: `nobody can say what the files of the loaded version were (${generation})`,
    };
  }
  const { pending } = loading;
  const between = pending && mayBeLoaded(pending) ? changedSince(context, plugin, live, loading) : [];
  const edited = [...editsBefore(context, plugin, live, drift, loading), ...between];
  return { kind: 'tree', list: receipt.list, edited: [...new Set(edited)] };
}

/**
 * The paths of which something else may be loaded than what is taken to be, whatever has become of what waits: edited in
 * place of what may be loaded, or changed since with nothing waiting.
 */
export function editsBefore(
  context: StoreContext,
  plugin: string,
  live: Intent['from'],
  drift: readonly Drifted[],
  loading: Loading,
): readonly string[] {
  const { generation, pending } = loading;
  if (live === null) {
    // A runtime tells of what it has loaded, and so never that a plugin is gone: it may be by now.
    return generation === null ? [] : [''];
  }
  if (pending === undefined) {
    return [...editsOf(drift), ...changedSince(context, plugin, live, loading)];
  }
  const before = pending.edited ?? [];
  // What differs by its skills alone is edited as what is loaded is: its skills may have been read again.
  const isMaybeLoaded =
    generation === live.installId ||
    mayBeLoaded(pending) ||
    (drift.length > 0 && difference(context, plugin, generation, live.installId).kind !== 'cold');
  return isMaybeLoaded ? [...before, ...editsOf(drift)] : before;
}

/** A skill by its path alone would be hot: where one came, went or changed its mode the whole plugin is named as well. */
const named = (paths: readonly string[], isCold: boolean): readonly string[] =>
  isCold && paths.every(isSkill) ? [...paths, ''] : paths;

const editsOf = (drift: readonly Drifted[]): readonly string[] =>
  named(
    drift.map(({ path }) => path),
    drift.some(({ change }) => change !== 'modified'),
  );

/**
 * The paths of which what is live may be loaded by now, though an older version is taken to be: by a restart that was
 * promised, or that somebody is yet to report, or because they are skills.
 */
function changedSince(
  context: StoreContext,
  plugin: string,
  live: NonNullable<Intent['from']>,
  { generation, pending }: Loading,
): readonly string[] {
  if (generation === live.installId) {
    return [];
  }
  const { kind, reasons } = difference(context, plugin, generation, live.installId);
  const between = [...(pending?.reasons.items ?? []), ...reasons].map(({ path }) => path);
  return named(between, pending !== undefined || kind === 'cold');
}

function difference(context: StoreContext, plugin: string, from: string | null, to: string | null): Verdict {
  const listOf = (installId: string | null): readonly FileEntry[] | undefined =>
    installId === null ? undefined : receiptOf(context, plugin, installId)?.list;
  return classify(listOf(from), listOf(to), { ignore: context.ignore });
}

/**
 * The paths of which a restart may have read something else than the version that was live when it began: of all that
 * came since. The plugin as a whole where nobody can say any more.
 */
export function readSince(context: StoreContext, plugin: string, began: string | null): readonly string[] {
  const paths = new Set<string>();
  const seen = new Set<string>();
  let next = liveVersionOf(context, plugin)?.installId ?? null;
  while (next !== began) {
    const receipt = next === null || seen.has(next) ? undefined : receiptOf(context, plugin, next);
    if (next === null || receipt === undefined) {
      return [''];
    }
    seen.add(next);
    const { kind, reasons } = difference(context, plugin, began, next);
    const differing = reasons.map(({ path }) => path);
    named(differing, kind === 'cold').forEach((path) => paths.add(path));
    next = receipt.replaced;
  }
  return [...paths];
}
