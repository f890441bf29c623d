/** Gives a live tree without a full marker a full one, if it does not change while it is read. */
import { Fault } from '../../shared/api/fault.ts';
import type { Marker } from '../../shared/format/marker.ts';
import type { Receipt } from '../../shared/format/receipt.ts';
import { type FileEntry, treeDigest } from '../../shared/format/tree.ts';
import type { AdmissionDecision } from '../../shared/rule/admission.ts';
import { reduce } from '../../shared/rule/runtime-state.ts';
import { removeTree } from '../disk/record.ts';
import { attempt, type StoreContext } from '../store/context.ts';
import { fingerprintOf, hashTree, syncTree } from '../store/tree.ts';
import { inspect } from '../store/inspect.ts';
import { installIdAt, liveVersionOf } from '../store/marker.ts';
import { takeSlot } from '../store/journal.ts';
import { isUnsyncedElsewhere } from '../store/records.ts';
import { type Runtime, putRuntime, runtimeOf } from '../store/runtime-state.ts';
import { standingBarrier } from './barrier.ts';
import { noteMarked } from './note-history.ts';
import { markerOf, seal } from './seal.ts';
import { Steps } from './steps.ts';

/** The `by` in the marker of an adopted tree. */
const BY = 'airlock';

/** A tree without a full marker that did not change while it was read, and its fingerprint from before. */
export type AdoptPlan = { files: FileEntry[]; fingerprint: string };

/** Nothing is done if there is another marker, or if a restart of the machine may have left empty files. */
function judgeTouched(
  context: StoreContext,
  plugin: string,
): (AdmissionDecision & { admitted: true }) | undefined {
  if (liveVersionOf(context, plugin)?.kind !== 'empty-marker' || isUnsyncedElsewhere(context)) {
    return undefined;
  }
  const judged = inspect(context, plugin);
  return judged?.admitted === true ? judged : undefined;
}

/**
 * Checks whether an operator's `touch` can become a full marker. The tree is hashed, synced and hashed again, which may
 * take long. The plugin's lock is not needed.
 *
 * @returns undefined if there is nothing to adopt.
 * @throws Fault CONFLICT if the tree changes meanwhile or holds entries that a plugin must not have; errors of the disk.
 */
export function planAdopt(context: StoreContext, plugin: string): AdoptPlan | undefined {
  if (judgeTouched(context, plugin) === undefined) {
    return undefined;
  }
  const fingerprint = fingerprintOf(context, context.layout.live(plugin));
  const before = hashTree(context, context.layout.live(plugin));
  return confirmPlan(context, plugin, { files: before.files, fingerprint });
}

/**
 * Turns the empty marker of an operator's `touch` into a full one. The caller holds the plugin's lock.
 *
 * @param touched the result of {@link planAdopt}; without it the plan is made here.
 * @returns whether it was adopted.
 * @throws Fault CONFLICT if the tree has changed meanwhile or holds entries that a plugin must not have; errors of the
 *   disk.
 */
export function adoptTouched(
  context: StoreContext,
  plugin: string,
  touched = planAdopt(context, plugin),
): boolean {
  const judged = touched && judgeTouched(context, plugin);
  if (touched === undefined || judged === undefined) {
    return false;
  }
  giveMarker(context, plugin, touched, { pluginVersion: judged.manifest?.version, by: BY });
  return true;
}

/** What a marker says of an adopted tree that its files do not. */
type AdoptFacts = Pick<Marker, 'by'> & {
  /** Undefined: the manifest says none. */
  pluginVersion: string | undefined;
  warnings?: Receipt['warnings'];
  /** For the history; absent: nobody has requested it. */
  operationId?: string;
};

/**
 * Gives a live tree a full marker. When it returns, that is durable. A failure or a crash before the marker leaves the
 * tree as it was. The caller holds the plugin's lock and has judged the tree.
 *
 * @throws Fault CONFLICT if the tree has changed since the plan; MARKER_FAILED, NO_SPACE, READ_ONLY, INTERNAL.
 */
export function giveMarker(
  context: StoreContext,
  plugin: string,
  { files, fingerprint }: AdoptPlan,
  { pluginVersion = '0.0.0', by, warnings, operationId }: AdoptFacts,
): Marker {
  const { disk, layout } = context;
  const live = layout.live(plugin);
  if (fingerprintOf(context, live) !== fingerprint) {
    throw changing(plugin);
  }
  const from = liveVersionOf(context, plugin);
  const runtime = runtimeOf(context, plugin, from);
  const tree = treeDigest(files);
  const stamp = takeSlot(context, plugin, tree, null);
  const slot = layout.slot(plugin, stamp);
  const facts = {
    plugin,
    pluginVersion,
    installId: stamp,
    // There was no bundle. The tree's own digest takes its place; no bundle has the same.
    bundle: tree,
    tree,
    source: undefined,
    by,
    replaced: null,
  };
  const marker = markerOf(context, facts, files);
  const about = { skipped: [], ...(warnings === undefined ? {} : { warnings }) };
  const unsealed = { directory: live, files, directories: [], about };
  const steps = new Steps(`Adopting "${plugin}"`);
  steps.attempt(() => {
    steps.step({
      name: 'stage',
      // The slot only reserves the stamp. Beside a marker of that stamp recovery would take it for a displaced version.
      do: () => disk.rmdir(slot),
      undo: () => attempt(context, 'Removing the staging directory', () => removeTree(disk, slot)),
    });
    steps.step({
      name: 'foresee',
      do: () => noteCandidate(context, plugin, runtime, stamp),
      undo: () =>
        attempt(context, 'Removing the candidate', () => dropCandidate(context, plugin, runtime, stamp)),
    });
    steps.step({
      name: 'seal',
      do: () => seal(context, marker, unsealed, standingBarrier(context, { isDurable: true })),
      undo: () => attempt(context, 'Removing the receipt', () => dropReceipt(context, plugin, stamp)),
    });
  });
  noteMarked(context, marker, { op: 'adopt', operationId, from: from && { installId: from.installId } });
  return marker;
}

/** The runtime may have read the adopted files. If no runtime state is stored, the live version is a candidate anyway. */
function noteCandidate(context: StoreContext, plugin: string, runtime: Runtime, stamp: string): void {
  const { stored, state } = runtime;
  if (stored !== undefined) {
    const event = { type: 'live-changed', to: stamp, kind: 'identical', restart: 'none' } as const;
    putRuntime(context, plugin, { ...stored, ...reduce(state, event) });
  }
}

/** Stores the runtime state from before, unless the marker of that version is already in place. */
function dropCandidate(context: StoreContext, plugin: string, { stored }: Runtime, stamp: string): void {
  if (stored !== undefined && installIdAt(context, context.layout.live(plugin)) !== stamp) {
    putRuntime(context, plugin, stored);
  }
}

/** Removes the receipt, unless the marker of that version is already in place. */
function dropReceipt(context: StoreContext, plugin: string, stamp: string): void {
  const { disk, layout } = context;
  if (installIdAt(context, layout.live(plugin)) !== stamp) {
    removeTree(disk, layout.receipt(plugin, stamp));
  }
}

const changing = (plugin: string): Fault =>
  new Fault('CONFLICT', `"${plugin}" changes while it is read, so it is not adopted`, {
    hint: 'Find the process that writes there, then try again; a sweep tries again by itself',
  });

/**
 * Makes a tree durable that was hashed before, and hashes it again.
 *
 * @throws Fault CONFLICT if it is not the same, or holds entries that a plugin must not have; errors of the disk.
 */
export function confirmPlan(context: StoreContext, plugin: string, plan: AdoptPlan): AdoptPlan {
  const live = context.layout.live(plugin);
  syncTree(context, live);
  const { files, others } = hashTree(context, live);
  if (treeDigest(plan.files) !== treeDigest(files)) {
    throw changing(plugin);
  }
  const [strange] = others;
  if (strange !== undefined) {
    throw new Fault('CONFLICT', `"${plugin}" holds "${strange}", which is not a file, so it is not adopted`, {
      hint: 'Remove it, or install the plugin from a bundle',
    });
  }
  return { files, fingerprint: plan.fingerprint };
}
