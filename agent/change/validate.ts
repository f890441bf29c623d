/** The third step: checks that the staged tree is the requested plugin. Reads only the slot. */
import { Fault } from '../../shared/api/fault.ts';
import { ASIDE, type FileReading, MARKER, RESERVED } from '../../shared/format/layout.ts';
import {
  MANIFEST_FILES,
  MANIFEST_MAX_BYTES,
  MANIFESTS_SAID,
  type FoundManifest,
  type Manifest,
  type ManifestFile,
  isManifest as isManifestText,
  readManifest,
  runtimeName,
  supportsRuntime,
} from '../../shared/format/manifest.ts';
import type { BeginParams } from '../../shared/api/methods.ts';
import { type FileEntry, treeDigest } from '../../shared/format/tree.ts';
import { manifestElsewhere } from '../../shared/rule/manifest-places.ts';
import { namePlugin } from '../../shared/rule/plugin-name.ts';
import { readText } from '../disk/record.ts';
import { parentsOf } from '../../shared/rule/path-rules.ts';
import { checkPlugin, filesToRead, type PluginFacts } from '../../shared/rule/plugin/check-plugin.ts';
import { type Finding, finding } from '../../shared/rule/plugin/finding.ts';
import { Violations } from '../../shared/api/violations.ts';
import type { StageContext } from '../store/context.ts';
import type { LeftOut } from '../archive/link-rules.ts';
import { MARKER_LEFT_OUT, type Staged } from './stage.ts';
import { below, isManifest } from '../../shared/rule/top.ts';

/** A staged tree that is the requested plugin. Paths are relative to the slot. */
export type Validated = {
  files: FileEntry[];
  directories: string[];
  bytes: number;
  tree: string;
  /** Undefined only if the owner allows plugins without a manifest. */
  manifest: Manifest | undefined;
  skipped: string[];
  bundleLinks: Staged['bundleLinks'];
  /** The number of links that were left out. */
  links: number;
  findings: Finding[];
};

/** How much text is read for the rules: an install must not become slower for a plugin of many texts. */
const READ_LIMITS = { files: 1000, bytes: 4 * 1024 * 1024, fileBytes: 256 * 1024 };

/** What is asked for; undefined as `plugin`: whatever the manifest names. */
type Wanted = Pick<BeginParams, 'tree' | 'pin'> & { plugin: string | undefined };

/** @throws Fault ARCHIVE_PATH, MANIFEST_*, RUNTIME_UNSUPPORTED, DIGEST_MISMATCH */
export function validate(context: StageContext, slot: string, staged: Staged, params: Wanted): Validated {
  const { top } = staged;
  const lifted = staged.files.map((file) => ({ ...file, path: below(top, file.path) }));
  const files = lifted.filter(({ path }) => path !== MARKER);
  const directories = staged.directories
    .filter((path) => !`${top}/`.startsWith(`${path}/`))
    .map((path) => below(top, path));
  checkReserved([...files.map(({ path }) => path), ...directories]);
  if (top !== '') {
    liftTop(context, slot, top);
  }
  const findings = [...staged.findings];
  if (files.length < lifted.length) {
    findings.push(finding('archive-remark', MARKER, MARKER_LEFT_OUT));
  }
  const missing = staged.links
    .filter(({ path }) => top === '' || path.startsWith(`${top}/`))
    .map((link) => ({ ...link, path: below(top, link.path) }));
  refuseMissing(
    missing,
    (path) => isManifest(path) || /(?:^|\/)skill\.md$/i.test(path),
    'a plugin cannot do without it',
  );
  const found = checkManifest(context, slot, files, params);
  const manifest = found?.manifest;
  refuseNamed(context, slot, missing, files, manifest);
  const heads = new Map([...staged.heads].map(([path, head]) => [below(top, path), head]));
  // Not by push(...): there may be more findings than a call can have arguments.
  const seen = lookAt(context, slot, { files, directories, heads, found });
  const tree = treeDigest(files);
  if (params.tree !== undefined && params.tree !== tree) {
    throw new Fault(
      'DIGEST_MISMATCH',
      `The files have the tree digest ${tree}, but ${params.tree} was declared`,
      {
        hint: 'Declare the digest of the tree that is in the bundle, or none',
      },
    );
  }
  const bytes = files.reduce((sum, file) => sum + file.size, 0);
  const { skipped, links, bundleLinks } = staged;
  return {
    files,
    directories,
    bytes,
    tree,
    manifest,
    skipped,
    bundleLinks,
    links: links.length,
    findings: [...findings, ...seen],
  };
}

/** Moves the content of the top directory up into the slot, so that the slot itself is the plugin. */
function liftTop({ disk }: StageContext, slot: string, top: string): void {
  // A child may have the name of its parent, so the parent is renamed first, to a name that no archive may hold.
  const aside = `${slot}/${ASIDE}`;
  disk.rename(`${slot}/${top}`, aside);
  for (const empty of parentsOf(top)) {
    disk.rmdir(`${slot}/${empty}`);
  }
  for (const { name } of disk.list(aside)) {
    if (name === MARKER) {
      disk.unlink(`${aside}/${name}`);
    } else {
      disk.rename(`${aside}/${name}`, `${slot}/${name}`);
    }
  }
  disk.rmdir(aside);
}

/** Checks the reserved names again, now that the plugin's own root is known (rule 23). */
function checkReserved(paths: string[]): void {
  const findings = new Violations();
  for (const name of new Set(paths.map((path) => path.split('/')[0] ?? ''))) {
    // A marker in other letters, or a directory of that name, would be in the way of the agent's own marker.
    if (RESERVED.has(name.toLowerCase()) || name.toLowerCase() === MARKER) {
      findings.note(name, 23, 'ARCHIVE_PATH', 'its first name is reserved for Airlock');
    }
  }
  if (!findings.none) {
    throw findings.fault();
  }
}

/**
 * Finds and reads the manifest of a tree.
 *
 * @throws Fault MANIFEST_*, RUNTIME_UNSUPPORTED
 */
export function checkManifest(
  context: StageContext,
  slot: string,
  files: readonly FileEntry[],
  { plugin, pin }: Wanted,
): FoundManifest | undefined {
  const said = plugin === undefined ? 'The plugin' : `The plugin "${plugin}"`;
  const file = MANIFEST_FILES.find(
    (candidate) =>
      files.some(({ path }) => path === candidate) &&
      isManifestText(candidate, readText(context.disk, `${slot}/${candidate}`, MANIFEST_MAX_BYTES)),
  );
  const sha256 = files.find(({ path }) => path === file)?.sha256;
  if (file === undefined) {
    if (context.policy.manifest === 'optional' && pin === undefined) {
      return undefined;
    }
    const elsewhere = manifestElsewhere(
      'The bundle',
      files.map(({ path }) => path),
    );
    throw new Fault('MANIFEST_MISSING', elsewhere?.why ?? `${said} has no manifest`, {
      hint: elsewhere?.hint ?? `Add ${MANIFESTS_SAID} at the root of the plugin`,
      violations: [{ path: '', rule: 24, code: 'MANIFEST_MISSING', what: 'no manifest at the top' }],
    });
  }
  if (pin !== undefined && pin !== `sha256:${sha256 ?? ''}`) {
    throw new Fault('MANIFEST_MISMATCH', `${file} is not the one that was pinned (${pin})`, {
      hint: 'Pin the digest of the manifest in the bundle, or send the bundle that was pinned',
    });
  }
  const read = readManifest(file, textOf(context, slot, file));
  if (!read.ok) {
    throw new Fault('MANIFEST_INVALID', `${file} is not valid: ${read.why}`, {
      hint: 'Correct the manifest and pack the plugin again',
    });
  }
  const naming = namePlugin(read.manifest, plugin);
  if (!naming.ok) {
    const { code, why, hint } = naming;
    const what = `it names "${read.manifest.name}"`;
    throw new Fault(code, why, { hint, violations: [{ path: file, rule: 24, code, what }] });
  }
  if (!supportsRuntime(read.manifest, context.policy.runtime)) {
    const runs = read.manifest.runtimes.join(', ');
    const here = runtimeName(context.policy.runtime ?? '');
    throw new Fault('RUNTIME_UNSUPPORTED', `${said} runs on ${runs}, but this workspace runs on ${here}`, {
      hint: 'Install a version of the plugin that lists this runtime',
    });
  }
  return read;
}

function textOf({ disk }: StageContext, slot: string, file: ManifestFile): string {
  const reading = readText(disk, `${slot}/${file}`, MANIFEST_MAX_BYTES);
  if (reading.kind === 'text') {
    return reading.text;
  }
  const why = reading.kind === 'unreadable' ? reading.why : 'it is gone';
  throw new Fault('MANIFEST_INVALID', `${file} cannot be read back: ${why}`, {
    hint: 'Save the manifest as UTF-8 and pack the plugin again',
  });
}

/** @throws Fault ARCHIVE_TYPE that names each link without which the plugin is not complete. */
function refuseMissing(links: readonly LeftOut[], isNeeded: (path: string) => boolean, why: string): void {
  const findings = new Violations();
  for (const { path, rule, what } of links) {
    if (isNeeded(path)) {
      findings.note(path, rule, 'ARCHIVE_TYPE', `${what}, and ${why}`);
    }
  }
  if (!findings.none) {
    throw findings.fault();
  }
}

/** The files in which hooks name other files by their paths in the plugin. */
const HOOK_FILES: ReadonlySet<string> = new Set([
  'hooks/hooks.json',
  'hooks.json',
  '.claude-plugin/plugin.json',
  'plugin.json',
]);

/** More links times characters of these files are refused: looking for each link would take seconds. */
const NAMED_WORK = 500_000_000;

const isOfName = (character: string | undefined): boolean =>
  character !== undefined && /[\p{L}\p{N}_.-]/u.test(character);

/** Whether a text has a path, and not only as a part of a longer name. */
function namesPath(text: string, path: string): boolean {
  for (let at = text.indexOf(path); at !== -1; at = text.indexOf(path, at + path.length)) {
    // The letter of an escape in JSON is not part of a name.
    const begins = !isOfName(text[at - 1]) || text[at - 2] === '\\';
    if (begins && !isOfName(text[at + path.length])) {
      return true;
    }
  }
  return false;
}

/** The files that the manifest or a hook names must exist, because without them the plugin fails when it is used. */
function refuseNamed(
  context: StageContext,
  slot: string,
  links: readonly LeftOut[],
  files: readonly FileEntry[],
  manifest: Manifest | undefined,
): void {
  if (links.length === 0) {
    return;
  }
  const { skills = [], rules = [], hooks = [], adapters = [], promptFragments = [] } = manifest ?? {};
  const named = [...skills, ...rules, ...hooks, ...adapters, ...promptFragments].map((name) =>
    name.replace(/^\.\//, '').replace(/\/$/, ''),
  );
  const texts = files
    .filter(({ path }) => HOOK_FILES.has(path))
    .map(({ path }) => readText(context.disk, `${slot}/${path}`, MANIFEST_MAX_BYTES))
    .flatMap((reading) => (reading.kind === 'text' ? reading.text : []));
  const characters = texts.reduce((sum, text) => sum + text.length, 0);
  if (characters * links.length > NAMED_WORK) {
    throw new Fault('LIMIT_ENTRIES', `${links.length} links lead to nothing in the archive`, {
      hint: 'Pack what they lead to, or leave the links out',
    });
  }
  const isNamed = (path: string): boolean =>
    named.some((name) => name === path || path.startsWith(`${name}/`)) ||
    texts.some((text) => namesPath(text, path));
  refuseMissing(links, isNamed, 'the manifest or a hook names it');
}

/** What the rules say about a tree. Notes about single files are left to `airlock validate`: there may be very many. */
export function lookAt(
  { disk }: StageContext,
  slot: string,
  plugin: Pick<PluginFacts, 'files' | 'directories' | 'heads' | 'found'>,
): Finding[] {
  const { paths, left } = filesToRead(plugin.files, READ_LIMITS);
  const texts = new Map(paths.map((path) => [path, readBack(disk, slot, path)]));
  return checkPlugin({ ...plugin, texts, left, hasModes: true }).filter(
    ({ level, path }) => level !== 'note' || path === '',
  );
}

/**
 * A staged text. What the rules say is kept and said again, so they are not told of a disk that has failed once.
 *
 * @throws Fault INTERNAL if the disk does not let it be read.
 */
function readBack(disk: StageContext['disk'], slot: string, path: string): FileReading {
  const reading = readText(disk, `${slot}/${path}`, MANIFEST_MAX_BYTES);
  if (reading.kind === 'unreadable' && reading.code !== undefined) {
    throw new Fault('INTERNAL', `${path} cannot be read back: ${reading.why}`, {
      hint: 'Check the disk, then send the plugin again',
    });
  }
  return reading;
}
