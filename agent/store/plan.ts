/** Says which files of a plugin are on the disk, by the receipts of its versions. */
import { gzipSync } from 'node:zlib';

import type { Params, Result } from '../../shared/api/methods.ts';
import {
  type PlannedFile,
  type PlannedVersion,
  shortDigest,
  writePlanned,
} from '../../shared/format/delta.ts';
import type { StoreContext } from './context.ts';
import { installIdAt } from './marker.ts';
import { receiptOf } from './records.ts';
import { snapshotsOf } from './snapshots.ts';

/** So many snapshots are listed, the newest ones: each costs the client a longer list. */
const SNAPSHOTS_MAX = 2;

/** The answer, and the lines of its stream, compressed. */
export type InstallPlan = { answer: Omit<Result<'install.plan'>, 'stream'>; lines: Uint8Array | undefined };

/**
 * The files of the live version, and those that only snapshots have. What was edited in place is listed too: it is found
 * when it is read.
 */
export function planInstall(context: StoreContext, { plugin }: Params<'install.plan'>): InstallPlan {
  const { disk, layout } = context;
  const live = installIdAt(context, layout.live(plugin));
  const free = disk.space(layout.root);
  const base = live === undefined ? undefined : versionAt(context, plugin, live, () => true);
  if (base === undefined) {
    return { answer: { plugin, installId: null, free }, lines: undefined };
  }
  const known = new Set(base.files.map(keyOf));
  const isNew = (file: PlannedFile): boolean => {
    const before = known.size;
    return known.add(keyOf(file)).size > before;
  };
  const others = snapshotsOf(context, plugin)
    .slice(0, SNAPSHOTS_MAX)
    .flatMap((stamp) => installIdAt(context, layout.snapshot(plugin, stamp)) ?? [])
    .flatMap((installId) => versionAt(context, plugin, installId, isNew) ?? []);
  const lines = gzipSync(writePlanned([base, ...others]));
  return { answer: { plugin, installId: base.version, free }, lines };
}

const keyOf = ({ size, sha256 }: PlannedFile): string => `${size} ${shortDigest(sha256)}`;

function versionAt(
  context: StoreContext,
  plugin: string,
  installId: string,
  isWanted: (file: PlannedFile) => boolean,
): PlannedVersion | undefined {
  const receipt = receiptOf(context, plugin, installId);
  return receipt && { version: installId, tree: receipt.tree, files: receipt.list.filter(isWanted) };
}
