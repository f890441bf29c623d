/**
 * `.history/<name>.jsonl`: what was done to a plugin, one line for each operation, the oldest first. Each line carries the
 * sha256 of the line before, so a line that is edited, removed or moved later is found.
 */
import { createHash } from 'node:crypto';

import * as z from 'zod';

import { digestSchema, operationIdSchema, pluginNameSchema, stampSchema } from './name.ts';

/** A history is cut to so many lines when it has grown a fifth longer. */
export const HISTORY_KEPT = 1000;
export const HISTORY_MOST = 1200;
/** A larger file is not read. No line is longer than a few kilobytes, because its texts are cut. */
export const HISTORY_MAX_BYTES = 16 * 1024 * 1024;

/** A version as a line names it. */
const historyVersionSchema = z.object({
  /** Null: it has none, or it is not known. */
  installId: stampSchema.nullable(),
  version: z.string().optional(),
  bundle: digestSchema.optional(),
  tree: digestSchema.optional(),
  /** The sha256 of its receipt. */
  receipt: digestSchema.optional(),
});
export type HistoryVersion = z.infer<typeof historyVersionSchema>;

/** What an operation was. `found`: a version was live, or nothing was, and no line told of it. */
export type HistoryOperation =
  | 'install'
  | 'rollback'
  | 'uninstall'
  | 'adopt'
  | 'hold'
  | 'release'
  | 'disable'
  | 'enable'
  | 'found';

/** What a line says of an operation. */
const historyContentSchema = z.object({
  /** See {@link HistoryOperation}; a later version of the agent may write others. */
  op: z.string().max(64),
  operationId: operationIdSchema.optional(),
  /** The label of the caller. */
  by: z.string(),
  /** Of a change: its stamp. Its snapshot has that name. */
  stamp: stampSchema.optional(),
  /** Where the bundle came from, in the words of its sender; perhaps cut. */
  source: z.string().optional(),
  /** The reason of the caller; perhaps cut. */
  why: z.string().optional(),
  /** What was live before, and what was to be live after it; null: nothing. Absent: the operation moves no version. */
  from: historyVersionSchema.nullable().optional(),
  to: historyVersionSchema.nullable().optional(),
  /** `undone`: after a crash. `failed`: it was refused or has failed, with this code. */
  outcome: z.enum(['done', 'undone', 'failed']),
  code: z.string().optional(),
  /** Failures since the line before that have no line of their own. */
  unnoted: z.number().int().positive().optional(),
});
export type HistoryContent = z.infer<typeof historyContentSchema>;

export const historyLineSchema = z.object({
  /** A later version keeps the meaning of these fields. */
  version: z.number().int().min(1),
  /** 1 for the first line, then one more for each. */
  seq: z.number().int().positive(),
  at: z.iso.datetime(),
  plugin: pluginNameSchema,
  ...historyContentSchema.shape,
  /** The sha256 of the line before, with its newline; null: this is the first one. */
  before: digestSchema.nullable(),
});
export type HistoryLine = z.infer<typeof historyLineSchema>;

/** The digest of a line, with its newline: that of `tail -n 1 <file> | sha256sum`. */
export const lineDigest = (line: string): string =>
  `sha256:${createHash('sha256').update(`${line}\n`, 'utf8').digest('hex')}`;

/** The content of a line; undefined if it is none. */
export function readHistoryLine(line: string): HistoryLine | undefined {
  try {
    return historyLineSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

/** The lines of a history, as texts. */
export type HistoryText = {
  lines: string[];
  /** The last line was not written to its end, as after a power cut. It is left out of the lines. */
  torn: boolean;
};

/** Splits the text of a history into its lines. */
export function historyIn(text: string): HistoryText {
  const lines = text.split('\n');
  const rest = lines.pop() ?? '';
  const last = lines.at(-1);
  // Of a line that was not synced, the end may be on the disk and its beginning not.
  const isTorn = last !== undefined && !isObject(last);
  return { lines: isTorn ? lines.slice(0, -1) : lines, torn: isTorn || rest !== '' };
}

function isObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null;
  } catch {
    return false;
  }
}

/** The longest texts of a line, in characters. */
const CUT = { version: 100, by: 128, source: 300, why: 300 } as const;

const cut = (text: string, most: number): string =>
  text.length > most ? `${text.slice(0, most - 1)}…` : text;

/** The texts of a version, cut for a line. */
export const cutVersion = (version: HistoryVersion): HistoryVersion =>
  version.version === undefined ? version : { ...version, version: cut(version.version, CUT.version) };

/**
 * The next line after others.
 *
 * @param lines of which only the last one counts. @param at milliseconds since the epoch.
 */
export function nextLine(lines: readonly string[], plugin: string, at: number, note: HistoryContent): string {
  const last = lines.at(-1);
  const { by, source, why, from, to } = note;
  const line: HistoryLine = {
    version: 1,
    seq: (last === undefined ? 0 : (readHistoryLine(last)?.seq ?? lines.length)) + 1,
    at: new Date(at).toISOString(),
    plugin,
    ...note,
    by: cut(by, CUT.by),
    ...(source === undefined ? {} : { source: cut(source, CUT.source) }),
    ...(why === undefined ? {} : { why: cut(why, CUT.why) }),
    ...(from === undefined ? {} : { from: from && cutVersion(from) }),
    ...(to === undefined ? {} : { to: to && cutVersion(to) }),
    before: last === undefined ? null : lineDigest(last),
  };
  return JSON.stringify(line);
}
