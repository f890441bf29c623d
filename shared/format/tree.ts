/** A tree as a list of files, its digest, and what does not count in it. */
import { createHash } from 'node:crypto';

import * as z from 'zod';

import { MARKER } from './layout.ts';
import { sha256Schema } from './name.ts';

/** One regular file of a tree: path with `/`, relative; mode `755` where the owner may execute it. */
export const fileEntrySchema = z.object({
  path: z.string(),
  size: z.number().int().nonnegative(),
  mode: z.enum(['644', '755']),
  sha256: sha256Schema,
});
export type FileEntry = z.infer<typeof fileEntrySchema>;

/** The mode that a file is given and listed with: only the owner's execute bit survives. */
export const modeOf = (bits: number): FileEntry['mode'] => ((bits & 0o100) === 0 ? '644' : '755');

/** The files in the order of the digest: by the UTF-8 bytes of their paths, which UTF-16 order is not. */
export function sortFiles(files: readonly FileEntry[]): FileEntry[] {
  const keyed = files.map((file) => ({ file, key: Buffer.from(file.path, 'utf8') }));
  keyed.sort((a, b) => Buffer.compare(a.key, b.key));
  return keyed.map(({ file }) => file);
}

/**
 * The tree digest: sha256 over `path NUL mode NUL size NUL sha256 LF` of every file, sorted by the paths' UTF-8
 * bytes. Times, owners, empty directories and the archive that carried the files play no part in it. The caller
 * leaves out the marker and what is ignored ({@link createIgnore}).
 */
export function treeDigest(files: readonly FileEntry[]): string {
  const hash = createHash('sha256');
  for (const file of sortFiles(files)) {
    hash.update(`${file.path}\0${file.mode}\0${file.size}\0${file.sha256}\n`, 'utf8');
  }
  return `sha256:${hash.digest('hex')}`;
}

/** Editors' swap and backup files, caches and desktop litter: never part of a plugin. */
const IGNORED_NAMES = [
  /^\.DS_Store$/,
  /\.pyc$/,
  /~$/,
  /^\..*\.sw[a-p]$/,
  /^#.*#$/,
  /^\.#/,
  /^4913$/,
] as const;
const IGNORED_DIRECTORIES: ReadonlySet<string> = new Set(['__pycache__']);

/** Says whether a relative path is left out of digest, drift, gate and archive. */
export type Ignore = (path: string) => boolean;

/**
 * @param extra names that `AIRLOCK_IGNORE` adds: each leaves out the file or the directory of exactly that name,
 *   at any depth; one leading or one trailing `*` stands for anything.
 */
export function createIgnore(extra: readonly string[] = []): Ignore {
  const matchers = extra.map(nameMatcher);
  const ignored = (name: string, isLast: boolean): boolean =>
    IGNORED_DIRECTORIES.has(name) ||
    (isLast && IGNORED_NAMES.some((pattern) => pattern.test(name))) ||
    matchers.some((matches) => matches(name));
  return (path) => {
    const names = path.split('/');
    return names.some((name, i) => ignored(name, i === names.length - 1));
  };
}

function nameMatcher(pattern: string): (name: string) => boolean {
  if (pattern.startsWith('*')) {
    return (name) => name.endsWith(pattern.slice(1));
  }
  if (pattern.endsWith('*')) {
    return (name) => name.startsWith(pattern.slice(0, -1));
  }
  return (name) => name === pattern;
}

/** Whether a path is part of the tree: neither the marker at its root nor ignored. */
export const counts = (path: string, ignore: Ignore): boolean => path !== MARKER && !ignore(path);

/** What is different between the list that was installed and what lies there now. Paths only, sorted. */
export type TreeDifference = { modified: string[]; missing: string[]; unlisted: string[] };

/** Compares what should be there with what is; a file is modified if size, mode or sha256 differ. */
export function compareTrees(expected: readonly FileEntry[], found: readonly FileEntry[]): TreeDifference {
  const rest = new Map(found.map((file) => [file.path, file]));
  const modified: string[] = [];
  const missing: string[] = [];
  for (const file of sortFiles(expected)) {
    const now = rest.get(file.path);
    rest.delete(file.path);
    if (now === undefined) {
      missing.push(file.path);
    } else if (now.sha256 !== file.sha256 || now.mode !== file.mode || now.size !== file.size) {
      modified.push(file.path);
    }
  }
  return { modified, missing, unlisted: sortFiles([...rest.values()]).map((file) => file.path) };
}

/** More paths of a difference are counted, not named. */
const NAMED_MAX = 20;

/** A difference as the gate says it; undefined if there is none. */
export function differenceText({ modified, missing, unlisted }: TreeDifference): string | undefined {
  const named = [
    ...modified.map((path) => `"${path}" is modified`),
    ...missing.map((path) => `"${path}" is missing`),
    ...unlisted.toSorted().map((path) => `"${path}" was not installed`),
  ];
  if (named.length === 0) {
    return undefined;
  }
  const more = named.length > NAMED_MAX ? ` and ${named.length - NAMED_MAX} more` : '';
  return `It is not as it was installed: ${named.slice(0, NAMED_MAX).join(', ')}${more}`;
}

/** One difference, and what it means; the path is empty where it concerns the whole plugin. */
export const reasonSchema = z.object({
  path: z.string(),
  change: z.enum(['added', 'removed', 'modified']),
  why: z.string(),
});
export type Reason = z.infer<typeof reasonSchema>;
