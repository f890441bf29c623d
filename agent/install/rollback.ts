/**
 * A version that was displaced comes back: its snapshot is moved into a slot, gets a fresh marker, and takes the place of
 * what is live, as in an install. What had to go is remembered, so that nobody delivers it again unasked.
 */
import { join } from 'node:path';

import { cut } from '../../shared/cut.ts';
import { Fault, toFault } from '../../shared/fault.ts';
import { MARKER } from '../../shared/layout.ts';
import { MARKER_MAX_BYTES, type Marker, writeMarker } from '../../shared/marker.ts';
import { type Installed, type RollbackParams, installedSchema } from '../../shared/methods.ts';
import type { Receipt } from '../../shared/receipt.ts';
import { compareTrees, treeDigest } from '../../shared/tree.ts';
import { diskFault } from '../disk/disk-fault.ts';
import { putRecord, putText, readText, syncDirectory } from '../disk/record.ts';
import { tidy } from './collect.ts';
import { finish } from './finish.ts';
import type { Ground } from './ground.ts';
import { type HashedTree, hashTree } from './hash-tree.ts';
import { inspect, receiptOf } from './inspect.ts';
import { markerAt } from './marker-at.ts';
import { questionOf, recall, remember } from './memory.ts';
import { type Move, renameDurably } from './move.ts';
import { type Papers, amend, newIntent, readyChanges } from './papers.ts';
import { refuseUnwanted } from './preflight.ts';
import { lookAtLive, takeSlot, writeIntent } from './slot.ts';
import { snapshotsOf } from './snapshots.ts';
import { swap } from './swap.ts';
import { syncTree } from './sync-tree.ts';
import { forgetRefused, noteRefused } from './notes.ts';
import { type Outlook, foresee } from './reload.ts';
import { undo } from './undo.ts';
import { verifyLive } from './verify.ts';

/**
 * Brings a version back. When it returns, that version is live, durable and read back; the rest is house-keeping, which
 * is for {@link Change.collect} to do.
 *
 * @param by the label of who asks, for the marker.
 * @throws Fault NOT_FOUND, HELD, CONFLICT, SWAP_FAILED, ROLLBACK_FAILED, NO_SPACE, READ_ONLY
 */
export function rollback(ground: Ground, params: RollbackParams, by: string): Change<Installed> {
  try {
    return roll(ground, params, by);
  } catch (error) {
    throw diskFault(error, `Rolling back "${params.plugin}"`);
  }
}

function roll(ground: Ground, params: RollbackParams, by: string): Change<Installed> {
  const question = questionOf({ ...params, op: 'rollback' });
  const before = recall(ground, params.operationId, question, installedSchema);
  if (before !== undefined) {
    return { answer: before, collect: () => undefined };
  }
  refuseUnwanted(ground, params);
  const source = chooseSource(ground, params);
  const papers = begin(ground, params, source);
  const moves: Move[] = [];
  const foreseen: Outlook[] = [];
  try {
    const { marker, answer } = bringBack(ground, params, by, papers, moves, question, foreseen);
    forgetRefused(ground, papers.intent);
    noteRefused(ground, params.plugin, marker);
    try {
      remember(ground, params.operationId, question, answer, params.plugin);
    } catch (error) {
      ground.complain(toFault(error, 'Remembering the answer'));
    }
    return { answer, collect: () => finish(ground, papers, () => tidy(ground, papers)) };
  } catch (error) {
    const code = moves.length > 0 ? 'SWAP_FAILED' : 'INTERNAL';
    const fault = diskFault(error, `Rolling back "${params.plugin}"`, code);
    throw undo(ground, papers, moves, fault, foreseen[0]);
  }
}

/** A change that has been made: what is answered, and the house-keeping after the answer. */
export type Change<T> = { answer: T; collect: () => void };

/** @returns the stamp of the snapshot that is to come back. */
function chooseSource(ground: Ground, { plugin, to, force }: RollbackParams): string {
  const stamps = snapshotsOf(ground, plugin);
  const versionAt = (stamp: string): Marker | undefined =>
    markerAt(ground, ground.layout.snapshot(plugin, stamp));
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
function begin(ground: Ground, { plugin, operationId }: RollbackParams, source: string): Papers {
  const { layout } = ground;
  const from = lookAtLive(ground, plugin);
  const bundle = markerAt(ground, layout.snapshot(plugin, source))?.bundle ?? `sha256:${'0'.repeat(64)}`;
  const stamp = takeSlot(ground, plugin, bundle.slice('sha256:'.length), from);
  const papers: Papers = {
    intent: { ...newIntent(ground, { plugin, operationId, stamp, from }), op: 'rollback', source, bundle },
  };
  try {
    writeIntent(ground, papers.intent);
  } catch (error) {
    throw undo(ground, papers, [], diskFault(error, `Beginning the rollback of "${plugin}"`));
  }
  return papers;
}

function bringBack(
  ground: Ground,
  { plugin, restart }: RollbackParams,
  by: string,
  papers: Papers,
  moves: Move[],
  question: string,
  foreseen: Outlook[],
): { marker: Marker; answer: Installed } {
  const { layout } = ground;
  const { stamp, source, from, operationId } = papers.intent;
  const slot = layout.slot(plugin, stamp);
  renameDurably(ground, layout.snapshot(plugin, source ?? ''), slot);
  const found = hashTree(ground, slot);
  refuseStrange(plugin, found);
  const replaced = from?.installId ?? null;
  const said = readText(ground.disk, join(slot, MARKER), MARKER_MAX_BYTES);
  const old = markerAt(ground, slot);
  const kept = warningsOf(ground, plugin, old, found);
  const marker = freshMarker(ground, papers, old, found, by);
  const next = { installId: stamp, files: found.files, directory: slot };
  const outlook = foresee(ground, { plugin, operationId, restart: restart !== false, from, next });
  foreseen.push(outlook);
  const { reload } = outlook;
  const warnings = [...kept, ...outlook.warnings];
  // The whole marker: the schema keeps of it what belongs to an answer.
  const answer = installedSchema.parse({ ...marker, status: 'rolled-back', reload, warnings: cut(warnings) });
  amend(ground, papers, {
    ...readyChanges(ground, from, { ...marker, files: found.files }),
    marker: said.kind === 'text' ? said.text : null,
    memory: { question, answer },
  });
  sealAgain(ground, slot, marker, found);
  swap(ground, papers, moves);
  verifyLive(ground, marker, found.files);
  const judged = inspect(ground, plugin);
  if (judged?.admitted !== true && judged?.reason !== 'disabled') {
    const why = judged === undefined ? 'it is not there' : `${judged.reason}: ${judged.detail}`;
    throw new Fault('SWAP_FAILED', `The version of "${plugin}" that came back is refused, ${why}`, {
      hint: 'Install the version that you want',
    });
  }
  const { pluginVersion: version } = marker;
  const data = { operationId, plugin, installId: stamp, version, refused: replaced, by };
  ground.tell({ type: 'install.rolled-back', data });
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
function warningsOf(ground: Ground, plugin: string, old: Marker | undefined, found: HashedTree): string[] {
  const receipt = old === undefined ? undefined : receiptOf(ground, plugin, old.installId);
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
  ground: Ground,
  { intent }: Papers,
  old: Marker | undefined,
  { files }: HashedTree,
  by: string,
): Marker {
  const tree = treeDigest(files);
  return {
    version: 1,
    plugin: intent.plugin,
    pluginVersion: old?.pluginVersion ?? '0.0.0',
    installId: intent.stamp,
    // Of a tree that no bundle holds, its own digest: it is equal to no bundle's.
    bundle: old?.tree === tree ? old.bundle : tree,
    tree,
    files: files.length,
    bytes: files.reduce((sum, { size }) => sum + size, 0),
    installedAt: new Date(ground.now()).toISOString(),
    ...(old?.source === undefined ? {} : { source: old.source }),
    by,
    replaced: intent.from?.installId ?? null,
  };
}

/** The receipt, then the marker over the old one, all of it durable: also what somebody has edited since. */
function sealAgain(ground: Ground, slot: string, marker: Marker, { files }: HashedTree): void {
  const { disk, layout } = ground;
  const { plugin, installId } = marker;
  try {
    const receipt: Receipt = { ...marker, list: files, skipped: [] };
    putRecord(disk, layout.staging, plugin, layout.receipt(plugin, installId), receipt);
    syncTree(ground, slot);
    // A rename between two directories is durable when both are; and no marker may be there without its receipt.
    syncDirectory(disk, layout.staging);
    putText(disk, layout.staging, plugin, `${slot}/${MARKER}`, writeMarker(marker));
    syncDirectory(disk, layout.staging);
  } catch (error) {
    throw diskFault(error, `Sealing "${plugin}" again`, 'MARKER_FAILED');
  }
}
