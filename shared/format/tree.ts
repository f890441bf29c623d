/** A tree as a list of files, its digest, and the names that do not count. */
import { createHash } from 'node:crypto';

import * as z from 'zod';

import { MARKER } from './layout.ts';
import { sha256Schema } from './name.ts';

/** One regular file of a tree: relative path with `/`; mode `755` if the owner may execute it. */
export const fileEntrySchema = z.object({
  path: z.string(),
  size: z.number().int().nonnegative(),
  mode: z.enum(['644', '755']),
  sha256: sha256Schema,
});
export type FileEntry = z.infer<typeof fileEntrySchema>;

/** The mode with which a file is written and listed: only the owner's execute bit is kept. */
export const modeOf = (bits: number): FileEntry['mode'] => ((bits & 0o100) === 0 ? '644' : '755');

/** Sorts files for the digest: by the UTF-8 bytes of their paths, which differs from the order of UTF-16. */
export function sortFiles(files: readonly FileEntry[]): FileEntry[] {
  const keyed = files.map((file) => ({ file, key: Buffer.from(file.path, 'utf8') }));
  keyed.sort((a, b) => Buffer.compare(a.key, b.key));
  return keyed.map(({ file }) => file);
}

/**
 * The tree digest: the sha256 over `path NUL mode NUL size NUL sha256 LF` of every file, sorted by the UTF-8 bytes of the
 * paths. Times, owners, empty directories and the archive do not affect it. The caller leaves out the marker and ignored
 * files ({@link createIgnore}).
 */
export function treeDigest(files: readonly FileEntry[]): string {
  const hash = createHash('sha256');
  for (const file of sortFiles(files)) {
    hash.update(`${file.path}\0${file.mode}\0${file.size}\0${file.sha256}\n`, 'utf8');
  }
  return `sha256:${hash.digest('hex')}`;
}

/** Swap and backup files of editors, caches, and files of desktops and file systems: never part of a plugin. */
const IGNORED_NAMES = [
  /^\.DS_Store$/,
  /^Thumbs\.db$/i,
  /^desktop\.ini$/i,
  /^\.nfs[0-9A-Fa-f]+$/,
  /^\.fuse_hidden[0-9A-Fa-f]+$/,
  /\.pyc$/,
  /~$/,
  /^\..*\.sw[a-p]$/,
  /^#.*#$/,
  /^\.#/,
  /^4913$/,
] as const;
const IGNORED_DIRECTORIES: ReadonlySet<string> = new Set(['__pycache__', '__MACOSX']);

/** The first bytes of a file `._NAME` in which macOS keeps the attributes of the file NAME. */
const APPLE_DOUBLE = Buffer.from([0x00, 0x05, 0x16, 0x07]);

/** Whether a file has a name of that form. */
export const mayBeAppleDouble = (path: string): boolean => /(?:^|\/)\._[^/]*$/.test(path);
/** Whether the first bytes are those of such a file. */
export const isAppleDouble = (head: Buffer): boolean =>
  head.subarray(0, APPLE_DOUBLE.length).equals(APPLE_DOUBLE);

/** Whether a relative path is left out of digest, drift, gate and archive. */
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

/** The differences between the installed list and the live files: paths, sorted. */
export type TreeDifference = { modified: string[]; missing: string[]; unlisted: string[] };

/** Compares the expected files with those found. A file is modified if its size, mode or sha256 differs. */
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

/** A difference in the words of the gate; undefined if there is none. */
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

/** One difference, and what it means. The path is empty if it concerns the whole plugin. */
export const reasonSchema = z.object({
  path: z.string(),
  change: z.enum(['added', 'removed', 'modified']),
  why: z.string(),
});
export type Reason = z.infer<typeof reasonSchema>;
