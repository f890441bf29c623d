/** `.complete`: its presence in a directory means that the tree is whole. */
import * as z from 'zod';

import { schemaErrorOf } from '../schema-error.ts';
import { digestSchema, pluginNameSchema, stampSchema } from './name.ts';

/** A marker of more bytes than this is not read (the gate's rule 22). */
export const MARKER_MAX_BYTES = 64 * 1024;

export const markerSchema = z.object({
  version: z.literal(1),
  plugin: pluginNameSchema,
  pluginVersion: z.string(),
  installId: stampSchema,
  /** Digest of the archive as it was sent. */
  bundle: digestSchema,
  /** Tree digest of the files. */
  tree: digestSchema,
  files: z.number().int().nonnegative(),
  bytes: z.number().int().nonnegative(),
  installedAt: z.iso.datetime(),
  /** Where the bundle came from, in the words of who sent it. */
  source: z.string().optional(),
  /** The label of the token that installed it. */
  by: z.string(),
  /** What it displaced: the chain of these, never a clock, is the order of versions. */
  replaced: stampSchema.nullable(),
});
export type Marker = z.infer<typeof markerSchema>;

/** Of a marker of a newer format only these are understood, and they suffice to admit (rule 17). */
const newerSchema = z.looseObject({
  version: z.number().int().min(2),
  plugin: pluginNameSchema,
  installId: stampSchema,
});

export type MarkerReading =
  | { kind: 'full'; marker: Marker }
  /** An operator's `touch`: whole, but nobody can say which version. */
  | { kind: 'empty' }
  | { kind: 'newer'; plugin: string; installId: string }
  | { kind: 'invalid'; why: string };

/** Reads a marker's text. White space alone is no operator's `touch` but a torn write, hence invalid. */
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

/** The marker's text. One line and a newline, so that `cat` shows it well. */
export const writeMarker = (marker: Marker): string => `${JSON.stringify(marker)}\n`;
