/**
 * Brings a displaced version back: its snapshot is moved into a slot, gets a fresh marker, and is swapped as in an
 * install. The version that it replaces is remembered, so that it is not installed again without force.
 */
import { join } from 'node:path';

import { Fault } from '../../shared/api/fault.ts';
import { type Installed, installedSchema } from '../../shared/api/plugin.ts';
import type { RollbackParams } from '../../shared/api/methods.ts';
import { MARKER } from '../../shared/format/layout.ts';
import { MARKER_MAX_BYTES, type Marker } from '../../shared/format/marker.ts';
import type { Receipt } from '../../shared/format/receipt.ts';
import { compareTrees, treeDigest } from '../../shared/format/tree.ts';
import { truncate } from '../../shared/truncate.ts';
import { readText } from '../disk/record.ts';
import type { StoreContext } from '../store/context.ts';
import { renameDurably } from '../store/durable-rename.ts';
import { inspect } from '../store/inspect.ts';
import type { Journal } from '../store/journal.ts';
import { markerAt, liveVersionOf } from '../store/marker.ts';
import { questionOf } from '../store/operation-log.ts';
import { receiptOf } from '../store/records.ts';
import { snapshotsOf } from '../store/snapshots.ts';
import { forgetRefused, noteRefused } from '../store/state.ts';
import { type HashedTree, hashTree } from '../store/tree.ts';
import { type BundleFacts, standingBarrier } from './barrier.ts';
import { describeDisplaced } from './displaced.ts';
import { markerOf } from './seal.ts';
import { type Change, transact, Transaction } from './transaction.ts';

/**
 * Brings a version back. When it returns, that version is live, durable and verified. {@link Change.collect} does the
 * house-keeping.
 *
 * @param by the label of the caller, for the marker.
 * @throws Fault NOT_FOUND, HELD, CONFLICT, SWAP_FAILED, ROLLBACK_FAILED, NO_SPACE, READ_ONLY
 */
export function rollback(context: StoreContext, params: RollbackParams, by: string): Change<Installed> {
  const { plugin, operationId } = params;
  const asked = {
    doing: `Rolling back "${plugin}"`,
    params,
    question: questionOf({ ...params, op: 'rollback' }),
    answer: installedSchema,
  };
  return transact(context, asked, () => {
    const source = chooseSource(context, params);
    const home = context.layout.snapshot(plugin, source);
    const from = liveVersionOf(context, plugin);
    const bundle = markerAt(context, home)?.bundle ?? `sha256:${'0'.repeat(64)}`;
    const change = Transaction.begin(context, asked, { op: 'rollback', source, bundle, from, by });
    const { marker, answer } = change.attempt(() => bringBack(context, change, home, params, by));
    const { installId, pluginVersion: version, replaced: refused } = marker;
    const data = { operationId, plugin, installId, version, refused, by };
    return change.commit(answer, { type: 'install.rolled-back', data }, () => {
      forgetRefused(context, change.journal.intent);
      noteRefused(context, plugin, marker);
    });
  });
}

/** @returns the stamp of the snapshot to bring back. */
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
        ? `There is no snapshot of "${plugin}" to roll back to`
        : `There is no snapshot of the version ${to} of "${plugin}"`,
      {
        hint:
          there.length === 0
            ? 'Install the version that you want'
            : `Choose one of ${there.join(', ')}, or install the version that you want`,
      },
    );
  }
  if (versionAt(source) === undefined && force !== true) {
    throw new Fault('CONFLICT', `The snapshot of "${plugin}" to roll back to has no marker`, {
      hint: 'It may be incomplete: check it, then roll back with force, or install the version that you want',
    });
  }
  return source;
}

function bringBack(
  context: StoreContext,
  change: Transaction<Installed>,
  home: string,
  { plugin, restart }: RollbackParams,
  by: string,
): { marker: Marker; answer: Installed } {
  const { slot: directory, journal } = change;
  const { stamp, from } = journal.intent;
  // It is undone with the slot, which the intent sends back to its source, as in recovery.
  change.step({ name: 'stage', do: () => renameDurably(context, home, directory) });
  const found = hashTree(context, directory);
  const { files } = found;
  refuseStrange(plugin, found);
  const said = readText(context.disk, join(directory, MARKER), MARKER_MAX_BYTES);
  const old = markerAt(context, directory);
  const receipt = old === undefined ? undefined : receiptOf(context, plugin, old.installId);
  const kept = warningsOf(receipt, found);
  const marker = freshMarker(context, journal, old, found, by);
  const planned = change.foresee(restart, from, { installId: stamp, files, directory });
  // The whole marker: the schema keeps the fields of an answer.
  const answer = installedSchema.parse({
    ...marker,
    status: 'rolled-back',
    replacedVersion: describeDisplaced(context, plugin, from, { source: undefined, manifest: undefined })
      .version,
    reload: planned.reload,
    warnings: truncate([...kept, ...planned.warnings]),
  });
  change.replace({
    marker,
    tree: { directory, files, directories: [], about: aboutBundle(marker, receipt) },
    barrier: standingBarrier(context, { isDurable: false }),
    from,
    answer,
    changes: { marker: said.kind === 'text' ? said.text : null },
    check: () => refuseUnadmitted(context, plugin),
  });
  return { marker, answer };
}

/** The gate must admit the version, unless the owner has disabled it. */
function refuseUnadmitted(context: StoreContext, plugin: string): void {
  const judged = inspect(context, plugin);
  if (judged?.admitted !== true && judged?.reason !== 'disabled') {
    const why = judged === undefined ? 'it is not there' : `${judged.reason}: ${judged.detail}`;
    throw new Fault('SWAP_FAILED', `The gate refuses "${plugin}" after the rollback: ${why}`, {
      hint: 'Install the version that you want',
    });
  }
}

/** An entry that a plugin must not have would be refused after the swap too. Here nothing has changed yet. */
function refuseStrange(plugin: string, { others: [strange] }: HashedTree): void {
  if (strange !== undefined) {
    throw new Fault(
      'CONFLICT',
      `The snapshot of "${plugin}" to roll back to holds "${strange}", which is not a file`,
      {
        hint: 'It was added in place: remove it from the snapshot, or install the version that you want',
      },
    );
  }
}

/** Edits in place come back as they are, with a warning. */
function warningsOf(receipt: Receipt | undefined, found: HashedTree): string[] {
  if (receipt === undefined) {
    return ['there is no receipt, so its files cannot be compared with what was installed'];
  }
  const { modified, missing, unlisted } = compareTrees(receipt.list, found.files);
  return [
    ...modified.map((path) => `${path}: it was edited in place`),
    ...missing.map((path) => `${path}: it was removed in place`),
    ...unlisted.map((path) => `${path}: it was added in place`),
  ].slice(0, 100);
}

/** What was known of the bundle, if the tree is still what the bundle held. */
function aboutBundle({ bundle }: Marker, receipt: Receipt | undefined): BundleFacts {
  if (receipt?.bundle !== bundle) {
    return { skipped: [] };
  }
  const { skipped, bundleLinks, warnings } = receipt;
  return { skipped, bundleLinks, warnings };
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
    // No bundle holds an edited tree. Its own digest takes the place of the bundle's; no bundle has the same.
    bundle: old?.tree === tree ? old.bundle : tree,
    bundleUnread: old?.tree === tree ? old.bundleUnread : undefined,
    tree,
    source: old?.source,
    by,
    replaced: intent.from?.installId ?? null,
    skipped: old?.skipped,
  };
  return markerOf(context, facts, files);
}
