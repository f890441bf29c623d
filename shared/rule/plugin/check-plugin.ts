/** Every rule about the files of a plugin, in one place: for the packer, `airlock validate` and the agent. Pure. */
import type { FileReading } from '../../format/layout.ts';
import { type FoundManifest, MANIFEST_FILES, MANIFEST_MAX_BYTES } from '../../format/manifest.ts';
import type { FileEntry } from '../../format/tree.ts';
import { parentOf, parentsOf } from '../path-rules.ts';
import type { FileHead } from './file-head.ts';
import { type Finding, finding } from './finding.ts';
import { hiddenCharacters } from './hidden-characters.ts';
import {
  type IsKnown,
  isHookFile,
  mentionsIn,
  missingComponents,
  missingInCommands,
  missingParts,
} from './references.ts';
import { checkSkill, isSkillFile, skillFileCase } from './skills.ts';

type PluginFile = Pick<FileEntry, 'path' | 'size' | 'mode'>;

/** How much text is read: files, and bytes of all together and of each. */
export type ReadLimits = { files: number; bytes: number; fileBytes: number };

/** Which files are read, the most important first, and how many more there are. */
export type ToRead = { paths: string[]; left: number };

const isManifestFile = (path: string): boolean => MANIFEST_FILES.some((file) => file === path);

/** The files whose text is looked at, in this order. */
const KINDS: readonly ((path: string) => boolean)[] = [
  (path) => isManifestFile(path) || isHookFile(path),
  isSkillFile,
  (path) => /^(?:rules\/[^/]+|[^/]+)\.md$/i.test(path),
  (path) => /^(?:agents|commands|skills|rules)\/.+\.mdc?$/i.test(path),
];

/** Decides which files of a plugin are read. The others are known by their names and first bytes only. */
export function filesToRead(files: readonly PluginFile[], limits: ReadLimits): ToRead {
  const kinds = KINDS.map((): PluginFile[] => []);
  for (const file of files) {
    const kind = KINDS.findIndex((isOf) => isOf(file.path));
    kinds[kind]?.push(file);
  }
  const paths: string[] = [];
  let [bytes, left] = [0, 0];
  for (const { path, size } of kinds.flat()) {
    // A manifest or skill that is too large is said to be unreadable, and costs nothing.
    const most = isSkillFile(path) || isManifestFile(path) ? MANIFEST_MAX_BYTES : limits.fileBytes;
    const cost = size > most ? 0 : size;
    const isSaid = cost === size || isSkillFile(path);
    if (isSaid && paths.length < limits.files && bytes + cost <= limits.bytes) {
      paths.push(path);
      bytes += cost;
    } else {
      left += 1;
    }
  }
  return { paths, left };
}

export type PluginFacts = {
  files: readonly PluginFile[];
  directories: readonly string[];
  /** Of files whose first bytes say something. */
  heads: ReadonlyMap<string, FileHead>;
  /** Of the files that were read. */
  texts: ReadonlyMap<string, FileReading>;
  /** How many files were not read that should have been. */
  left: number;
  /** Undefined if there is none, or none that can be used. */
  found: FoundManifest | undefined;
  /** Whether the modes mean something: on Windows they do not. */
  hasModes: boolean;
};

/** What the rules say about a plugin, the findings of each file together. */
export function checkPlugin(facts: PluginFacts): Finding[] {
  const { files, directories, texts, left, found } = facts;
  const manifest = found?.manifest;
  const paths = new Set([...directories, ...files.map(({ path }) => path)]);
  for (const { path } of files) {
    // Of a directory that is known all above it are known.
    for (const parent of parentsOf(path)) {
      if (paths.has(parent)) break;
      paths.add(parent);
    }
  }
  const isThere: IsKnown = (path) => paths.has(path);
  const mentions = [...texts].flatMap(([path, reading]) =>
    isHookFile(path) && reading.kind === 'text' ? mentionsIn(reading.text) : [],
  );
  const run = new Set(mentions.filter(({ isRun }) => isRun).map(({ path }) => path));
  const findings = [
    ...manifestFields(found),
    ...checkNames(paths),
    ...files.flatMap(({ path }) => skillFileCase(path)),
    ...(manifest?.file === 'plugin.yaml' ? missingParts(manifest, paths) : []),
    ...checkHeads(facts, isThere, run),
    ...[...texts].flatMap(([path, reading]) => checkText(path, reading, isThere)),
    ...(left === 0
      ? []
      : [finding('not-checked', '', `${left} files of text are too large or too many to be read`)]),
  ];
  const order = new Map([...new Set(findings.map(({ path }) => path))].map((path, i) => [path, i]));
  return findings.toSorted((a, b) => (order.get(a.path) ?? 0) - (order.get(b.path) ?? 0));
}

const manifestFields = (found: FoundManifest | undefined): Finding[] =>
  (found?.warnings ?? []).map((warning) => {
    const file = found?.manifest.file ?? '';
    return finding('manifest-field', file, warning.replace(`${file}: `, ''));
  });

function checkText(path: string, reading: FileReading, isThere: IsKnown): Finding[] {
  const findings = isSkillFile(path) ? checkSkill(path, reading) : [];
  if (reading.kind !== 'text') {
    return findings;
  }
  const { text } = reading;
  if (isHookFile(path)) findings.push(...missingInCommands(path, text, isThere));
  if (path === '.claude-plugin/plugin.json') findings.push(...missingComponents(path, text, isThere));
  return [...findings, ...hiddenCharacters(path, text)];
}

/** Each name once, where it comes first. */
function checkNames(paths: ReadonlySet<string>): Finding[] {
  return [...paths].flatMap((path) => {
    const name = path.slice(path.lastIndexOf('/') + 1);
    const isPlain = /^[\w. -]*$/.test(name);
    if (isPlain) return [];
    const wrong = /[<>"|?*]/.exec(name)?.[0];
    return [
      ...(wrong === undefined
        ? []
        : [finding('windows-name', path, `its name holds ${wrong}, which Windows cannot hold`)]),
      ...(name === name.normalize('NFC')
        ? []
        : [finding('name-nfd', path, 'its name is in decomposed Unicode (NFD), as macOS makes them')]),
    ];
  });
}

function checkHeads(
  { files, heads, hasModes }: PluginFacts,
  isThere: IsKnown,
  run: ReadonlySet<string>,
): Finding[] {
  return files.flatMap(({ path, mode }) => {
    const head = heads.get(path);
    switch (head?.kind) {
      case undefined:
        return [];
      case 'lfs-pointer':
        return [finding('lfs-pointer', path, 'it is a pointer of Git LFS, and not the file')];
      case 'path':
        return isLinkText(path, head.target, isThere)
          ? [
              finding(
                'link-as-text',
                path,
                `it holds only the path "${head.target}", as a link does that was checked out as text`,
              ),
            ]
          : [];
      case 'script': {
        const crlf = head.isCrlf
          ? [finding('script-crlf', path, 'its first line (#!) ends with CRLF', { line: 1 })]
          : [];
        if (mode === '755' || !hasModes) return crlf;
        const level = run.has(path) ? 'warning' : 'note';
        const message = `it begins with #! and is not executable${run.has(path) ? ', and a hook runs it' : ''}`;
        return [...crlf, finding('script-not-executable', path, message, { level, line: 1 })];
      }
      default:
        return head satisfies never;
    }
  });
}

/** Whether the text of a file is the target of a link: a file of the plugin, or a way out of its directory. */
function isLinkText(path: string, target: string, isThere: IsKnown): boolean {
  const segments = parentOf(path)
    .split('/')
    .filter((segment) => segment !== '');
  for (const segment of target.split('/')) {
    if (segment === '..') segments.pop();
    else if (segment !== '.' && segment !== '') segments.push(segment);
  }
  const resolved = segments.join('/');
  return resolved !== path && (/^\.\.?\/./.test(target) || isThere(resolved));
}
