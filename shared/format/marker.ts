/** `.complete`: a directory that has it holds a complete tree. */
import * as z from 'zod';

import { schemaErrorOf } from '../schema-error.ts';
import { digestSchema, pluginNameSchema, stampSchema } from './name.ts';

/** A larger marker is not read (the gate's rule 22). */
export const MARKER_MAX_BYTES = 64 * 1024;

export const markerSchema = z.object({
  version: z.literal(1),
  plugin: pluginNameSchema,
  pluginVersion: z.string(),
  installId: stampSchema,
  /** The digest of the archive that was sent. */
  bundle: digestSchema,
  /** Only its sender says that the files are those of the bundle: a delta came, and nobody has read the bundle; absent: it was read. */
  bundleUnread: z.literal(true).optional(),
  /** The tree digest of the files. */
  tree: digestSchema,
  files: z.number().int().nonnegative(),
  bytes: z.number().int().nonnegative(),
  /** The number of links of the archive that were left out; absent: none. */
  skipped: z.number().int().positive().optional(),
  installedAt: z.iso.datetime(),
  /** Where the bundle came from, in the words of its sender. */
  source: z.string().optional(),
  /** The label of the token with which it was installed. */
  by: z.string(),
  /** The version that it displaced. The chain of these is the order of versions, not a clock. */
  replaced: stampSchema.nullable(),
});
export type Marker = z.infer<typeof markerSchema>;

/** The fields of a marker of a newer format that are understood. They are enough to admit it (rule 17). */
const newerSchema = z.looseObject({
  version: z.number().int().min(2),
  plugin: pluginNameSchema,
  installId: stampSchema,
});

export type MarkerReading =
  | { kind: 'full'; marker: Marker }
  /** An operator's `touch`: complete, but the version is not known. */
  | { kind: 'empty' }
  | { kind: 'newer'; plugin: string; installId: string }
  | { kind: 'invalid'; why: string };

/** Reads a marker's text. White space alone is not a `touch` but a torn write, so it is invalid. */
export function readMarker(text: string): MarkerReading {
  if (text.length === 0) {
    return { kind: 'empty' };
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { kind: 'invalid', why: 'it is not JSON' };
  }
  const full = markerSchema.safeParse(json);
  if (full.success) {
    return { kind: 'full', marker: full.data };
  }
  const newer = newerSchema.safeParse(json);
  if (newer.success) {
    return { kind: 'newer', plugin: newer.data.plugin, installId: newer.data.installId };
  }
  return { kind: 'invalid', why: schemaErrorOf(full.error) };
}

/** The marker's text: one line and a newline, so that `cat` prints it well. */
export const writeMarker = (marker: Marker): string => `${JSON.stringify(marker)}\n`;
