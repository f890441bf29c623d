/** How an update without the files that the agent has is written: what the agent has, and what it is to take of that. */
import * as z from 'zod';

import { stampSchema } from './name.ts';
import { type FileEntry, fileEntrySchema } from './tree.ts';

/** The first entry of a delta. No other bundle is looked into for it. */
export const DELTA_LIST = '.airlock-delta.json';
/** A longer list is refused. */
export const DELTA_LIST_MAX_BYTES = 8 * 1024 * 1024;

/**
 * An array of such items. It stops at the first one that is not valid: a list may have millions, and an issue for each would
 * take gigabytes.
 */
const itemsOf = <T>(item: z.ZodType<T>): z.ZodType<T[]> =>
  z.custom<T[]>(
    (value) => Array.isArray(value) && value.every((one) => item.safeParse(one).success),
    'is no array, or one of its items is not valid',
  );

/** The list in a delta. The tree is the base without some files, with files that are taken, and with those of the archive. */
export const deltaListSchema = z.strictObject({
  /** The installId of a version of the plugin. */
  base: stampSchema,
  /** Paths of the base that are not in the new tree, or have another content or mode there. */
  without: itemsOf(z.string()),
  /** Files that have a new place or mode. */
  take: itemsOf(
    z.strictObject({
      path: z.string(),
      mode: fileEntrySchema.shape.mode,
      /** The path in the version that has its content. */
      from: z.string(),
      /** The installId of that version; absent: the base. */
      version: stampSchema.optional(),
    }),
  ),
});
export type DeltaList = z.infer<typeof deltaListSchema>;

/**
 * A digest is cut to so many hex digits where the agent says what it has. The tree digest decides, so two files with one
 * such digest only make a delta fail.
 */
const DIGEST_DIGITS = 16;

/** The part of a sha256 by which a file is found. */
export const shortDigest = (sha256: string): string => sha256.slice(0, DIGEST_DIGITS);

/** What a version has: the live one all its files, a snapshot those that no version before it has. */
export type PlannedVersion = { version: string; tree: string; files: PlannedFile[] };
/** `sha256` is cut as {@link shortDigest} does. */
export type PlannedFile = Omit<FileEntry, 'sha256'> & { sha256: string };

const headSchema = z.object({ version: stampSchema, tree: z.string() });
const fileSchema = z.tuple([
  z.string(),
  fileEntrySchema.shape.mode,
  fileEntrySchema.shape.size,
  z.string().length(DIGEST_DIGITS),
]);

/** Writes versions as JSON lines: `{"version", "tree"}`, and `[path, mode, size, digest]` for each of its files. */
export function writePlanned(versions: readonly PlannedVersion[]): string {
  const lines = versions.flatMap(({ version, tree, files }) => [
    JSON.stringify({ version, tree }),
    ...files.map(({ path, mode, size, sha256 }) => JSON.stringify([path, mode, size, shortDigest(sha256)])),
  ]);
  return lines.map((line) => `${line}\n`).join('');
}

/** Reads what {@link writePlanned} has written. @throws ZodError, SyntaxError */
export function readPlanned(text: string): PlannedVersion[] {
  const versions: PlannedVersion[] = [];
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const json: unknown = JSON.parse(line);
    const version = versions.at(-1);
    if (version === undefined || !Array.isArray(json)) {
      versions.push({ ...headSchema.parse(json), files: [] });
    } else {
      const [path, mode, size, sha256] = fileSchema.parse(json);
      version.files.push({ path, mode, size, sha256 });
    }
  }
  return versions;
}
