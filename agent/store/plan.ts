/** Says which files of a plugin are on the disk, by the receipts of its versions, and what a new version is judged by. */
import { gzipSync } from 'node:zlib';

import type { PlanParams, Result } from '../../shared/api/methods.ts';
import {
  type PlannedFile,
  type PlannedLoaded,
  type PlannedVersion,
  shortDigest,
  writePlanned,
} from '../../shared/format/delta.ts';
import type { StoreContext } from './context.ts';
import { installIdAt, liveVersionOf } from './marker.ts';
import { receiptOf } from './records.ts';
import { loadedBasis, takenGeneration } from './runtime-state.ts';
import { sharesData } from './shares.ts';
import { snapshotsOf } from './snapshots.ts';

/** So many snapshots are listed, the newest ones: each costs the client a longer list. */
const SNAPSHOTS_MAX = 2;

type Answer = Omit<Result<'install.plan'>, 'stream'>;

/** The answer, and the lines of its stream, compressed. */
export type InstallPlan = { answer: Answer; lines: Uint8Array | undefined };

/**
 * The files of the live version, and those that only snapshots have. What was edited in place is listed too: it is found
 * when it is read.
 */
export function planInstall(context: StoreContext, { plugin, loaded: isJudged }: PlanParams): InstallPlan {
  const { disk, layout } = context;
  const live = installIdAt(context, layout.live(plugin));
  const base = live === undefined ? undefined : versionAt(context, plugin, live, () => true);
  const versions = base === undefined ? [] : [base, ...snapshotVersions(context, plugin, base)];
  const { said, loaded } = isJudged === true ? loadedOf(context, plugin, base?.version) : NOT_ASKED;
  const answer = {
    plugin,
    installId: base?.version ?? null,
    free: disk.space(layout.root),
    shares: base !== undefined && sharesData(context, layout.live(plugin)),
    loaded: said,
  };
  if (base === undefined && loaded === undefined) return { answer, lines: undefined };
  return { answer, lines: gzipSync(writePlanned({ versions, loaded })) };
}

type Loaded = { said: Answer['loaded']; loaded: PlannedLoaded | undefined };

const NOT_ASKED: Loaded = { said: undefined, loaded: undefined };

/** @param first the version that the list begins with: its files need not be sent twice. */
function loadedOf(context: StoreContext, plugin: string, first: string | undefined): Loaded {
  const basis = loadedBasis(context, plugin);
  const generation = takenGeneration(context, plugin, liveVersionOf(context, plugin));
  const said = { generation, ignore: [...context.policy.ignore] };
  if (basis.kind === 'unknown') return { said: { ...said, why: basis.why }, loaded: undefined };
  const files = generation === first ? undefined : [...basis.list];
  return { said, loaded: { files, edited: [...basis.edited] } };
}

function snapshotVersions(context: StoreContext, plugin: string, base: PlannedVersion): PlannedVersion[] {
  const known = new Set(base.files.map(keyOf));
  const isNew = (file: PlannedFile): boolean => {
    const before = known.size;
    return known.add(keyOf(file)).size > before;
  };
  return snapshotsOf(context, plugin)
    .slice(0, SNAPSHOTS_MAX)
    .flatMap((stamp) => installIdAt(context, context.layout.snapshot(plugin, stamp)) ?? [])
    .flatMap((installId) => versionAt(context, plugin, installId, isNew) ?? []);
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
