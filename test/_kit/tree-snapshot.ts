/** A directory as values, to be compared byte for byte before and after. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstat, mkdir, readFile, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** Every entry below a directory: what it is, its mode, and the sha256 of what it holds. */
export async function snapshotTree(
  directory: string,
  below = '',
  without: readonly string[] = [],
): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  const names = await readdir(join(directory, below));
  for (const name of names.filter((each) => !without.includes(each)).toSorted()) {
    const path = below === '' ? name : `${below}/${name}`;
    const stats = await lstat(join(directory, path));
    const mode = (stats.mode & 0o7777).toString(8);
    if (stats.isDirectory()) {
      found[path] = `directory ${mode}`;
      Object.assign(found, await snapshotTree(directory, path));
    } else if (stats.isSymbolicLink()) {
      found[path] = `link to ${await readlink(join(directory, path))}`;
    } else {
      const sha256 = createHash('sha256').update(await readFile(join(directory, path)));
      found[path] = `file ${mode} ${sha256.digest('hex')}`;
    }
  }
  return found;
}

/**
 * A root on which an agent may be at work, but for what it notes of operations that changed nothing: its log, the history,
 * and who has a lock, which is given back a moment after the answer.
 */
export const snapshotRoot = (root: string): Promise<Record<string, string>> =>
  snapshotTree(root, '', ['.operations', '.history', '.locks']);

/** The paths that differ between two snapshots. */
export const changedIn = (before: Record<string, string>, after: Record<string, string>): string[] =>
  Object.keys({ ...before, ...after }).filter((path) => before[path] !== after[path]);

/** What GNU tar makes of an archive in a new directory: this is what must be live. */
export async function extractedByTar(bundle: string, to: string): Promise<Record<string, string>> {
  await mkdir(to);
  await promisify(execFile)('tar', ['-xzf', bundle, '-C', to, '--no-same-owner', '--no-same-permissions']);
  return snapshotTree(to);
}

/** The live tree of a plugin without its marker. */
export async function liveTreeOf(root: string, name: string): Promise<Record<string, string>> {
  const { '.complete': _, ...files } = await snapshotTree(join(root, name));
  return files;
}
