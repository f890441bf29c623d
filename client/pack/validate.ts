/** Finds what is wrong with a plugin, and refuses nothing: all of it is told at once. */
import { Fault, type FaultCode, toFault } from '../../shared/api/fault.ts';
import { MANIFEST_FILES } from '../../shared/format/manifest.ts';
import type { FileEntry } from '../../shared/format/tree.ts';
import { codeOfRule } from '../../shared/rule/path-rules.ts';
import type { FileHead } from '../../shared/rule/plugin/file-head.ts';
import { type Finding, type FindingId, finding } from '../../shared/rule/plugin/finding.ts';
import { archive } from './archive.ts';
import { checkFiles } from './check-files.ts';
import { contentOf, isNeeded, nameOf, type PackOptions, walkSource } from './pack.ts';
import { brokenPaths } from './paths.ts';
import { openSource, refuseStopped, type Source } from './source.ts';
import type { Skipped } from './walk.ts';

export type ValidateOptions = Pick<
  PackOptions,
  'allowSecrets' | 'ignore' | 'manifest' | 'name' | 'signal'
> & {
  /** What an agent accepts: bytes, entries, levels. */
  limits: { maxUnpacked: number; maxEntries: number; maxDepth: number };
  /** The directory is what a bundle was unpacked to: neither an `.airlockignore` nor a marketplace around it says anything. */
  isUnpacked: boolean;
};

/** What the rules for plugins say about a plugin. */
export type PluginReport = {
  /** Undefined if it has no name that can be used. */
  plugin: string | undefined;
  version: string | undefined;
  /** How many files there are. */
  files: number;
  findings: Finding[];
};

/**
 * Applies every rule to a directory, or a zip of one, also those that refuse it.
 *
 * @throws Fault INVALID_PARAMS for a directory or file that cannot be read; LIMIT_ENTRIES, CANCELLED.
 */
export async function validateDirectory(directory: string, options: ValidateOptions): Promise<PluginReport> {
  const source = await openSource(directory, options);
  const { isUnpacked } = options;
  try {
    return await validateSource({ ...source, isPlace: source.isPlace && !isUnpacked }, options);
  } finally {
    await source.dispose();
  }
}

async function validateSource(source: Source, options: ValidateOptions): Promise<PluginReport> {
  const { limits, allowSecrets = [] } = options;
  const walked = await walkSource(source, { ...options, hasIgnoreFile: !options.isUnpacked });
  const content = await contentOf(source, walked, options).catch(manifestFault);
  const { entries, skipped, secrets } = content instanceof Fault ? walked : content;
  const list: FileEntry[] = [];
  const heads = new Map<string, FileHead>();
  const withSecrets = new Set(secrets);
  const blocks = archive(entries, (file, { isSecret, head }) => {
    list.push(file);
    if (isSecret) withSecrets.add(file.path);
    if (head !== undefined) heads.set(file.path, head);
  });
  // Reading the blocks looks at the files. The blocks themselves are not needed.
  for await (const _ of blocks) refuseStopped(options.signal);
  const found = content instanceof Fault ? undefined : content.found;
  const plugin = content instanceof Fault ? content : nameIn(source, content, options);
  return {
    plugin: plugin instanceof Fault ? undefined : plugin,
    version: found?.manifest.version,
    files: list.length,
    findings: [
      ...(plugin instanceof Fault ? faultFindings(plugin) : []),
      ...brokenPaths(entries, limits.maxDepth).map(({ path, rule, what }) =>
        finding(idOf(codeOfRule(rule)), path, `${what} (rule ${rule})`),
      ),
      ...limitFindings(entries.length, list, limits),
      ...[...withSecrets]
        .filter((path) => !allowSecrets.includes(path))
        .map((path) => finding('secret', path, 'it looks like a secret')),
      ...skipped.map(leftOut),
      ...(await checkFiles({ entries, list, heads, found })),
    ],
  };
}

const manifestFault = (error: unknown): Fault => toFault(error, 'Reading the manifest');

function nameIn(...how: Parameters<typeof nameOf>): string | Fault {
  try {
    return nameOf(...how);
  } catch (error) {
    return manifestFault(error);
  }
}

const leftOut = ({ path, why }: Skipped): Finding =>
  isNeeded(path)
    ? finding('entry-refused', path, `${why}, and a plugin cannot do without it`)
    : finding('left-out', path, `it is left out: ${why}`);

function limitFindings(
  entries: number,
  list: readonly FileEntry[],
  { maxEntries, maxUnpacked }: ValidateOptions['limits'],
): Finding[] {
  const bytes = list.reduce((sum, { size }) => sum + size, 0);
  return [
    ...(entries > maxEntries
      ? [finding('limit-exceeded', '', `it has ${entries} entries, and at most ${maxEntries} are accepted`)]
      : []),
    ...(bytes > maxUnpacked
      ? [finding('limit-exceeded', '', `it has ${bytes} bytes, and at most ${maxUnpacked} are accepted`)]
      : []),
  ];
}

const IDS: Readonly<Partial<Record<string, FindingId>>> = {
  ARCHIVE_PATH: 'path-refused',
  ARCHIVE_COLLISION: 'path-collision',
  ARCHIVE_TYPE: 'entry-refused',
  ARCHIVE_METADATA: 'entry-refused',
  ARCHIVE_AMBIGUOUS: 'archive-refused',
  ARCHIVE_CORRUPT: 'archive-refused',
  LIMIT_ENTRIES: 'limit-exceeded',
  LIMIT_RATIO: 'limit-exceeded',
  LIMIT_UNPACKED: 'limit-exceeded',
  TOO_LARGE: 'limit-exceeded',
  MANIFEST_MISSING: 'manifest-missing',
} satisfies Partial<Record<FaultCode, FindingId>>;

const idOf = (code: string): FindingId => IDS[code] ?? 'manifest-invalid';

/** A refusal as findings: one for each violation. */
export function faultFindings(fault: Fault): Finding[] {
  const { code, message, hint, violations, violationsTotal } = fault;
  if (code.startsWith('MANIFEST_') || violations.length === 0) {
    const path = MANIFEST_FILES.find((file) => message.startsWith(`${file} `)) ?? '';
    return [finding(idOf(code), path, message, { fix: hint })];
  }
  const more = violationsTotal - violations.length;
  return [
    ...violations.map(({ path, rule, code: broken, what }) =>
      finding(idOf(broken), path, `${what} (rule ${rule})`),
    ),
    ...(more > 0 ? [finding(idOf(code), '', `${more} more are refused`)] : []),
  ];
}
