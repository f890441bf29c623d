/** Finds the marketplace that lists a plugin, and the directories that it lists. */
import { realpath, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, posix, sep } from 'node:path';

import { Fault } from '../../shared/api/fault.ts';
import { attempt } from '../../shared/attempt.ts';
import {
  MARKETPLACE_FILE,
  MARKETPLACE_MAX_BYTES,
  type Marketplace,
  type MarketplaceEntry,
  manifestOf,
  pathsIn,
  readMarketplace,
} from '../../shared/format/marketplace.ts';
import { type FoundManifest, readManifest } from '../../shared/format/manifest.ts';
import { parentsOf } from '../../shared/rule/path-rules.ts';
import { namedSome } from '../../shared/rule/manifest-places.ts';
import type { Source } from './source.ts';
import { readTextInside } from './text-file.ts';
import { inOrder } from '../../shared/archive/ustar.ts';
import type { Walk, Walked } from './walk.ts';

/** A plugin as its marketplace lists it: the manifest of a plugin that has none of its own is made of the entry. */
export type MarketplacePlugin = {
  /** The `marketplace.json`. */
  file: string;
  entry: MarketplaceEntry;
  /** Its directory is that of other plugins too, so only the paths that the entry names are part of it. */
  shared: boolean;
};

/**
 * The list of a directory; undefined if the directory has none. A list that is a link out of it is refused.
 *
 * @param directory a real path.
 * @throws Fault MANIFEST_INVALID.
 */
export async function readMarketplaceOf(
  directory: string,
): Promise<{ file: string; marketplace: Marketplace } | undefined> {
  const file = join(directory, MARKETPLACE_FILE);
  const reading = await readTextInside(directory, MARKETPLACE_FILE, MARKETPLACE_MAX_BYTES);
  if (reading.kind === 'absent') return undefined;
  const read = reading.kind === 'text' ? readMarketplace(reading.text) : { ok: false as const, ...reading };
  if (read.ok) return { file, marketplace: read.marketplace };
  throw new Fault('MANIFEST_INVALID', `"${file}" cannot be read: ${read.why}`, {
    hint: 'Correct the file, or push the directory of one plugin',
  });
}

/**
 * The directory of an entry, as a real path.
 *
 * @param root the real path of the marketplace.
 * @throws Fault NOT_FOUND for what is not there or has to be fetched; INVALID_PARAMS for a place outside the marketplace.
 */
export async function placeOf(
  root: string,
  { source }: MarketplaceEntry,
  pluginRoot: string,
): Promise<string> {
  if (typeof source !== 'string' || /^[a-z][a-z0-9+.-]+:/i.test(source)) {
    throw new Fault('NOT_FOUND', `Its source is ${sourceText(source)}, which is not in this directory`, {
      hint: 'Fetch it, and push its directory',
    });
  }
  const inRoot = [pluginRoot, source].join('/');
  // A plain name is below `pluginRoot`, a path with `./` is below the marketplace; people mix them up.
  const paths = source.startsWith('./') ? [source, inRoot] : [inRoot, source];
  if (isAbsolute(source) || paths.some((path) => /^\.\.(?:\/|$)/.test(posix.normalize(path)))) {
    throw outside(`Its source "${source}" is outside the directory`);
  }
  for (const path of paths) {
    const real = await realpath(join(root, path)).catch(() => undefined);
    if (real === undefined) continue;
    if (real !== root && !real.startsWith(root + sep)) {
      throw outside(`Its source "${source}" is a link out of the directory`);
    }
    if ((await stat(real)).isDirectory()) return real;
  }
  throw new Fault('NOT_FOUND', `Its source "${source}" is no directory here`, {
    hint: 'Correct the source of the entry',
  });
}

const outside = (why: string): Fault =>
  new Fault('INVALID_PARAMS', why, { hint: 'Push the directory of the plugin itself' });

function sourceText(source: MarketplaceEntry['source']): string {
  if (typeof source === 'string') return `"${source}"`;
  const { source: kind, url, repo, path } = source as Record<string, unknown>;
  const from = [url, repo, path].find((value) => typeof value === 'string');
  return from === undefined ? `a ${String(kind)}` : `"${from}" (${String(kind)})`;
}

/** An entry with the real path of its directory, or with why it has none. */
export type MarketplacePlace = { name: string } & (
  | { place: string; listed: MarketplacePlugin }
  | { fault: Fault }
);

/** What a marketplace lists, in its order. @param root its real path. */
export async function placesOf(
  root: string,
  { file, marketplace }: { file: string; marketplace: Marketplace },
): Promise<MarketplacePlace[]> {
  const places: MarketplacePlace[] = [];
  for (const line of marketplace.lines) {
    places.push(line.ok ? await placed(line.entry) : { name: line.name, fault: wrongEntry(line.why) });
  }
  const all = places.flatMap((one) => ('place' in one ? one.place : []));
  const last = new Map(all.map((place, i) => [place, i]));
  const twice = new Set(all.filter((place, i) => last.get(place) !== i));
  const isShared = (place: string): boolean => place === root || twice.has(place);
  return places.map((one) =>
    'place' in one ? { ...one, listed: { ...one.listed, shared: isShared(one.place) } } : one,
  );

  async function placed(entry: MarketplaceEntry): Promise<MarketplacePlace> {
    const { name } = entry;
    try {
      const place = await placeOf(root, entry, marketplace.pluginRoot);
      return { name, place, listed: { file, entry, shared: false } };
    } catch (error) {
      if (error instanceof Fault) return { name, fault: error };
      throw error;
    }
  }
}

const wrongEntry = (why: string): Fault =>
  new Fault('MANIFEST_INVALID', `Its entry in ${MARKETPLACE_FILE} is not valid: ${why}`, {
    hint: 'Correct the entry',
  });

/**
 * How the marketplace around a directory, or of it, lists it; undefined if there is none, or it does not list it. The
 * nearest marketplace counts. None is looked for above a repository, or around what a zip was unpacked to.
 *
 * @param name chooses among several plugins of this directory.
 * @throws Fault MANIFEST_INVALID; MANIFEST_MISSING for a directory that several plugins share, or that lists others.
 */
export async function listedAbove(
  { root, isPlace }: Pick<Source, 'root' | 'isPlace'>,
  name: string | undefined,
): Promise<MarketplacePlugin | undefined> {
  const found = await marketplaceAbove(root, isPlace);
  if (found === undefined) return undefined;
  const all = await placesOf(found.directory, found);
  const here = all.flatMap((one) => ('place' in one && one.place === root ? one.listed : []));
  const named = here.filter(({ entry }) => entry.name === name);
  const [listed, other] = named.length > 0 ? named : here;
  if (other !== undefined) {
    const names = namedSome(here.map(({ entry }) => entry.name));
    throw new Fault(
      'MANIFEST_MISSING',
      `The directory is that of ${here.length} plugins of a marketplace: ${names}`,
      {
        hint: 'Name one of them (--name), or push all of them with "airlock push --all"',
      },
    );
  }
  if (listed === undefined && found.directory === root && all.length > 0) {
    const names = namedSome(all.map((one) => one.name));
    throw new Fault(
      'MANIFEST_MISSING',
      `The directory is no plugin but a marketplace that lists ${all.length}: ${names}`,
      {
        hint: 'Push the directory of one of them, or all of them with "airlock push --all"',
      },
    );
  }
  return listed;
}

async function marketplaceAbove(
  root: string,
  isPlace: boolean,
): Promise<{ directory: string; file: string; marketplace: Marketplace } | undefined> {
  for (let directory = root; ; directory = dirname(directory)) {
    const found = await readMarketplaceOf(directory);
    if (found !== undefined) return { directory, ...found };
    const isRepository = await stat(join(directory, '.git')).then(
      () => true,
      () => false,
    );
    if (!isPlace || isRepository || dirname(directory) === directory) return undefined;
  }
}

const MADE = '.claude-plugin/plugin.json';

/**
 * What is packed of the directory of a plugin that a marketplace lists. A plugin without a manifest gets one, made of its
 * entry. Of a directory that several plugins share, it is what the entry names: the rest belongs to its neighbours.
 *
 * @param own the manifest in the directory.
 * @returns also whether the manifest is made of the entry.
 * @throws Fault MANIFEST_INVALID.
 */
export function asListed(
  { entry, shared }: MarketplacePlugin,
  walked: Walk,
  own: FoundManifest | undefined,
): Walk & { found: FoundManifest; isMade: boolean } {
  const paths = pathsIn(entry);
  const isPart = shared && paths.length > 0 && !paths.includes('') && (own === undefined || !entry.strict);
  if (own !== undefined && !isPart) return { ...walked, found: own, isMade: false };
  const { entries, skipped, secrets } = isPart ? partOf(entry.name, paths, walked) : walked;
  const text = attempt(() => manifestOf(entry));
  if (text === undefined) throw wrongEntry('it is nested too deeply');
  const read = readManifest(MADE, text);
  if (!read.ok) throw wrongEntry(read.why);
  const others = entries.filter(({ path }) => path !== MADE);
  const directory = dirname(MADE);
  const isThere = others.some(({ path }) => path === directory);
  const made: Walked[] = [
    ...(isThere ? [] : [{ kind: 'directory', path: directory } as const]),
    { kind: 'text', path: MADE, text },
  ];
  return { entries: inOrder([...others, ...made]), skipped, secrets, found: read, isMade: true };
}

function partOf(name: string, paths: readonly string[], { entries, skipped, secrets }: Walk): Walk {
  const known = new Set(entries.map(({ path }) => path));
  const missing = paths.find((path) => !known.has(path));
  if (missing !== undefined) {
    throw new Fault(
      'MANIFEST_INVALID',
      `${MARKETPLACE_FILE} lists "./${missing}" in "${name}", but it is not there`,
      {
        hint: 'Correct the entry, or add what it lists',
      },
    );
  }
  const named = new Set(paths);
  const above = new Set([...named].flatMap(parentsOf));
  const isPart = (path: string): boolean =>
    named.has(path) || above.has(path) || parentsOf(path).some((parent) => named.has(parent));
  return {
    entries: entries.filter(({ path }) => isPart(path)),
    skipped: skipped.filter(({ path }) => isPart(path)),
    secrets: secrets.filter(isPart),
  };
}
