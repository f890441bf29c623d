/** Finds files of an installed version that have changed since the install, without reading the others. */
import { join } from 'node:path';

import { attempt } from '../../shared/attempt.ts';
import type { Receipt } from '../../shared/format/receipt.ts';
import { modeOf } from '../../shared/format/tree.ts';
import type { Disk, Stat } from '../disk/port.ts';
import type { ReadContext } from './context.ts';
import { hashFile, walkCounted } from './tree.ts';

const CHUNK_BYTES = 256 * 1024;

export type Drifted = { path: string; change: 'added' | 'removed' | 'modified' };

/**
 * The paths that were edited in place. It compares sizes and modes, and the content of files that are newer than their
 * install. Only a verification finds an edit that sets the time back. Never throws: a file that cannot be read counts as
 * modified.
 *
 * @param suspectsMax if more files than this are newer, none of them is read.
 */
export function driftOf(
  context: ReadContext,
  directory: string,
  receipt: Pick<Receipt, 'installedAt' | 'list'>,
  suspectsMax: number,
): Drifted[] {
  const installed = Date.parse(receipt.installedAt);
  const left = new Map(receipt.list.map((file) => [file.path, file]));
  const drifted: Drifted[] = [];
  const suspects: string[] = [];
  for (const { path, stat } of filesIn(context, directory)) {
    const file = left.get(path);
    left.delete(path);
    if (file === undefined) {
      drifted.push({ path, change: 'added' });
    } else if (stat?.kind !== 'file' || stat.size !== file.size || modeOf(stat.mode) !== file.mode) {
      drifted.push({ path, change: 'modified' });
    } else if (stat.mtimeMs > installed) {
      suspects.push(path);
    }
  }
  drifted.push(...[...left.keys()].map((path): Drifted => ({ path, change: 'removed' })));
  if (suspects.length <= suspectsMax && suspects.length > 0) {
    const expected = new Map(receipt.list.map(({ path, sha256 }) => [path, sha256]));
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    const isAsInstalled = (path: string): boolean =>
      attempt(() => hashFile(context.disk, join(directory, path), buffer))?.sha256 === expected.get(path);
    const modified = suspects.filter((path) => !isAsInstalled(path));
    drifted.push(...modified.map((path): Drifted => ({ path, change: 'modified' })));
  }
  return drifted.toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

/** All entries below a directory that count and are not directories. What cannot be read has no entries. */
function filesIn({ disk, ignore }: ReadContext, top: string): { path: string; stat: Stat | undefined }[] {
  const found: { path: string; stat: Stat | undefined }[] = [];
  const list: Disk['list'] = (path) => attempt(() => disk.list(path)) ?? [];
  walkCounted({ disk: { list }, ignore }, top, (path) => {
    found.push({ path, stat: attempt(() => disk.stat(join(top, path))) });
  });
  return found;
}
