/** Looking at what is live: as the gate would judge it, and as its receipt says that it should be. */
import { type Judgement, judge, refuse } from '../../shared/admission.ts';
import { Fault } from '../../shared/fault.ts';
import type { PluginInfo, Verification } from '../../shared/methods.ts';
import { isPluginName } from '../../shared/name.ts';
import { cut } from '../../shared/cut.ts';
import { absenceOf, notesOf } from '../../shared/state.ts';
import { compareTrees, treeDigest } from '../../shared/tree.ts';
import { diskFault } from '../disk/disk-fault.ts';
import { type Drifted, driftOf } from './drift.ts';
import type { Ground, Sight } from './ground.ts';
import { hashTree } from './hash-tree.ts';
import { loadedGeneration } from './loaded.ts';
import { lookSettled } from './look.ts';
import { receiptOf, stateOf } from './records.ts';

export { receiptOf, stateOf } from './records.ts';

/** What the gate says of one name; undefined if there is nothing. */
export function inspect(ground: Ground, name: string): Judgement | undefined {
  const { runtime, manifest } = ground.policy;
  const state = stateOf(ground, name);
  const found = lookSettled(ground, name, state?.disabled === true);
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

function liveIdOf(ground: Ground, name: string): string | undefined {
  const judgement = inspect(ground, name);
  return judgement?.admitted === true ? judgement.installId : undefined;
}

/** The plugins below the root, by name; entries that are no plugin names are not seen. */
export function listPlugins(ground: Ground): PluginInfo[] {
  try {
    const { disk, layout } = ground;
    const live = disk.list(layout.root).map(({ name }) => name);
    const remembered = disk.list(layout.state).map(({ name }) => name.replace(/\.json$/, ''));
    return [...new Set([...live, ...remembered])]
      .filter(isPluginName)
      .toSorted()
      .flatMap((name) => getPlugin(ground, name) ?? []);
  } catch (error) {
    throw diskFault(error, 'Listing the plugins');
  }
}

/** One plugin; undefined if there is nothing to say of that name. */
export function getPlugin(ground: Ground, name: string): PluginInfo | undefined {
  const judgement = inspect(ground, name);
  const live = judgement?.admitted === true ? judgement.installId : undefined;
  const notes = notesOf(
    stateOf(ground, name),
    loadedGeneration(ground, name),
    judgement === undefined ? null : live,
  );
  if (judgement === undefined) {
    const absence = absenceOf(notes);
    return absence === undefined ? undefined : { name, ...absence, ...notes };
  }
  const installId = judgement.admitted ? judgement.installId : undefined;
  const drift = installId === undefined ? 0 : listedDrift(ground, name, installId).length;
  return { ...describe(judgement), ...(drift === 0 ? {} : { drift }), ...notes };
}

/** Files that are not those that were installed, as far as a list looks; nothing where nobody can say. */
export function listedDrift(sight: Sight, name: string, installId: string): Drifted[] {
  const receipt = receiptOf(sight, name, installId);
  return receipt === undefined ? [] : driftOf(sight, name, receipt, LISTED_SUSPECTS);
}

/** A judgement as it travels. */
function describe(judgement: Judgement): PluginInfo {
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
  marker: NonNullable<(Judgement & { admitted: true })['marker']>,
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
export function verifyPlugin(ground: Ground, name: string, tries = VERIFY_TRIES): Verification {
  const judgement = inspect(ground, name);
  if (judgement === undefined) {
    throw new Fault('NOT_FOUND', `There is no plugin "${name}" here`, {
      hint: 'See what there is with "airlock list"',
    });
  }
  const empty = { modified: cut<string>([]), missing: cut<string>([]), unlisted: cut<string>([]) };
  if (!judgement.admitted) {
    return { plugin: name, verdict: 'refused', detail: judgement.detail, hint: judgement.hint, ...empty };
  }
  let tree: string;
  let found: ReturnType<typeof hashTree>;
  try {
    found = hashTree(ground, ground.layout.live(name));
    tree = treeDigest(found.files);
  } catch (error) {
    if (tries > 1 && liveIdOf(ground, name) !== judgement.installId) {
      return verifyPlugin(ground, name, tries - 1);
    }
    const why = error instanceof Error ? error.message : String(error);
    const { detail, hint } = refuse(name, 'unreadable', `It cannot be read: ${why}`);
    return { plugin: name, verdict: 'refused', detail, hint, ...empty };
  }
  const { installId, marker } = judgement;
  if (tries > 1 && liveIdOf(ground, name) !== installId) {
    return verifyPlugin(ground, name, tries - 1);
  }
  const about = { plugin: name, tree, ...(installId === undefined ? {} : { installId }) };
  const receipt = installId === undefined ? undefined : receiptOf(ground, name, installId);
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
    modified: cut(modified),
    missing: cut(missing),
    unlisted: cut(strange),
  };
}
