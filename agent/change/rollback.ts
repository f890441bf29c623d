/**
 * A version that was displaced comes back: its snapshot is moved into a slot, gets a fresh marker, and takes the place of
 * what is live, as in an install. What had to go is remembered, so that nobody delivers it again unasked.
 */
import { join } from 'node:path';

import { truncate } from '../../shared/truncate.ts';
import { Fault, toFault } from '../../shared/api/fault.ts';
import { MARKER } from '../../shared/format/layout.ts';
import { MARKER_MAX_BYTES, type Marker } from '../../shared/format/marker.ts';
import { type Installed, type RollbackParams, installedSchema } from '../../shared/api/methods.ts';
import { compareTrees, treeDigest } from '../../shared/format/tree.ts';
import { diskFault } from '../disk/disk-fault.ts';
import { readText } from '../disk/record.ts';
import { snapshotsOf, tidy } from '../store/snapshots.ts';
import { finish, undo } from './transaction.ts';
import type { StoreContext } from '../store/context.ts';
import { type HashedTree, hashTree } from '../store/tree.ts';
import { inspect } from '../store/inspect.ts';
import { receiptOf } from '../store/records.ts';
import { markerAt } from '../store/marker.ts';
import { questionOf, recall, remember } from '../store/operation-log.ts';
import { type Move, renameDurably } from '../store/durable-rename.ts';
import {
  amend,
  liveVersionOf,
  newIntent,
  type Journal,
  readyChanges,
  takeSlot,
  writeIntent,
} from '../store/journal.ts';
import { standingBarrier } from './barrier.ts';
import { refuseUnwanted } from './preflight.ts';
import { markerOf, seal } from './seal.ts';
import { swap } from './swap.ts';
import { forgetRefused, noteRefused } from '../store/state.ts';
import { type PlannedReload, foresee } from './reload.ts';
import { verifyLive } from './verify.ts';

/**
 * Brings a version back. When it returns, that version is live, durable and read back; the rest is house-keeping, which
 * is for {@link Change.collect} to do.
 *
 * @param by the label of who asks, for the marker.
 * @throws Fault NOT_FOUND, HELD, CONFLICT, SWAP_FAILED, ROLLBACK_FAILED, NO_SPACE, READ_ONLY
 */
export function rollback(context: StoreContext, params: RollbackParams, by: string): Change<Installed> {
  try {
    return roll(context, params, by);
  } catch (error) {
    throw diskFault(error, `Rolling back "${params.plugin}"`);
  }
}

function roll(context: StoreContext, params: RollbackParams, by: string): Change<Installed> {
  const question = questionOf({ ...params, op: 'rollback' });
  const before = recall(context, params.operationId, question, installedSchema);
  if (before !== undefined) {
    return { answer: before, collect: () => undefined };
  }
  refuseUnwanted(context, params);
  const source = chooseSource(context, params);
  const journal = begin(context, params, source);
  const moves: Move[] = [];
  const foreseen: PlannedReload[] = [];
  try {
    const { marker, answer } = bringBack(context, params, by, journal, moves, question, foreseen);
    forgetRefused(context, journal.intent);
    noteRefused(context, params.plugin, marker);
    try {
      remember(context, params.operationId, question, answer, params.plugin);
    } catch (error) {
      context.complain(toFault(error, 'Remembering the answer'));
    }
    return { answer, collect: () => finish(context, journal, () => tidy(context, journal)) };
  } catch (error) {
    const code = moves.length > 0 ? 'SWAP_FAILED' : 'INTERNAL';
    const fault = diskFault(error, `Rolling back "${params.plugin}"`, code);
    throw undo(context, journal, moves, fault, foreseen[0]);
  }
}

/** A change that has been made: what is answered, and the house-keeping after the answer. */
export type Change<T> = { answer: T; collect: () => void };

/** @returns the stamp of the snapshot that is to come back. */
function chooseSource(context: StoreContext, { plugin, to, force }: RollbackParams): string {
  const stamps = snapshotsOf(context, plugin);
  const versionAt = (stamp: string): Marker | undefined =>
    markerAt(context, context.layout.snapshot(plugin, stamp));
  const source = to === undefined ? stamps[0] : stamps.find((stamp) => versionAt(stamp)?.installId === to);
  if (source === undefined) {
    const there = stamps.map((stamp) => versionAt(stamp)?.installId ?? 'one without a marker');
    throw new Fault(
      'NOT_FOUND',
      to === undefined
        ? `No version of "${plugin}" is kept that could come back`
        : `The version ${to} of "${plugin}" is not kept here`,
      {
        hint:
          there.length === 0
            ? 'Install the version that you want'
            : `Kept are ${there.join(', ')}; or install the version that you want`,
      },
    );
  }
  if (versionAt(source) === undefined && force !== true) {
    throw new Fault('CONFLICT', `The version of "${plugin}" that would come back has no marker`, {
      hint: 'Nobody can say that it is whole: look at it, then roll back with force, or install a version',
    });
  }
  return source;
}

/** Takes a slot and writes down what is to be done, before anything is moved. */
function begin(context: StoreContext, { plugin, operationId }: RollbackParams, source: string): Journal {
  const { layout } = context;
  const from = liveVersionOf(context, plugin);
  const bundle = markerAt(context, layout.snapshot(plugin, source))?.bundle ?? `sha256:${'0'.repeat(64)}`;
  const stamp = takeSlot(context, plugin, bundle.slice('sha256:'.length), from);
  const journal: Journal = {
    intent: { ...newIntent(context, { plugin, operationId, stamp, from }), op: 'rollback', source, bundle },
  };
  try {
    writeIntent(context, journal.intent);
  } catch (error) {
    throw undo(context, journal, [], diskFault(error, `Beginning the rollback of "${plugin}"`));
  }
  return journal;
}

function bringBack(
  context: StoreContext,
  { plugin, restart }: RollbackParams,
  by: string,
  journal: Journal,
  moves: Move[],
  question: string,
  foreseen: PlannedReload[],
): { marker: Marker; answer: Installed } {
  const { layout } = context;
  const { stamp, source, from, operationId } = journal.intent;
  const slot = layout.slot(plugin, stamp);
  renameDurably(context, layout.snapshot(plugin, source ?? ''), slot);
  const found = hashTree(context, slot);
  refuseStrange(plugin, found);
  const replaced = from?.installId ?? null;
  const said = readText(context.disk, join(slot, MARKER), MARKER_MAX_BYTES);
  const old = markerAt(context, slot);
  const kept = warningsOf(context, plugin, old, found);
  const marker = freshMarker(context, journal, old, found, by);
  const next = { installId: stamp, files: found.files, directory: slot };
  const outlook = foresee(context, { plugin, operationId, restart: restart !== false, from, next });
  foreseen.push(outlook);
  const { reload } = outlook;
  const warnings = [...kept, ...outlook.warnings];
  // The whole marker: the schema keeps of it what belongs to an answer.
  const answer = installedSchema.parse({
    ...marker,
    status: 'rolled-back',
    reload,
    warnings: truncate(warnings),
  });
  amend(context, journal, {
    ...readyChanges(context, from, { ...marker, files: found.files }),
    marker: said.kind === 'text' ? said.text : null,
    memory: { question, answer },
  });
  const unsealed = { directory: slot, files: found.files, directories: [], skipped: [] };
  seal(context, marker, unsealed, standingBarrier(context, { isDurable: false }));
  swap(context, journal, moves);
  verifyLive(context, marker, found.files);
  const judged = inspect(context, plugin);
  if (judged?.admitted !== true && judged?.reason !== 'disabled') {
    const why = judged === undefined ? 'it is not there' : `${judged.reason}: ${judged.detail}`;
    throw new Fault('SWAP_FAILED', `The version of "${plugin}" that came back is refused, ${why}`, {
      hint: 'Install the version that you want',
    });
  }
  const { pluginVersion: version } = marker;
  const data = { operationId, plugin, installId: stamp, version, refused: replaced, by };
  context.tell({ type: 'install.rolled-back', data });
  outlook.settle();
  return { marker, answer };
}

/** What no plugin may hold would be refused after the swap, too; before it nothing has changed yet. */
function refuseStrange(plugin: string, { others: [strange] }: HashedTree): void {
  if (strange !== undefined) {
    throw new Fault(
      'CONFLICT',
      `The version of "${plugin}" that would come back holds "${strange}", which is no file`,
      {
        hint: 'Somebody made it in place: remove it from the snapshot, or install the version that you want',
      },
    );
  }
}

/** Edits in place come back as they are, and are said. */
function warningsOf(
  context: StoreContext,
  plugin: string,
  old: Marker | undefined,
  found: HashedTree,
): string[] {
  const receipt = old === undefined ? undefined : receiptOf(context, plugin, old.installId);
  if (receipt === undefined) {
    return ['nobody can say whether its files are as they were installed: there is no receipt'];
  }
  const { modified, missing, unlisted } = compareTrees(receipt.list, found.files);
  return [
    ...modified.map((path) => `${path}: it was edited in place`),
    ...missing.map((path) => `${path}: it was removed in place`),
    ...unlisted.map((path) => `${path}: it was added in place`),
  ].slice(0, 100);
}

function freshMarker(
  context: StoreContext,
  { intent }: Journal,
  old: Marker | undefined,
  { files }: HashedTree,
  by: string,
): Marker {
  const tree = treeDigest(files);
  const facts = {
    plugin: intent.plugin,
    pluginVersion: old?.pluginVersion ?? '0.0.0',
    installId: intent.stamp,
    // Of a tree that no bundle holds, its own digest: it is equal to no bundle's.
    bundle: old?.tree === tree ? old.bundle : tree,
    tree,
    source: old?.source,
    by,
    replaced: intent.from?.installId ?? null,
  };
  return markerOf(context, facts, files);
}
