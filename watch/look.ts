/** Looks at the files of a live tree: which there are, and their digests. Links are not followed. */
import type { Stats } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

import { type FileEntry, type Ignore, counts } from '../shared/format/tree.ts';
import { hashFile, isMangled, walkTree } from './files.ts';

/**
 * A file, or something at a file's place of which nothing can be claimed: a link, a socket, a closed file. Where there is a
 * sign, another one says that it is another one.
 */
export type Seen = FileEntry | { path: string; odd: string; sign?: string };

/**
 * Of files that have other names, too, under which nobody is told of their changes: path → which file that is, and how many
 * names it has.
 */
export type HardLinks = Map<string, string>;

/** What lies at a path: nothing, a file, or a directory with all files below it. */
export type PathContents =
  | { kind: 'absent' }
  | { kind: 'file'; seen: Seen; shared: HardLinks }
  | { kind: 'directory'; seen: Seen[]; shared: HardLinks };

/** Takes the place of reading a file whose digest can be told by its stats. */
export type KnownDigest = (path: string, stats: Stats) => Promise<FileEntry | undefined>;

/** A larger file is not read: one of no content and many terabytes would keep a core busy for hours. */
const READ_MAX_BYTES = 256 * 1024 * 1024;

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
const NOT_UTF8 = 'its name is not UTF-8';
const isGone = (error: unknown): boolean => ['ENOENT', 'ENOTDIR'].includes(codeOf(error));
const whyOf = (error: unknown): string =>
  `it cannot be read (${codeOf(error) || (error instanceof Error ? error.message : String(error))})`;

/** The stats of a path, or undefined if there is nothing. */
export async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

/**
 * Looks at one path of a tree, '' for all of it. Without `spare` every file is read.
 *
 * @throws the signal's reason, once it is aborted.
 */
export async function lookAt(
  root: string,
  path: string,
  ignore: Ignore,
  signal: AbortSignal,
  spare: KnownDigest = () => Promise.resolve(undefined),
): Promise<PathContents> {
  const shared: HardLinks = new Map();
  let stats: Stats | undefined;
  try {
    stats = await statOf(join(root, path));
  } catch (error) {
    return { kind: 'file', seen: { path, odd: whyOf(error) }, shared };
  }
  if (stats === undefined) {
    const isOdd = counts(path, ignore) && (await isListed(root, path));
    return isOdd ? { kind: 'file', seen: { path, odd: NOT_UTF8 }, shared } : { kind: 'absent' };
  }
  if (stats.isDirectory()) {
    return ignore(`${path}/`) ? { kind: 'absent' } : lookBelow(root, path, { ignore, signal, spare, shared });
  }
  if (!counts(path, ignore)) return { kind: 'absent' };
  const seen = await lookAtFile(root, path, stats, { signal, spare, shared });
  return seen === undefined ? { kind: 'absent' } : { kind: 'file', seen, shared };
}

/** Whether there is something whose name only looks like this one, because it is not UTF-8. */
async function isListed(root: string, path: string): Promise<boolean> {
  if (!isMangled(path)) return false;
  const directory = dirname(join(root, path));
  const names = await readdir(directory).catch(() => []);
  return names.some((name) => join(directory, name) === join(root, path));
}

type How = { ignore: Ignore; signal: AbortSignal; spare: KnownDigest; shared: HardLinks };

async function lookBelow(root: string, top: string, how: How): Promise<PathContents> {
  const seen: Seen[] = [];
  await walkTree(root, top, how, {
    entry: async (path) => {
      const file = await lookAtFile(root, path, undefined, how);
      if (file !== undefined) seen.push(file);
      else if (await isListed(root, path)) seen.push({ path, odd: NOT_UTF8 });
    },
    directory: (path) => {
      if (isMangled(basename(path))) seen.push({ path, odd: NOT_UTF8 });
    },
    unlistable: (path, error) => {
      if (!isGone(error)) seen.push({ path, odd: whyOf(error) });
    },
  });
  return { kind: 'directory', seen, shared: how.shared };
}

async function lookAtFile(
  root: string,
  path: string,
  known: Stats | undefined,
  { signal, spare, shared }: Omit<How, 'ignore'>,
): Promise<Seen | undefined> {
  try {
    const stats = known ?? (await lstat(join(root, path)));
    if (stats.isSymbolicLink()) {
      return { path, odd: 'it is not a regular file', sign: await readlink(join(root, path)) };
    }
    if (!stats.isFile()) return { path, odd: 'it is not a regular file' };
    if (stats.nlink > 1) shared.set(path, `${stats.dev}-${stats.ino}-${stats.nlink}`);
    return (await spare(path, stats)) ?? (await readFile(root, path, signal));
  } catch (error) {
    signal.throwIfAborted();
    return isGone(error) ? undefined : { path, odd: whyOf(error) };
  }
}

async function readFile(root: string, path: string, signal: AbortSignal): Promise<Seen> {
  const found = await hashFile(join(root, path), signal, READ_MAX_BYTES);
  switch (found.kind) {
    case 'file':
      return { path, size: found.size, mode: found.mode, sha256: found.sha256 };
    case 'other':
      return { path, odd: 'it is not a regular file' };
    case 'too-large':
      return { path, odd: 'it is too large to be compared', sign: `${found.size} ${found.ctimeMs}` };
    default:
      return found satisfies never;
  }
}
