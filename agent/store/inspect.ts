/** Looking at what is live: as the gate would judge it, and as its receipt says that it should be. */
import { join } from 'node:path';

import { Fault, toFault } from '../../shared/api/fault.ts';
import type { PluginInfo, Verification } from '../../shared/api/methods.ts';
import { truncate } from '../../shared/truncate.ts';
import { MARKER } from '../../shared/format/layout.ts';
import { isPluginName } from '../../shared/format/name.ts';
import { absenceOf, mayBeLoaded, notesOf, type Pending } from '../../shared/format/state.ts';
import { compareTrees, counts, treeDigest } from '../../shared/format/tree.ts';
import { judge, type AdmissionDecision, refuse } from '../../shared/rule/admission.ts';
import { generationOf } from '../../shared/rule/generation.ts';
import { classify, isSkill } from '../../shared/rule/classify.ts';
import type { Admission, Known } from '../../watch/ports.ts';
import { diskFault } from '../disk/disk-fault.ts';
import type { StoreContext, ReadContext } from './context.ts';
import { type Drifted, driftOf } from './drift.ts';
import { liveVersionOf } from './marker.ts';
import { loadedGeneration, loadedRecord, loadingOf } from './loaded.ts';
import { readLive } from './read-live.ts';
import { receiptOf, stateOf } from './records.ts';
import { hashTree } from './tree.ts';

/** What the gate says of one name; undefined if there is nothing. */
export function inspect(context: StoreContext, name: string): AdmissionDecision | undefined {
  const { runtime, manifest } = context.policy;
  const state = stateOf(context, name);
  const found = readLive(context, name, state?.disabled === true);
  if (found.entry === 'absent') {
    return undefined;
  }
  return state === undefined
    ? refuse(name, 'unreadable', 'Its state cannot be read, and it may say that the plugin is disabled')
    : judge(found, { mode: 'enforce', runtime, manifest });
}

const VERIFY_TRIES = 20;
/** A list hashes no more files than these of a plugin: where more are younger than its install, somebody copied the root. */
const LISTED_SUSPECTS = 200;

function liveIdOf(context: StoreContext, name: string): string | undefined {
  const judgement = inspect(context, name);
  return judgement?.admitted === true ? judgement.installId : undefined;
}

/**
 * The plugins below the root, by name; entries that are no plugin names are not seen.
 *
 * @param drift whether to look for files that were edited in place: it reads each receipt, and looks at each file.
 */
export function listPlugins(context: StoreContext, drift = true): PluginInfo[] {
  try {
    const { disk, layout } = context;
    const live = disk.list(layout.root).map(({ name }) => name);
    const remembered = disk.list(layout.state).map(({ name }) => name.replace(/\.json$/, ''));
    return [...new Set([...live, ...remembered])]
      .filter(isPluginName)
      .toSorted()
      .flatMap((name) => getPlugin(context, name, drift) ?? []);
  } catch (error) {
    throw diskFault(error, 'Listing the plugins');
  }
}

/** One plugin; undefined if there is nothing to say of that name. @param withDrift as in {@link listPlugins}. */
export function getPlugin(context: StoreContext, name: string, withDrift = true): PluginInfo | undefined {
  const judgement = inspect(context, name);
  const live = judgement?.admitted === true ? judgement.installId : undefined;
  const notes = notesOf(
    stateOf(context, name),
    loadedGeneration(context, name),
    judgement === undefined ? null : live,
  );
  if (judgement === undefined) {
    const absence = absenceOf(notes);
    return absence === undefined ? undefined : { name, ...absence, ...notes };
  }
  const installId = withDrift && judgement.admitted ? judgement.installId : undefined;
  const drift = installId === undefined ? 0 : listedDrift(context, name, installId).length;
  return { ...describe(judgement), ...(drift === 0 ? {} : { drift }), ...notes };
}

/** Files that are not those that were installed, as far as a list looks; nothing where nobody can say. */
export function listedDrift(sight: ReadContext, name: string, installId: string): Drifted[] {
  const receipt = receiptOf(sight, name, installId);
  return receipt === undefined ? [] : driftOf(sight, sight.layout.live(name), receipt, LISTED_SUSPECTS);
}

/** A judgement as it travels. */
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
  const { bundle, tree, files, bytes, installedAt, source, by, replaced } = marker;
  return {
    bundle,
    tree,
    files,
    bytes,
    installedAt,
    by,
    replaced,
    ...(source === undefined ? {} : { source }),
  };
}

/**
 * Hashes what is live and compares it with the receipt, or, where that is gone, with the marker's digest.
 *
 * A version that is replaced meanwhile says nothing of the new one: then it begins again, so often.
 *
 * @throws Fault NOT_FOUND
 */
export function verifyPlugin(context: StoreContext, name: string, tries = VERIFY_TRIES): Verification {
  const judgement = inspect(context, name);
  if (judgement === undefined) {
    throw new Fault('NOT_FOUND', `There is no plugin "${name}" here`, {
      hint: 'See what there is with "airlock list"',
    });
  }
  const empty = {
    modified: truncate<string>([]),
    missing: truncate<string>([]),
    unlisted: truncate<string>([]),
  };
  if (!judgement.admitted) {
    return { plugin: name, verdict: 'refused', detail: judgement.detail, hint: judgement.hint, ...empty };
  }
  let tree: string;
  let found: ReturnType<typeof hashTree>;
  try {
    found = hashTree(context, context.layout.live(name));
    tree = treeDigest(found.files);
  } catch (error) {
    if (tries > 1 && liveIdOf(context, name) !== judgement.installId) {
      return verifyPlugin(context, name, tries - 1);
    }
    const why = error instanceof Error ? error.message : String(error);
    const { detail, hint } = refuse(name, 'unreadable', `It cannot be read: ${why}`);
    return { plugin: name, verdict: 'refused', detail, hint, ...empty };
  }
  const { installId, marker } = judgement;
  if (tries > 1 && liveIdOf(context, name) !== installId) {
    return verifyPlugin(context, name, tries - 1);
  }
  const about = { plugin: name, tree, ...(installId === undefined ? {} : { installId }) };
  const receipt = installId === undefined ? undefined : receiptOf(context, name, installId);
  if (receipt === undefined) {
    if (marker?.tree === tree && found.others.length === 0) {
      return { ...about, verdict: 'intact', ...empty };
    }
    return {
      ...about,
      verdict: marker === undefined ? 'unknown' : 'drifted',
      detail: 'There is no receipt to compare its files with',
      hint: `Install "${name}" again to have one`,
      ...empty,
    };
  }
  const { modified, missing, unlisted } = compareTrees(receipt.list, found.files);
  const strange = [...unlisted, ...found.others];
  const intact = modified.length + missing.length + strange.length === 0;
  return {
    ...about,
    verdict: intact ? 'intact' : 'drifted',
    ...(intact
      ? {}
      : {
          hint: 'Files were changed in place: install again to bring them back; a snapshot keeps the edits',
        }),
    modified: truncate(modified),
    missing: truncate(missing),
    unlisted: truncate(strange),
  };
}

/** As the loader names it, so that what a runtime reports is recognised. */
function unmarkedGeneration({ disk }: StoreContext, path: string): string {
  const { dev = 0, ino = 0 } = disk.stat(path) ?? {};
  const directory = { dev, ino, ctimeNs: disk.changedAt(path) ?? 0n };
  return generationOf(undefined, directory, disk.changedAt(join(path, MARKER)));
}

/** What the gate says of a name. Never throws: what cannot be read is refused. */
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
 * What is known to be loaded of a plugin whose version of that generation is live.
 *
 * Where nothing was ever reported and nothing is pending, what lies there is what is loaded, as far as anybody can say; so it
 * is for a version of which nobody knows the files.
 *
 * @param before the stamp of what is known already. @returns undefined if nothing else is known.
 */
export function knownOf(
  context: StoreContext,
  name: string,
  generation: string,
  before: string | undefined,
): Known | undefined {
  const live = liveVersionOf(context, name);
  const said = loadedRecord(context, name);
  const { known, pending, generation: taken } = loadingOf(context, name, live);
  const stamp = JSON.stringify([generation, known, taken, pending?.operationId, said?.generation, said?.at]);
  if (stamp === before) {
    return undefined;
  }
  if (!known) {
    return { stamp, loaded: 'unknown' };
  }
  const isLive = taken !== null && (taken === generation || live?.installId === null);
  if (!isLive && pending && isDoubted(pending) && !isCold(context, name, taken, generation)) {
    // A version between may be loaded by now, and nothing that lies there tells it from the one that was.
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

/** Whether something else than skills may be loaded otherwise than what is taken to be. */
const isDoubted = (pending: Pending): boolean =>
  mayBeLoaded(pending) || (pending.edited ?? []).some((path) => !isSkill(path));

/** Whether nobody needs to be told that a restart is due: what differs between two versions says it. */
function isCold(context: StoreContext, name: string, from: string | null, to: string): boolean {
  const before = from === null ? undefined : receiptOf(context, name, from)?.list;
  return classify(before, receiptOf(context, name, to)?.list, { ignore: context.ignore }).kind === 'cold';
}
