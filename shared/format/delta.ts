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

const lineSchema = z.union([
  z.object({ version: stampSchema, tree: z.string() }),
  z.object({ loaded: z.enum(['first', 'other']) }),
  z.object({ edited: z.string() }),
]);
const fileSchema = z.tuple([
  z.string(),
  fileEntrySchema.shape.mode,
  fileEntrySchema.shape.size,
  z.string().length(DIGEST_DIGITS),
]);

/**
 * What the runtime may have loaded. `files`: undefined if they are those of the first version. `edited`: paths of which it
 * may have loaded something else.
 */
export type PlannedLoaded = { files: PlannedFile[] | undefined; edited: string[] };

/** What an agent says of a plugin. */
export type Planned = { versions: PlannedVersion[]; loaded: PlannedLoaded | undefined };

/**
 * Writes versions as JSON lines: `{"version", "tree"}`, and `[path, mode, size, digest]` for each of its files. What is loaded
 * comes last: `{"loaded": "first"}` if it is the first version, else `{"loaded": "other"}` and its files; and then
 * `{"edited": path}` for each edited path.
 */
export function writePlanned({ versions, loaded }: Planned): string {
  const lines = versions.flatMap(({ version, tree, files }) => [
    JSON.stringify({ version, tree }),
    ...files.map(lineOf),
  ]);
  if (loaded !== undefined) {
    lines.push(JSON.stringify({ loaded: loaded.files === undefined ? 'first' : 'other' }));
    for (const file of loaded.files ?? []) lines.push(lineOf(file));
    for (const edited of loaded.edited) lines.push(JSON.stringify({ edited }));
  }
  return lines.map((line) => `${line}\n`).join('');
}

const lineOf = ({ path, mode, size, sha256 }: PlannedFile): string =>
  JSON.stringify([path, mode, size, shortDigest(sha256)]);

/** Reads what {@link writePlanned} has written. @throws ZodError, SyntaxError */
export function readPlanned(text: string): Planned {
  const versions: PlannedVersion[] = [];
  let loaded: PlannedLoaded | undefined;
  let files: PlannedFile[] | undefined;
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const json: unknown = JSON.parse(line);
    if (Array.isArray(json) && files !== undefined) {
      const [path, mode, size, sha256] = fileSchema.parse(json);
      files.push({ path, mode, size, sha256 });
      continue;
    }
    const head = lineSchema.parse(json);
    if ('version' in head) {
      files = [];
      versions.push({ ...head, files });
    } else if ('loaded' in head) {
      files = head.loaded === 'first' ? undefined : [];
      loaded = { files, edited: [] };
    } else {
      loaded?.edited.push(head.edited);
    }
  }
  return { versions, loaded };
}
