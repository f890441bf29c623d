/** Finds the plugins in a directory: those that its marketplace lists, else those whose manifests are in it. */
import { stat } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';

import { Fault } from '../shared/api/fault.ts';
import { MANIFEST_FILES } from '../shared/format/manifest.ts';
import { MARKETPLACE_FILE } from '../shared/format/marketplace.ts';
import { NAME_RULE, isPluginName } from '../shared/format/name.ts';
import { namePlugin } from '../shared/rule/plugin-name.ts';
import { manifestsIn } from '../shared/rule/manifest-places.ts';
import { type MarketplacePlugin, placesOf, readMarketplaceOf } from './pack/marketplace.ts';
import { type PackOptions, walkSource } from './pack/pack.ts';
import { directoryAt, openSource } from './pack/source.ts';
import { findManifest } from './pack/plugin-manifest.ts';
import type { Walked } from './pack/walk.ts';

/** A plugin that can be packed: `packDirectory(directory, { name, listed })`. */
export type FoundPlugin = {
  name: string;
  /** Its directory, relative to the one that was looked into; `.` for that one. */
  place: string;
  directory: string;
  /** How the marketplace lists it; undefined if it was found by its manifest. */
  listed: MarketplacePlugin | undefined;
};

/** What cannot be packed although it is listed, or has a manifest. */
export type RefusedPlugin = {
  /** Its name, or its path where it has none. */
  name: string;
  place: string | undefined;
  fault: Fault;
};

/**
 * The plugins of a marketplace (a directory with a `.claude-plugin/marketplace.json`), in the order of the list; of another
 * directory those that have a manifest, in the order of their paths. What is inside of a plugin is not one of its own. Of two
 * with one name, the first counts.
 *
 * @throws Fault MANIFEST_INVALID for a list that cannot be read; MANIFEST_MISSING if there is no plugin at all; NOT_FOUND, INVALID_PARAMS.
 *
 * @example
 * for (const one of await findPlugins('./plugins')) if ('fault' in one) console.error(one.name, one.fault.message);
 */
export async function findPlugins(
  directory: string,
  options: Pick<PackOptions, 'ignore' | 'signal'> = {},
): Promise<(FoundPlugin | RefusedPlugin)[]> {
  const root = await directoryAt(directory);
  if (root === undefined) {
    throw new Fault('INVALID_PARAMS', `"${directory}" is not a directory`, {
      hint: 'Name a directory of plugins; unpack an archive first',
    });
  }
  const list = await readMarketplaceOf(root);
  const found = list === undefined ? await byManifest(root, options) : await byList(root, list);
  if (found.length === 0) {
    throw new Fault('MANIFEST_MISSING', `There is no plugin in "${directory}"`, {
      hint: 'Name a directory of plugins, or one with a list of them in .claude-plugin/marketplace.json',
    });
  }
  const places = new Map<string, string>();
  return found.map((one) => {
    if ('fault' in one) return one;
    const { name, place } = one;
    const first = places.get(name);
    if (first !== undefined) {
      const why = `The plugin in "${first}" comes first and has the name "${name}" too`;
      return { name, place, fault: new Fault('CONFLICT', why, { hint: 'Give it a name of its own' }) };
    }
    places.set(name, place);
    return one;
  });
}

async function byList(
  root: string,
  list: NonNullable<Awaited<ReturnType<typeof readMarketplaceOf>>>,
): Promise<(FoundPlugin | RefusedPlugin)[]> {
  return (await placesOf(root, list)).map((one) => {
    const { name } = one;
    if ('fault' in one) return { name, place: undefined, fault: one.fault };
    const place = relative(root, one.place) || '.';
    if (isPluginName(name)) return { name, place, directory: one.place, listed: one.listed };
    const why = `${MARKETPLACE_FILE} names the plugin "${name}", which is not a plugin name`;
    return {
      name,
      place,
      fault: new Fault('MANIFEST_INVALID', why, { hint: `Choose another: ${NAME_RULE}` }),
    };
  });
}

async function byManifest(
  root: string,
  options: Pick<PackOptions, 'ignore' | 'signal'>,
): Promise<(FoundPlugin | RefusedPlugin)[]> {
  const { entries, skipped } = await walkSource(await openSource(root, options), options);
  const files = new Map(entries.map((entry) => [entry.path, entry]));
  const found = new Map<string, FoundPlugin | RefusedPlugin>();
  const isInside = (path: string): boolean =>
    found.has('') || path.split('/').some((_, i, names) => found.has(names.slice(0, i + 1).join('/')));
  for (const place of manifestsIn([...files.keys()])) {
    if (isInside(place)) continue;
    const one = await foundAt(root, place, files);
    if (one !== undefined) found.set(place, one);
  }
  for (const { path } of skipped) {
    if (isInside(path) || !(await isDirectory(join(root, path)))) continue;
    const fault = new Fault('INVALID_PARAMS', 'It is a link to a directory that is not part of this one', {
      hint: 'Push the directory to which it leads',
    });
    found.set(path, { name: path, place: path, fault });
  }
  return [...found].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, one]) => one);
}

async function foundAt(
  root: string,
  place: string,
  files: ReadonlyMap<string, Walked>,
): Promise<FoundPlugin | RefusedPlugin | undefined> {
  const inPlace = MANIFEST_FILES.flatMap((path): Walked[] => {
    const entry = files.get(place === '' ? path : `${place}/${path}`);
    return entry === undefined ? [] : [{ ...entry, path }];
  });
  const directory = join(root, place);
  try {
    const found = await findManifest(inPlace);
    if (found === undefined) return undefined;
    const { manifest } = found;
    // A skill may have a name for people. Then that of its directory counts.
    const name = basename(directory);
    const isForPeople = manifest.file === 'SKILL.md' && !isPluginName(manifest.name);
    const naming = namePlugin(manifest, isForPeople && isPluginName(name) ? name : undefined);
    if (!naming.ok) throw new Fault(naming.code, naming.why, { hint: naming.hint });
    return { name: naming.name, place: place || '.', directory, listed: undefined };
  } catch (error) {
    if (error instanceof Fault) return { name: place || '.', place: place || '.', fault: error };
    throw error;
  }
}

const isDirectory = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
