/** Which files of a plugin an update need not send, and where the agent takes them from. Pure. */
import { type DeltaList, type PlannedVersion, shortDigest } from '../format/delta.ts';
import type { FileEntry } from '../format/tree.ts';

/** The list of a delta, and the paths of the files that have to be sent. */
export type DeltaPlan = { list: DeltaList; missing: ReadonlySet<string> };

/** Files with the same key have the same content, as far as a short digest can tell. */
const keyOf = ({ size, sha256 }: Pick<FileEntry, 'size' | 'sha256'>): string =>
  `${size} ${shortDigest(sha256)}`;

/**
 * Compares the files of a new version with those that the agent has.
 *
 * @param versions what the agent has; the first one is the base.
 * @returns undefined if the agent has no version.
 */
export function planDelta(
  files: readonly FileEntry[],
  versions: readonly PlannedVersion[],
): DeltaPlan | undefined {
  const [base] = versions;
  if (base === undefined) return undefined;
  const places = new Map<string, { version: string; path: string }>();
  for (const { version, files: had } of versions) {
    for (const file of had) {
      if (!places.has(keyOf(file))) places.set(keyOf(file), { version, path: file.path });
    }
  }
  const rest = new Map(base.files.map((file) => [file.path, file]));
  const take: DeltaList['take'] = [];
  const missing = new Set<string>();
  for (const file of files) {
    const { path, mode } = file;
    const before = rest.get(path);
    if (before !== undefined && before.mode === mode && keyOf(before) === keyOf(file)) {
      rest.delete(path);
      continue;
    }
    const place = places.get(keyOf(file));
    if (place === undefined) {
      missing.add(path);
    } else {
      const version = place.version === base.version ? {} : { version: place.version };
      take.push({ path, mode, from: place.path, ...version });
    }
  }
  return { list: { base: base.version, without: [...rest.keys()], take }, missing };
}

/** A file that the agent takes from a version that it has. `sha256` and `size` are those of the receipt. */
export type DeltaFile = FileEntry & { version: string; from: string };

/**
 * The files that a delta takes from the versions of the agent.
 *
 * @param filesOf the files of a version by its receipt; undefined if that version is not there.
 * @returns the paths as the list has them, not checked; or the place that no version has.
 */
export function takenFiles(
  { base, without, take }: DeltaList,
  filesOf: (version: string) => readonly FileEntry[] | undefined,
): { ok: true; files: DeltaFile[] } | { ok: false; version: string; path: string | undefined } {
  const lists = new Map<string, ReadonlyMap<string, FileEntry> | undefined>();
  const listOf = (version: string): ReadonlyMap<string, FileEntry> | undefined => {
    if (!lists.has(version)) {
      const files = filesOf(version);
      lists.set(version, files && new Map(files.map((file) => [file.path, file])));
    }
    return lists.get(version);
  };
  const had = listOf(base);
  if (had === undefined) return { ok: false, version: base, path: undefined };
  const gone = new Set(without);
  const files: DeltaFile[] = [];
  for (const file of had.values()) {
    if (!gone.has(file.path)) files.push({ ...file, version: base, from: file.path });
  }
  for (const { path, mode, from, version = base } of take) {
    const source = listOf(version)?.get(from);
    if (source === undefined) return { ok: false, version, path: from };
    const { size, sha256 } = source;
    files.push({ path, mode, size, sha256, version, from });
  }
  return { ok: true, files };
}
