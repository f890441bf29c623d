/** Packs a directory into a bundle. The same files give the same bytes for every packer, place and time. */
import { randomUUID } from 'node:crypto';
import { open, realpath, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

import { Fault } from '../../shared/api/fault.ts';
import { type FoundManifest, type Manifest, MANIFEST_FILES } from '../../shared/format/manifest.ts';
import { MARKETPLACE_FILE } from '../../shared/format/marketplace.ts';
import { type FileEntry, treeDigest } from '../../shared/format/tree.ts';
import type { FileHead } from '../../shared/rule/plugin/file-head.ts';
import type { Finding } from '../../shared/rule/plugin/finding.ts';
import { manifestElsewhere } from '../../shared/rule/manifest-places.ts';
import type { Bundle } from '../bundle.ts';
import { checkOutFile } from '../out-file.ts';
import { makeTemporary, systemFault } from '../temporary.ts';
import { archive } from './archive.ts';
import {
  ANY_DEPTH_MAX,
  createLeftOut,
  IGNORE_FILE,
  IGNORE_MAX_BYTES,
  type LeftOut,
  tooCostly,
} from './choice.ts';
import { refusePaths } from './paths.ts';
import { asListed, listedAbove, type MarketplacePlugin } from './marketplace.ts';
import { checkFiles } from './check-files.ts';
import { compress } from './compress.ts';
import { partsOf } from './parts.ts';
import { findManifest, pluginName } from './plugin-manifest.ts';
import { openSource, refuseStopped, type Source, stopped } from './source.ts';
import { readTextFile } from './text-file.ts';
import { type Skipped, type Walk, type Walked, walk } from './walk.ts';

const SECRETS_SHOWN = 20;

export type PackOptions = {
  /** Paths of files that look like secrets and are packed all the same. */
  allowSecrets?: readonly string[] | undefined;
  /** More names to leave out, as in `AIRLOCK_IGNORE`. */
  ignore?: readonly string[] | undefined;
  /** `optional`: a plugin without a manifest is packed too. Its name is then `name` or that of its directory. */
  manifest?: 'required' | 'optional' | undefined;
  /** How a marketplace lists the plugin; absent: the one around a directory without a manifest is looked for. */
  listed?: MarketplacePlugin | undefined;
  /** The name that the plugin must have. */
  name?: string | undefined;
  /** The path of the bundle; absent: a temporary directory, which `dispose` removes. */
  out?: string | undefined;
  /** Replace an existing file at `out`. */
  overwrite?: boolean | undefined;
  /** Ends packing at once. */
  signal?: AbortSignal | undefined;
};

export type Packed = Bundle & {
  /** The tree digest of the packed files. */
  tree: string;
  files: number;
  /** The size of all files, unpacked. */
  bytes: number;
  /** Undefined only with `manifest: 'optional'`. */
  manifest: Manifest | undefined;
  /** The `marketplace.json` of which the manifest is made; undefined if the plugin has a manifest of its own. */
  manifestFrom: string | undefined;
  /** Entries that were left out although nothing names them: links that point outside, sockets, pipes, devices. */
  skipped: Skipped[];
  /** What the rules for plugins say: warnings and notes. */
  findings: Finding[];
  /** Removes a temporary bundle; leaves one that was written to `out`. */
  dispose(): Promise<void>;
};

/**
 * Packs a plugin's directory as a `.tgz`, streaming. It also takes a zip of one (`.zip`, `.skill`, `.mcpb`): the same files
 * give the same bundle.
 *
 * @throws Fault NOT_FOUND if there is no such path; ARCHIVE_PATH or ARCHIVE_COLLISION with every path that an agent would
 *   refuse; ARCHIVE_* with every rule that a zip breaks; INVALID_PARAMS for a file
 *   that cannot be read, changes meanwhile or looks like a secret; MANIFEST_*; CONFLICT if there is a file at `out` already.
 *
 * @example const bundle = await packDirectory('./plugins/lint');
 */
export async function packDirectory(directory: string, options: PackOptions = {}): Promise<Packed> {
  const source = await openSource(directory, options);
  let isKept = false;
  try {
    const packed = await packSource(source, options);
    isKept = packed.parts !== undefined;
    if (!isKept) return packed;
    // What a zip was unpacked to may be read again, until the bundle goes.
    const dispose = async (): Promise<void> => {
      await Promise.all([packed.dispose(), source.dispose()]);
    };
    return { ...packed, dispose };
  } finally {
    if (!isKept) await source.dispose();
  }
}

async function packSource(source: Source, options: PackOptions): Promise<Packed> {
  const { entries, skipped, secrets, found, manifest, manifestFrom, plugin } = await survey(source, options);
  refuseSecrets(secrets, options);
  const list: FileEntry[] = [];
  const heads = new Map<string, FileHead>();
  const target = await openTarget(options);
  try {
    const withSecrets: string[] = [];
    const blocks = archive(entries, (file, { isSecret, head }) => {
      list.push(file);
      if (isSecret) withSecrets.push(file.path);
      if (head !== undefined) heads.set(file.path, head);
    });
    const { size, sha256 } = await compress(blocks, target.path, options.signal);
    refuseSecrets(withSecrets, options);
    const findings = await checkFiles({ entries, list, heads, found });
    const { file, dispose } = await target.keep();
    const bytes = list.reduce((sum, one) => sum + one.size, 0);
    return {
      plugin,
      file,
      size,
      sha256,
      tree: treeDigest(list),
      files: list.length,
      bytes,
      manifest,
      manifestFrom,
      skipped,
      findings,
      dispose,
      // A bundle that is kept may outlive what a zip was unpacked to.
      ...(source.isPlace || options.out === undefined
        ? { parts: partsOf(entries, list, manifest?.hotReload) }
        : {}),
    };
  } catch (error) {
    // The first failure counts, also if the disk lets nothing be removed any more.
    await target.discard().catch(() => undefined);
    throw options.signal?.aborted === true ? stopped() : systemFault(error, `Writing "${target.path}"`);
  }
}

/** What a bundle would contain. */
export type Listed = Pick<Packed, 'plugin' | 'manifest' | 'manifestFrom' | 'skipped'> & {
  list: FileEntry[];
  /** The `hot_reload` of the manifest. */
  hotReload: boolean | undefined;
  /** Paths that look like secrets. `packDirectory` refuses them; here they are in the list too. */
  secrets: string[];
};

/**
 * Reads and hashes what a bundle of a directory would contain, without making one.
 *
 * @throws Fault as `packDirectory`, but not for files that look like secrets.
 */
export async function listDirectory(
  directory: string,
  options: Pick<PackOptions, 'ignore' | 'manifest' | 'name' | 'signal'> = {},
): Promise<Listed> {
  const source = await openSource(directory, options);
  try {
    const { entries, skipped, secrets, manifest, manifestFrom, plugin } = await survey(source, options);
    const list: FileEntry[] = [];
    const found = new Set(secrets);
    const blocks = archive(entries, (file, { isSecret }) => {
      list.push(file);
      if (isSecret) found.add(file.path);
    });
    // Reading the blocks computes the hashes. The blocks themselves are not needed.
    for await (const _ of blocks) refuseStopped(options.signal);
    return {
      plugin,
      list,
      manifest,
      manifestFrom,
      hotReload: manifest?.hotReload,
      skipped,
      secrets: [...found].toSorted(),
    };
  } finally {
    await source.dispose();
  }
}

type Survey = Pick<Packed, 'plugin' | 'manifest' | 'manifestFrom' | 'skipped'> & {
  entries: readonly Walked[];
  secrets: string[];
  found: FoundManifest | undefined;
};

/** Decides what goes into the bundle, and finds the name of the plugin. */
async function survey(source: Source, options: PackOptions): Promise<Survey> {
  const content = await contentOf(source, await walkSource(source, options), options);
  const { entries, skipped, secrets, found, manifestFrom } = content;
  refusePaths(entries);
  refuseNeeded(skipped);
  const plugin = nameOf(source, content, options);
  return { entries, skipped, secrets, found, manifest: found?.manifest, manifestFrom, plugin };
}

/** What of a walk goes into the bundle, with its manifest. */
type Content = Walk & {
  found: FoundManifest | undefined;
  /** The entry of a marketplace that names the plugin. */
  listed: MarketplacePlugin | undefined;
  manifestFrom: string | undefined;
};

/**
 * Finds the manifest, or makes it of the entry of a marketplace.
 *
 * @throws Fault MANIFEST_INVALID.
 */
export async function contentOf(
  source: Source,
  walked: Walk,
  options: Pick<PackOptions, 'listed' | 'name'>,
): Promise<Content> {
  const found = await findManifest(walked.entries);
  const listed =
    options.listed ?? (found === undefined ? await listedAbove(source, options.name) : undefined);
  const content =
    listed === undefined ? { ...walked, found, isMade: false } : asListed(listed, walked, found);
  // What a zip was unpacked to is gone soon, so its marketplace is named by its place in it.
  const from = source.isPlace ? listed?.file : MARKETPLACE_FILE;
  return { ...content, listed, manifestFrom: content.isMade ? from : undefined };
}

/** @throws Fault MANIFEST_*, INVALID_PARAMS if the plugin has no name that can be used. */
export function nameOf(
  source: Source,
  { entries, found, listed }: Content,
  options: Pick<PackOptions, 'manifest' | 'name'>,
): string {
  const isRequired = options.manifest !== 'optional';
  if (found === undefined && isRequired) refuseWithout(entries);
  const given = options.name ?? listed?.entry.name ?? (found === undefined ? source.name : undefined);
  return pluginName(found?.manifest, given, isRequired);
}

/**
 * What a bundle of a source would contain, before anything is known of a plugin.
 *
 * @throws Fault INVALID_PARAMS, LIMIT_ENTRIES; CANCELLED by the signal.
 */
export async function walkSource(
  source: Source,
  {
    ignore = [],
    out,
    hasIgnoreFile = true,
  }: Pick<PackOptions, 'ignore' | 'out'> & { hasIgnoreFile?: boolean },
): Promise<Walk> {
  const { root } = source;
  const own = createLeftOut(ignore, hasIgnoreFile ? await ignorePatterns(root) : '');
  const walked = await walk(root, await withoutOut(own, root, out), () => source.goesOn());
  return {
    entries: await source.known(walked.entries),
    skipped: [...source.skipped, ...walked.skipped].toSorted((a, b) => (a.path < b.path ? -1 : 1)),
    secrets: walked.secrets,
  };
}

/** The file may be a link to patterns that several plugins share: they decide only what is left out. */
async function ignorePatterns(root: string): Promise<string> {
  const place = join(root, IGNORE_FILE);
  const real = await realpath(place).catch(() => place);
  const reading = await readTextFile(real, IGNORE_MAX_BYTES);
  if (reading.kind === 'absent') return '';
  const line = reading.kind === 'text' ? tooCostly(reading.text) : undefined;
  if (reading.kind === 'text' && line === undefined) return reading.text;
  const why = reading.kind === 'text' ? `"${line}" has "**/" more than ${ANY_DEPTH_MAX} times` : reading.why;
  throw new Fault('INVALID_PARAMS', `${IGNORE_FILE} cannot be used: ${why}`, {
    hint: 'Correct the file, or remove it',
  });
}

/** A bundle that is being replaced is not part of the plugin, even if it is in its directory. */
async function withoutOut(own: LeftOut, root: string, out: string | undefined): Promise<LeftOut> {
  if (out === undefined) return own;
  const into = await realpath(dirname(out)).catch(() => undefined);
  return into === root ? (path, kind) => path === basename(out) || own(path, kind) : own;
}

/** A directory without a manifest may hold plugins. */
function refuseWithout(entries: readonly Walked[]): void {
  const files = entries.flatMap(({ kind, path }) => (kind === 'file' ? path : []));
  const elsewhere = manifestElsewhere('The directory', files);
  if (elsewhere !== undefined) {
    throw new Fault('MANIFEST_MISSING', elsewhere.why, { hint: elsewhere.hint });
  }
}

/** Without these a plugin could be installed but would not work. */
export const isNeeded = (path: string): boolean =>
  MANIFEST_FILES.some((file) => file === path) || /(?:^|\/)skill\.md$/i.test(path);

function refuseNeeded(skipped: readonly Skipped[]): void {
  const needed = skipped.find(({ path }) => isNeeded(path));
  if (needed !== undefined) {
    throw new Fault(
      'INVALID_PARAMS',
      `"${needed.path}" cannot be packed: ${needed.why}, and a plugin cannot do without it`,
      { hint: 'Put the file itself in its place, or remove the link' },
    );
  }
}

function refuseSecrets(found: readonly string[], { allowSecrets = [] }: PackOptions): void {
  const secrets = found.filter((path) => !allowSecrets.includes(path));
  if (secrets.length === 0) return;
  const shown = secrets.slice(0, SECRETS_SHOWN).map((path) => `"${path}"`);
  const more = secrets.length > shown.length ? ` and ${secrets.length - shown.length} more` : '';
  throw new Fault(
    'INVALID_PARAMS',
    `The plugin holds files that look like secrets: ${shown.join(', ')}${more}`,
    {
      hint: `Name them in ${IGNORE_FILE}; if one is no secret, allow its path (--allow-secret ${shown[0] ?? ''})`,
    },
  );
}

type Target = {
  path: string;
  keep(): Promise<{ file: string; dispose: () => Promise<void> }>;
  discard(): Promise<void>;
};

/** Opens the file to write. An existing file stays complete until all bytes are written. */
async function openTarget({ out, overwrite }: PackOptions): Promise<Target> {
  if (out === undefined) {
    const { directory, dispose } = await makeTemporary('airlock-pack-');
    const path = join(directory, 'bundle.tgz');
    return { path, keep: async () => ({ file: path, dispose }), discard: dispose };
  }
  if (overwrite === true) await checkOutFile(out, overwrite);
  const path = overwrite === true ? `${out}.${randomUUID()}.tmp` : out;
  try {
    await (await open(path, 'wx')).close();
  } catch (error) {
    const exists = (error as NodeJS.ErrnoException).code === 'EEXIST';
    const why = exists ? 'it exists' : (error as Error).message;
    throw new Fault(exists ? 'CONFLICT' : 'INVALID_PARAMS', `Writing "${out}" failed: ${why}`, {
      cause: error,
      hint: exists
        ? 'Choose another name, or overwrite it (--force)'
        : 'Choose a place that can be written to',
    });
  }
  const keep = async (): Promise<{ file: string; dispose: () => Promise<void> }> => {
    if (path !== out) await rename(path, out);
    return { file: out, dispose: async () => {} };
  };
  return { path, keep, discard: () => rm(path, { force: true }) };
}
