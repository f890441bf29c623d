/** The history of a plugin: reads it, and adds lines to it. Whoever adds a line holds the plugin's lock. */
import { attempt as tryTo } from '../../shared/attempt.ts';
import { errorCode, Fault } from '../../shared/api/fault.ts';
import {
  HISTORY_KEPT,
  HISTORY_MAX_BYTES,
  HISTORY_MOST,
  historyIn,
  type HistoryLine,
  type HistoryContent,
  type HistoryText,
  type HistoryVersion,
  nextLine,
  readHistoryLine,
} from '../../shared/format/history.ts';
import { appendDurably, putText, readText, syncDirectory, syncFile } from '../disk/record.ts';
import { attempt, type ReadContext, type StoreContext } from './context.ts';
import { makeDirectory } from './prepare.ts';
import { hashFile } from './tree.ts';

/**
 * The lines of a plugin's history; none if there is no file.
 *
 * @throws Fault INTERNAL if the file cannot be read.
 */
export function readHistory({ disk, layout }: ReadContext, plugin: string): HistoryText {
  const reading = readText(disk, layout.historyOf(plugin), HISTORY_MAX_BYTES);
  if (reading.kind === 'unreadable') {
    throw new Fault('INTERNAL', `The history of "${plugin}" cannot be read: ${reading.why}`, {
      hint: `Look at ${layout.historyOf(plugin)}, and move it away if it is damaged: the next operation begins a new one`,
    });
  }
  return reading.kind === 'absent' ? { lines: [], torn: false } : historyIn(reading.text);
}

/** The last line that meets a condition, with its content; undefined if none does. */
export function lastLine(
  { lines }: HistoryText,
  fits: (line: HistoryLine) => boolean,
  mayFit: (text: string) => boolean = () => true,
): HistoryLine | undefined {
  for (const text of lines.toReversed()) {
    const line = mayFit(text) ? readHistoryLine(text) : undefined;
    if (line !== undefined && fits(line)) {
      return line;
    }
  }
  return undefined;
}

/**
 * Adds a line, unless the history says already how that operation has ended. When it returns, the line is durable. It
 * replaces a line that was not written to its end. Throws the errors of the disk.
 *
 * @param contentAfter what the line says, from the history before it; undefined: no line.
 */
function addLine(
  context: StoreContext,
  plugin: string,
  contentAfter: (history: HistoryText) => HistoryContent | undefined,
): void {
  const { disk, layout, now } = context;
  const history = readHistory(context, plugin);
  const { lines, torn } = history;
  const content = contentAfter(history);
  const path = layout.historyOf(plugin);
  if (content !== undefined) {
    const line = nextLine(lines, plugin, now(), content);
    if (lines.length > 0 && !torn && lines.length < HISTORY_MOST) {
      appendDurably(disk, path, `${line}\n`);
    } else {
      const kept = lines.length < HISTORY_MOST ? lines : lines.slice(1 - HISTORY_KEPT);
      putLines(context, plugin, [...kept, line]);
    }
  } else if (lines.length > 0) {
    // A process that was killed may have written the line without a sync.
    syncFile(disk, path);
  } else {
    return;
  }
  // This process or one that was killed may have renamed the file into its place, out of staging.
  for (const directory of [layout.history, layout.staging]) {
    syncDirectory(disk, directory);
  }
}

/** Puts a whole history in place. The directory is made here, so that an agent starts on a disk that is full or read-only. */
function putLines({ disk, layout }: StoreContext, plugin: string, lines: readonly string[]): void {
  makeDirectory(disk, layout.history, 0o755);
  syncDirectory(disk, layout.root);
  const text = lines.map((line) => `${line}\n`).join('');
  putText(disk, layout.staging, plugin, layout.historyOf(plugin), text);
}

/**
 * Adds a line to the history of a plugin. Never throws: an operation does not fail because its history cannot be written.
 *
 * @param contentAfter what the line says, from the history before it; undefined: no line.
 */
export function noteOperation(
  context: StoreContext,
  plugin: string,
  contentAfter: (history: HistoryText) => HistoryContent | undefined,
): void {
  attempt(context, `Writing the history of "${plugin}"`, () => addLine(context, plugin, contentAfter));
}

const HASHED_BYTES = 256 * 1024;

/** The sha256 of the receipt of a version; undefined if it has none. Throws the errors of the disk. */
export function receiptDigest(
  { disk, layout }: ReadContext,
  plugin: string,
  installId: string,
): string | undefined {
  try {
    const { sha256 } = hashFile(disk, layout.receipt(plugin, installId), Buffer.allocUnsafe(HASHED_BYTES));
    return `sha256:${sha256}`;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') {
      return undefined;
    }
    throw error;
  }
}

/** Whether a line tells of a change of what is live. */
export const movesLive = ({ outcome, from, to }: HistoryLine): boolean =>
  (outcome === 'done' && to !== undefined) || (outcome === 'undone' && from !== undefined);

/** Whether a line brought a version to the live place. */
export const bringsLive = (line: HistoryLine): line is HistoryLine & { to: HistoryVersion } =>
  line.outcome === 'done' && line.to !== undefined && line.to !== null;

/**
 * What the receipt of the next version says of the one before: that of the version that it replaces, or, if nothing is
 * live, of the version that was live last. The history has it, so the receipt itself is read only if there is none. Never
 * throws.
 *
 * @param replaced the version that is live; null: none.
 */
export function receiptBefore(
  context: ReadContext,
  plugin: string,
  replaced: string | null,
): { before?: string } {
  const last = tryTo(() => lastLine(readHistory(context, plugin), bringsLive)?.to);
  const isThat = last?.receipt !== undefined && (replaced === null || last.installId === replaced);
  const before =
    isThat || replaced === null ? last?.receipt : tryTo(() => receiptDigest(context, plugin, replaced));
  return before === undefined ? {} : { before };
}
