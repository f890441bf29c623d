/** Inspects live plugins: what the gate says of them, and how they differ from their receipts. */
import { join } from 'node:path';

import { Fault, toFault } from '../../shared/api/fault.ts';
import type { Params } from '../../shared/api/methods.ts';
import type { PluginInfo, Verification } from '../../shared/api/plugin.ts';
import { truncate } from '../../shared/truncate.ts';
import { MARKER } from '../../shared/format/layout.ts';
import { isPluginName, parseSlotName } from '../../shared/format/name.ts';
import { absenceOf, notesOf } from '../../shared/format/state.ts';
import {
  type TreeDifference,
  compareTrees,
  counts,
  differenceText,
  treeDigest,
} from '../../shared/format/tree.ts';
import { judge, type AdmissionDecision, type Refused, refuse } from '../../shared/rule/admission.ts';
import { STATE_MAX_BYTES, disablementOf } from '../../shared/rule/disabled.ts';
import { generationOf } from '../../shared/rule/generation.ts';
import { type Basis, classify, isSkill } from '../../shared/rule/classify.ts';
import type { Admission, Known } from '../../watch/ports.ts';
import { diskFault, isDenied } from '../disk/disk-fault.ts';
import { listAllowed, readText } from '../disk/record.ts';
import type { StoreContext } from './context.ts';
import { type Drifted, driftOf } from './drift.ts';
import { liveVersionOf } from './marker.ts';
import { basisFor, loadedGeneration, loadedRecord, pendingOf, runtimeOf } from './runtime-state.ts';
import { readLive } from './read-live.ts';
import { receiptOf, stateOf } from './records.ts';
import { hashTree } from './tree.ts';

type Mode = 'enforce' | 'warn';
type Admitted = AdmissionDecision & { admitted: true };

/** The decision of the gate on one name; undefined if there is no such entry. */
export function inspect(
  context: StoreContext,
  name: string,
  mode: Mode = 'enforce',
): AdmissionDecision | undefined {
  const { disk, layout } = context;
  const { runtime, manifest } = context.policy;
  const disablement = disablementOf(readText(disk, layout.stateOf(name), STATE_MAX_BYTES));
  const found = readLive(context, name, disablement === 'disabled');
  if (found.entry === 'absent') {
    return undefined;
  }
  return disablement === 'unknown'
    ? refuse(name, 'unreadable', 'Its state cannot be read, and it may say that the plugin is disabled')
    : judge(found, { mode, runtime, manifest });
}

const VERIFY_TRIES = 20;
/** The most files of a plugin that a list hashes. If more are newer than their install, somebody has copied the root. */
const LISTED_SUSPECTS = 200;
/** A listing that is taken while the root changes may overlook a plugin, so it is repeated, at most so often. */
const LISTINGS = 3;

function liveIdOf(context: StoreContext, name: string, mode?: Mode): string | undefined {
  const judgement = inspect(context, name, mode);
  return judgement?.admitted === true ? judgement.installId : undefined;
}

/** How a list inspects plugins. */
export type ListOptions = Pick<Params<'plugin.list'>, 'mode' | 'verify'> & {
  /** Whether to look for files that were edited in place. That reads each receipt and looks at each file. */
  drift?: boolean;
};

/** The plugins below the root, by name. Entries with names that no plugin can have are ignored. */
export function listPlugins(context: StoreContext, options: ListOptions = {}): PluginInfo[] {
  try {
    const { disk, layout } = context;
    const remembered = (listAllowed(disk, layout.state) ?? []).map(({ name }) => name.replace(/\.json$/, ''));
    return [...new Set([...liveNames(context), ...remembered])]
      .filter(isPluginName)
      .toSorted()
      .flatMap((name) => getPlugin(context, name, options) ?? []);
  } catch (error) {
    throw diskFault(error, 'Listing the plugins');
  }
}

/** The names in the root, and those that are about to be there. */
export function liveNames({ disk, layout }: StoreContext): ReadonlySet<string> {
  const staged = (listAllowed(disk, layout.staging) ?? []).flatMap(
    ({ name }) => parseSlotName(name.replace(/\.json$/, ''))?.plugin ?? [],
  );
  const names = new Set(staged);
  for (let i = 0; i < LISTINGS; i += 1) {
    const before = disk.changedAt(layout.root);
    disk.list(layout.root).forEach(({ name }) => names.add(name));
    if (disk.changedAt(layout.root) === before) {
      break;
    }
  }
  return names;
}

/** The change that waits for a restart. A plugin that the disk does not let inspect is listed all the same. */
function listedPending(context: StoreContext, name: string): PluginInfo['pending'] {
  try {
    return pendingOf(context, name);
  } catch {
    return undefined;
  }
}

/** One plugin; undefined if there is nothing to say about that name. */
export function getPlugin(
  context: StoreContext,
  name: string,
  { mode, verify, drift = true }: ListOptions = {},
): PluginInfo | undefined {
  const judgement = askGate(context, name, mode, verify);
  const live = judgement?.admitted === true ? judgement.installId : undefined;
  const notes = notesOf(
    stateOf(context, name),
    loadedGeneration(context, name),
    listedPending(context, name),
  );
  if (judgement === undefined) {
    const absence = absenceOf(notes);
    return absence === undefined ? undefined : { name, ...absence, ...notes };
  }
  const edited = drift && live !== undefined ? listedDrift(context, name, live) : 0;
  return { ...describe(judgement), ...(edited === 0 ? {} : { drift: edited }), ...notes };
}

/** The decision of a gate that compares this much with what was installed. */
function askGate(
  context: StoreContext,
  name: string,
  mode: Mode | undefined,
  verify: ListOptions['verify'] = 'marker',
): AdmissionDecision | undefined {
  if (verify === 'digest') {
    const { judgement, found } = compareLive(context, name, mode);
    return found?.verdict === 'drifted' ? refuse(name, 'digest-mismatch', found.detail) : judgement;
  }
  const judgement = inspect(context, name, mode);
  const live = judgement?.admitted === true ? judgement.installId : undefined;
  const drifted = verify === 'stat' && live !== undefined ? driftSince(context, name, live, 0) : [];
  const paths = (wanted: Drifted['change']): string[] =>
    drifted.filter(({ change }) => change === wanted).map(({ path }) => path);
  const detail = differenceText({
    modified: paths('modified'),
    missing: paths('removed'),
    unlisted: paths('added'),
  });
  return detail === undefined ? judgement : refuse(name, 'digest-mismatch', detail);
}

/** The number of files that were edited in place, as far as a list looks. Files that this user may not read are not counted. */
export function listedDrift(context: StoreContext, name: string, installId: string): number {
  const { disk, layout } = context;
  const isCertain = ({ path, change }: Drifted): boolean => {
    const file = join(layout.live(name), path);
    try {
      if (change === 'removed') {
        return disk.stat(file) === undefined;
      }
      disk.close(disk.open(file));
      return true;
    } catch (error) {
      return !isDenied(error);
    }
  };
  return driftSince(context, name, installId, LISTED_SUSPECTS).filter(isCertain).length;
}

/** The files that differ from this version; empty if that is not known, or if the version is no longer live. */
function driftSince(
  context: StoreContext,
  name: string,
  installId: string,
  suspectsMax: number,
): readonly Drifted[] {
  const receipt = receiptOf(context, name, installId);
  const drifted =
    receipt === undefined ? [] : driftOf(context, context.layout.live(name), receipt, suspectsMax);
  // The files of a version that became live meanwhile differ, but they were not edited.
  return drifted.length === 0 || liveIdOf(context, name, 'warn') === installId ? drifted : [];
}

/** A decision in the form in which it is sent. */
function describe(judgement: AdmissionDecision): PluginInfo {
  if (!judgement.admitted) {
    const { name, reason, detail, hint } = judgement;
    return { name, status: 'refused', reason, detail, hint };
  }
  const { name, level, marker, installId, manifest } = judgement;
  return {
    name,
    status: 'admitted',
    level,
    ...(manifest === undefined ? {} : { version: manifest.version, description: manifest.description }),
    ...(manifest?.kind === undefined ? {} : { kind: manifest.kind }),
    ...(installId === undefined ? {} : { installId }),
    ...(marker === undefined ? {} : describeMarker(marker)),
  };
}

function describeMarker(
  marker: NonNullable<(AdmissionDecision & { admitted: true })['marker']>,
): Partial<PluginInfo> {
  const { bundle, tree, files, bytes, skipped, installedAt, source, by, replaced } = marker;
  return {
    bundle,
    tree,
    files,
    bytes,
    ...(skipped === undefined ? {} : { skipped }),
    installedAt,
    by,
    replaced,
    ...(source === undefined ? {} : { source }),
  };
}

/** The live files, and how they differ from what was installed; `unknown`: that cannot be said. */
type Comparison = { tree: string; difference: TreeDifference } & (
  | { verdict: 'intact' }
  | { verdict: 'drifted' | 'unknown'; detail: string; hint: string }
);

const NO_DIFFERENCE: TreeDifference = { modified: [], missing: [], unlisted: [] };
const DRIFTED = 'Files were changed in place: install again to bring them back; a snapshot keeps the edits';

/** Hashes the live tree. Throws the errors of the disk. */
function compare(context: StoreContext, { name, installId, marker }: Admitted): Comparison {
  const { files, others } = hashTree(context, context.layout.live(name));
  const tree = treeDigest(files);
  const receipt = installId === undefined ? undefined : receiptOf(context, name, installId);
  if (receipt === undefined || (marker !== undefined && receipt.tree !== marker.tree)) {
    const about = { tree, difference: NO_DIFFERENCE };
    return marker?.tree === tree && others.length === 0
      ? { ...about, verdict: 'intact' }
      : {
          ...about,
          verdict: marker === undefined ? 'unknown' : 'drifted',
          detail: 'There is no receipt to compare its files with',
          hint: `Install "${name}" again to have one`,
        };
  }
  const compared = compareTrees(receipt.list, files);
  const difference = { ...compared, unlisted: [...compared.unlisted, ...others] };
  const detail = differenceText(difference);
  if (detail !== undefined) {
    return { tree, difference, verdict: 'drifted', detail, hint: DRIFTED };
  }
  return tree === receipt.tree
    ? { tree, difference, verdict: 'intact' }
    : {
        tree,
        difference,
        verdict: 'drifted',
        detail: `Its files have the tree digest "${tree}", its receipt says "${receipt.tree}"`,
        hint: DRIFTED,
      };
}

type Compared =
  | { judgement: Admitted; found: Comparison }
  | { judgement: Refused | undefined; found?: undefined };

/** If the version is replaced while it is hashed, the result is of no use, and the comparison is repeated, at most so often. */
function compareLive(context: StoreContext, name: string, mode?: Mode): Compared {
  for (let tries = VERIFY_TRIES; ; tries -= 1) {
    const judgement = inspect(context, name, mode);
    if (judgement?.admitted !== true) {
      return { judgement };
    }
    let found: Comparison | undefined;
    let why = '';
    try {
      found = compare(context, judgement);
    } catch (error) {
      why = error instanceof Error ? error.message : String(error);
    }
    if (tries === 1 || liveIdOf(context, name, mode) === judgement.installId) {
      return found === undefined
        ? { judgement: refuse(name, 'unreadable', `It cannot be read: ${why}`) }
        : { judgement, found };
    }
  }
}

/**
 * Hashes the live tree and compares it with the receipt, or, if there is none, with the digest in the marker.
 *
 * @throws Fault NOT_FOUND
 */
export function verifyPlugin(context: StoreContext, name: string): Verification {
  const { judgement, found } = compareLive(context, name);
  if (judgement === undefined) {
    throw new Fault('NOT_FOUND', `There is no plugin "${name}" here`, {
      hint: 'List the plugins with "airlock list"',
    });
  }
  const { modified, missing, unlisted } = found?.difference ?? NO_DIFFERENCE;
  const lists = {
    modified: truncate(modified),
    missing: truncate(missing),
    unlisted: truncate(unlisted),
  };
  if (found === undefined) {
    const { detail, hint } = judgement;
    return { plugin: name, verdict: 'refused', detail, hint, ...lists };
  }
  const { installId } = judgement;
  const { difference: _, ...said } = found;
  return { plugin: name, ...(installId === undefined ? {} : { installId }), ...said, ...lists };
}

/** The same generation as the loader gives, so that reports of runtimes are recognised. */
function unmarkedGeneration({ disk }: StoreContext, path: string): string {
  const { dev = 0, ino = 0 } = disk.stat(path) ?? {};
  const directory = { dev, ino, ctimeNs: disk.changedAt(path) ?? 0n };
  return generationOf(undefined, directory, disk.changedAt(join(path, MARKER)));
}

/** The decision of the gate on a name. Never throws: what cannot be read is refused. */
export function admissionOf(context: StoreContext, name: string): Admission {
  try {
    const path = context.layout.live(name);
    const judgement = inspect(context, name);
    if (judgement === undefined) {
      return { status: 'absent' };
    }
    if (!judgement.admitted) {
      return { status: 'refused', why: `${judgement.reason}: ${judgement.detail}` };
    }
    const { installId, manifest } = judgement;
    const generation = installId ?? unmarkedGeneration(context, path);
    return { status: 'admitted', path, generation, installId, hotReload: manifest?.hotReload };
  } catch (error) {
    return { status: 'refused', why: `unreadable: ${toFault(error, `Reading "${name}"`).message}` };
  }
}

/**
 * What is known about the loaded version of a plugin whose live version has that generation.
 *
 * If nothing was ever reported and nothing is pending, the live version counts as loaded. The same is true for a version
 * whose files are not known.
 *
 * @param before the stamp of the last answer. @returns undefined if nothing has changed since.
 */
export function knownOf(
  context: StoreContext,
  name: string,
  generation: string,
  before: string | undefined,
): Known | undefined {
  const live = liveVersionOf(context, name);
  const said = loadedRecord(context, name);
  const runtime = runtimeOf(context, name, live);
  const { known, state } = runtime;
  const taken = state.candidates[0]?.generation ?? null;
  const stamp = JSON.stringify([generation, known, state, said?.at]);
  if (stamp === before) {
    return undefined;
  }
  if (!known) {
    return { stamp, loaded: 'unknown' };
  }
  const isLive = taken !== null && (taken === generation || live?.installId === null);
  if (
    !isLive &&
    isDoubted(basisFor(context, name, live, runtime)) &&
    !isCold(context, name, taken, generation)
  ) {
    // A version in between may be loaded, and the live files do not tell it from the one before.
    return { stamp, loaded: 'unknown' };
  }
  if (isLive && said === undefined) {
    return { stamp, loaded: 'live' };
  }
  const files = taken === null ? undefined : receiptOf(context, name, taken)?.list;
  if (files === undefined) {
    return { stamp, loaded: isLive ? 'live' : 'unknown' };
  }
  const at = isLive && said?.at !== undefined ? Date.parse(said.at) : undefined;
  return {
    stamp,
    loaded: { files: files.filter(({ path }) => counts(path, context.ignore)), at },
  };
}

/** Whether files other than skills may be loaded in another form than that of the loaded version. */
const isDoubted = (basis: Basis): boolean =>
  basis.kind === 'tree' && basis.edited.some((path) => !isSkill(path));

/** Whether nobody needs to be told that a restart is due, because the difference between two versions says so. */
function isCold(context: StoreContext, name: string, from: string | null, to: string): boolean {
  const before = from === null ? undefined : receiptOf(context, name, from)?.list;
  return classify(before, receiptOf(context, name, to)?.list, { ignore: context.ignore }).kind === 'cold';
}
