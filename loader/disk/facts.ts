/** Reads the facts about a plugin: the directory itself, its marker, its manifest, its entries. */
import type { BigIntStats, Dirent } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { type FileReading, MARKER } from '../../shared/format/layout.ts';
import {
  MANIFEST_FILES,
  MANIFEST_MAX_BYTES,
  type ManifestFile,
  isManifest,
} from '../../shared/format/manifest.ts';
import { MARKER_MAX_BYTES } from '../../shared/format/marker.ts';
import { type SmallFile, readSmall } from './file.ts';
import { isMissing, systemErrorOf } from './system-error.ts';

export type Entry =
  | { kind: 'directory'; stats: BigIntStats }
  | { kind: 'symlink' | 'other' | 'absent' }
  | { kind: 'unreadable'; why: string };

/** Stats a path without following a link. A path through a file is `unreadable`, not `absent`. */
export async function statEntry(path: string): Promise<Entry> {
  try {
    const stats = await lstat(path, { bigint: true });
    if (stats.isDirectory()) {
      return { kind: 'directory', stats };
    }
    return { kind: stats.isSymbolicLink() ? 'symlink' : 'other' };
  } catch (error) {
    const problem = systemErrorOf(error);
    return isMissing(problem) ? { kind: 'absent' } : { kind: 'unreadable', why: problem.why };
  }
}

/**
 * Whether the directory is the same and was not moved in between. A rename changes the ctime of a directory, so a swap
 * and its undoing are noticed. A file that appears or disappears in it changes the ctime too, and costs another reading.
 */
export const isSame = (a: BigIntStats, b: BigIntStats): boolean =>
  a.dev === b.dev && a.ino === b.ino && a.ctimeNs === b.ctimeNs;

/** The content of a plugin's directory. It is of one version only if {@link isSame} says so afterwards. */
export type Facts = {
  listing: Map<string, Dirent>;
  marker: SmallFile;
  manifest: { file: ManifestFile; found: SmallFile } | undefined;
};

/** Reads what the gate needs. A string says why the directory cannot be read. */
export async function readFacts(path: string): Promise<Facts | string> {
  let entries: Dirent[];
  try {
    entries = await readdir(path, { withFileTypes: true });
  } catch (error) {
    return systemErrorOf(error).why;
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
    if (isManifest(file, found.reading)) {
      return { file, found };
    }
  }
  return undefined;
}
