/** What lies under a plugin's name: the directory itself, its marker, its manifest, its listing. */
import type { BigIntStats, Dirent } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { type FileReading, MARKER } from '../../shared/format/layout.ts';
import { MANIFEST_FILES, MANIFEST_MAX_BYTES, type ManifestFile } from '../../shared/format/manifest.ts';
import { MARKER_MAX_BYTES } from '../../shared/format/marker.ts';
import { type SmallFile, readSmall } from './file.ts';
import { isAbsence, troubleOf } from './trouble.ts';

export type Entry =
  | { kind: 'directory'; stats: BigIntStats }
  | { kind: 'symlink' | 'other' | 'absent' }
  | { kind: 'unreadable'; why: string };

/** Looks at a path without following a link. A path that leads through a file is `unreadable`, not `absent`. */
export async function lookAt(path: string): Promise<Entry> {
  try {
    const stats = await lstat(path, { bigint: true });
    if (stats.isDirectory()) {
      return { kind: 'directory', stats };
    }
    return { kind: stats.isSymbolicLink() ? 'symlink' : 'other' };
  } catch (error) {
    const trouble = troubleOf(error);
    return isAbsence(trouble) ? { kind: 'absent' } : { kind: 'unreadable', why: trouble.why };
  }
}

/**
 * The same directory, never away in between: being renamed changes its ctime, so that a swap and its undoing are seen
 * though the same directory lies there again. A file that comes or goes in it does so, too, and costs one more reading.
 */
export const isSame = (a: BigIntStats, b: BigIntStats): boolean =>
  a.dev === b.dev && a.ino === b.ino && a.ctimeNs === b.ctimeNs;

/** What was found in a plugin's directory; of one version only if {@link isSame} says so afterwards. */
export type Facts = {
  listing: Map<string, Dirent>;
  marker: SmallFile;
  manifest: { file: ManifestFile; found: SmallFile } | undefined;
};

/** Reads what the gate judges by; a string says why the directory itself cannot be read. */
export async function readFacts(path: string): Promise<Facts | string> {
  let entries: Dirent[];
  try {
    entries = await readdir(path, { withFileTypes: true });
  } catch (error) {
    return troubleOf(error).why;
  }
  const listing = new Map(entries.map((entry) => [entry.name, entry]));
  const marker = await readSmall(join(path, MARKER), MARKER_MAX_BYTES);
  return { listing, marker, manifest: await readFirstManifest(path, listing) };
}

async function readFirstManifest(path: string, listing: Facts['listing']): Promise<Facts['manifest']> {
  for (const file of MANIFEST_FILES) {
    const [top = '', below] = file.split('/');
    const entry = listing.get(top);
    if (entry === undefined) {
      continue;
    }
    if (below !== undefined && entry.isSymbolicLink()) {
      const reading: FileReading = { kind: 'unreadable', why: `"${top}" is a symbolic link` };
      return { file, found: { reading, stats: undefined } };
    }
    if (below !== undefined && !entry.isDirectory()) {
      continue;
    }
    const found = await readSmall(join(path, file), MANIFEST_MAX_BYTES);
    if (found.reading.kind !== 'absent') {
      return { file, found };
    }
  }
  return undefined;
}
