/** Reads paths of a live tree: the entries and their digests. Links are not followed. */
import type { Stats } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

import { type FileEntry, type Ignore, counts } from '../shared/format/tree.ts';
import { hashFile, isMangled, walkTree } from './files.ts';

/**
 * A file, or an entry that cannot be compared as a file: a link, a socket, an unreadable file. Two such entries with
 * different fingerprints differ.
 */
export type LiveEntry = FileEntry | { path: string; irregular: string; fingerprint?: string };

/**
 * Files with several names. A change under another name causes no event here. Path → the identity of the file and its
 * number of names.
 */
export type HardLinks = Map<string, string>;

/** The entry at a path: nothing, a file, or a directory with all files below it. */
export type PathContents =
  | { kind: 'absent' }
  | { kind: 'file'; seen: LiveEntry; shared: HardLinks }
  | { kind: 'directory'; seen: LiveEntry[]; shared: HardLinks };

/** Gives the digest of a file that need not be read, by its stats. */
export type KnownDigest = (path: string, stats: Stats) => Promise<FileEntry | undefined>;

/** A larger file is not read: a sparse file of many terabytes would keep a core busy for hours. */
const READ_MAX_BYTES = 256 * 1024 * 1024;

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
const NOT_UTF8 = 'its name is not UTF-8';
/** Whether the error of a call says that nothing is at its path. */
export const isGone = (error: unknown): boolean => ['ENOENT', 'ENOTDIR'].includes(codeOf(error));
const whyOf = (error: unknown): string =>
  `it cannot be read (${codeOf(error) || (error instanceof Error ? error.message : String(error))})`;

/** The stats of a path; undefined if it does not exist. */
export async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

/**
 * Reads one path of a tree, '' for all of it.
 *
 * @param knownDigest a file for which this gives a digest is not read.
 * @throws the signal's reason, once it is aborted.
 */
export async function readPath(
  root: string,
  path: string,
  ignore: Ignore,
  signal: AbortSignal,
  knownDigest: KnownDigest = () => Promise.resolve(undefined),
): Promise<PathContents> {
  const shared: HardLinks = new Map();
  let stats: Stats | undefined;
  try {
    stats = await statOf(join(root, path));
  } catch (error) {
    return { kind: 'file', seen: { path, irregular: whyOf(error) }, shared };
  }
  if (stats === undefined) {
    const isIrregular = counts(path, ignore) && (await isListed(root, path));
    return isIrregular ? { kind: 'file', seen: { path, irregular: NOT_UTF8 }, shared } : { kind: 'absent' };
  }
  if (stats.isDirectory()) {
    return ignore(`${path}/`)
      ? { kind: 'absent' }
      : readBelow(root, path, { ignore, signal, knownDigest, shared });
  }
  if (!counts(path, ignore)) return { kind: 'absent' };
  const seen = await readEntry(root, path, stats, { signal, knownDigest, shared });
  return seen === undefined ? { kind: 'absent' } : { kind: 'file', seen, shared };
}

/** Whether the directory lists this name although it cannot be found, because the real name is not UTF-8. */
async function isListed(root: string, path: string): Promise<boolean> {
  if (!isMangled(path)) return false;
  const directory = dirname(join(root, path));
  const names = await readdir(directory).catch(() => []);
  return names.some((name) => join(directory, name) === join(root, path));
}

type How = { ignore: Ignore; signal: AbortSignal; knownDigest: KnownDigest; shared: HardLinks };

async function readBelow(root: string, top: string, how: How): Promise<PathContents> {
  const seen: LiveEntry[] = [];
  await walkTree(root, top, how, {
    entry: async (path) => {
      const file = await readEntry(root, path, undefined, how);
      if (file !== undefined) seen.push(file);
      else if (await isListed(root, path)) seen.push({ path, irregular: NOT_UTF8 });
    },
    directory: (path) => {
      if (isMangled(basename(path))) seen.push({ path, irregular: NOT_UTF8 });
    },
    unlistable: (path, error) => {
      if (!isGone(error)) seen.push({ path, irregular: whyOf(error) });
    },
  });
  return { kind: 'directory', seen, shared: how.shared };
}

async function readEntry(
  root: string,
  path: string,
  known: Stats | undefined,
  { signal, knownDigest, shared }: Omit<How, 'ignore'>,
): Promise<LiveEntry | undefined> {
  try {
    const stats = known ?? (await lstat(join(root, path)));
    if (stats.isSymbolicLink()) {
      return { path, irregular: 'it is not a regular file', fingerprint: await readlink(join(root, path)) };
    }
    if (!stats.isFile()) return { path, irregular: 'it is not a regular file' };
    if (stats.nlink > 1) shared.set(path, `${stats.dev}-${stats.ino}-${stats.nlink}`);
    return (await knownDigest(path, stats)) ?? (await readFile(root, path, signal));
  } catch (error) {
    signal.throwIfAborted();
    return isGone(error) ? undefined : { path, irregular: whyOf(error) };
  }
}

async function readFile(root: string, path: string, signal: AbortSignal): Promise<LiveEntry> {
  const found = await hashFile(join(root, path), signal, READ_MAX_BYTES);
  switch (found.kind) {
    case 'file':
      return { path, size: found.size, mode: found.mode, sha256: found.sha256 };
    case 'other':
      return { path, irregular: 'it is not a regular file' };
    case 'too-large':
      return {
        path,
        irregular: 'it is too large to be compared',
        fingerprint: `${found.size} ${found.ctimeMs}`,
      };
    default:
      return found satisfies never;
  }
}
