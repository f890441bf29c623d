/** Looks at the files of a live tree: which there are, and their digests. Links are not followed. */
import { createHash } from 'node:crypto';
import { type Dirent, type Stats, constants } from 'node:fs';
import { lstat, open, readdir, readlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { type FileEntry, type Ignore, counts, modeOf } from '../shared/format/tree.ts';

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

const AT_ONCE = 16;
const CHUNK_BYTES = 64 * 1024;
/** A larger file is not read: one of no content and many terabytes would keep a core busy for hours. */
const READ_MAX_BYTES = 256 * 1024 * 1024;
/** A link is not followed, and opening a fifo without a writer does not wait for one. */
const CAUTIOUSLY = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
const NOT_UTF8 = 'its name is not UTF-8';
/** In the place of what is not UTF-8: nothing can be found under such a name, unless it is really called so. */
const isMangled = (path: string): boolean => path.includes('\u{FFFD}');
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
  const { ignore, signal, shared } = how;
  const seen: Seen[] = [];
  const work: string[] = [top];
  let running = 0;
  // Directories and files share one bounded queue: a directory that is listed adds to it.
  await new Promise<void>((resolve, reject) => {
    const next = (): void => {
      if (work.length === 0 && running === 0) resolve();
      while (running < AT_ONCE) {
        const path = work.pop();
        if (path === undefined) return;
        running += 1;
        void one(path)
          .then(() => {
            running -= 1;
            next();
          })
          .catch(reject);
      }
    };
    const one = async (path: string): Promise<void> => {
      if (path === top || path.endsWith('/')) {
        signal.throwIfAborted();
        for (const entry of await list(root, path.replace(/\/$/, ''), seen)) {
          const isDirectory = entry.isDirectory();
          const below = `${path === '' || path.endsWith('/') ? path : `${path}/`}${entry.name}`;
          // The empty last name asks about the directory itself: patterns for files do not apply below it.
          if (!isDirectory && counts(below, ignore)) work.push(below);
          if (isDirectory && !ignore(`${below}/`)) work.push(`${below}/`);
          if (isDirectory && isMangled(entry.name)) seen.push({ path: below, odd: NOT_UTF8 });
        }
        return;
      }
      const file = await lookAtFile(root, path, undefined, how);
      if (file !== undefined) seen.push(file);
      else if (await isListed(root, path)) seen.push({ path, odd: NOT_UTF8 });
    };
    next();
  });
  return { kind: 'directory', seen, shared };
}

async function list(root: string, directory: string, seen: Seen[]): Promise<Dirent[]> {
  try {
    return await readdir(join(root, directory), { withFileTypes: true });
  } catch (error) {
    if (!isGone(error)) seen.push({ path: directory, odd: whyOf(error) });
    return [];
  }
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
      return { path, odd: 'it is no regular file', sign: await readlink(join(root, path)) };
    }
    if (!stats.isFile()) return { path, odd: 'it is no regular file' };
    if (stats.nlink > 1) shared.set(path, `${stats.dev}-${stats.ino}-${stats.nlink}`);
    return (await spare(path, stats)) ?? (await hashFile(root, path, signal));
  } catch (error) {
    signal.throwIfAborted();
    return isGone(error) ? undefined : { path, odd: whyOf(error) };
  }
}

/** With the size and mode that the file has by then. */
async function hashFile(root: string, path: string, signal: AbortSignal): Promise<Seen> {
  const file = await open(join(root, path), CAUTIOUSLY);
  try {
    const stats = await file.stat();
    if (!stats.isFile()) return { path, odd: 'it is no regular file' };
    if (stats.size > READ_MAX_BYTES) {
      return { path, odd: 'it is too large to be compared', sign: `${stats.size} ${stats.ctimeMs}` };
    }
    const hash = createHash('sha256');
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, stats.size + 1));
    let size = 0;
    for (;;) {
      signal.throwIfAborted();
      const { bytesRead } = await file.read(chunk, 0, chunk.length, size);
      if (bytesRead === 0) break;
      hash.update(chunk.subarray(0, bytesRead));
      size += bytesRead;
    }
    return { path, size, mode: modeOf(stats.mode), sha256: hash.digest('hex') };
  } finally {
    await file.close();
  }
}
