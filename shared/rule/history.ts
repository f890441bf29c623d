/** What a history says by itself: whether its lines follow each other, and which version is live after them. Pure. */
import { HISTORY_KEPT, type HistoryLine, type HistoryVersion, lineDigest } from '../format/history.ts';

/** One thing that is wrong with a history. */
export type HistoryFinding = {
  /** The number of the line; absent: it is about all of them, or the line has none. */
  line?: number | undefined;
  what: string;
};

/** A line as it was written, and its content; undefined if it is no line. */
export type HistoryRead = { text: string; line: HistoryLine | undefined };

/**
 * Where the chain is broken: lines that were edited, removed, added or moved after they were written. A change of the last
 * line, and one that rewrites all lines after it too, cannot be seen in the lines alone.
 */
export function chainFindings(plugin: string, read: readonly HistoryRead[]): HistoryFinding[] {
  return read.flatMap(({ line }, i): HistoryFinding[] => {
    if (line === undefined) {
      return [{ what: `Line ${i + 1} of the file is not a line of a history` }];
    }
    const foreign =
      line.plugin === plugin
        ? []
        : [{ line: line.seq, what: `Line ${line.seq} was written for another plugin, "${line.plugin}"` }];
    const before = read[i - 1];
    return [
      ...foreign,
      ...(before === undefined ? beginning(line, read.length) : following(before, line, i)),
    ];
  });
}

function beginning({ seq, before }: HistoryLine, length: number): HistoryFinding[] {
  if (seq > 1 && length < HISTORY_KEPT) {
    const what = `The history begins with line ${seq}: the lines before it are missing (an agent cuts a history, but leaves ${HISTORY_KEPT} lines)`;
    return [{ line: seq, what }];
  }
  return (seq === 1) === (before === null)
    ? []
    : [{ line: seq, what: `Line ${seq} is the first one, but does not say so: it was changed` }];
}

function following(
  { text, line: last }: HistoryRead,
  { seq, before }: HistoryLine,
  index: number,
): HistoryFinding[] {
  if (last !== undefined && seq !== last.seq + 1) {
    const what =
      seq > last.seq + 1
        ? `Line ${seq} follows line ${last.seq}: ${seq - last.seq - 1} between them are missing`
        : `Line ${seq} follows line ${last.seq}: they are not in the order in which they were written`;
    return [{ line: seq, what }];
  }
  return before === lineDigest(text)
    ? []
    : [
        {
          line: seq,
          what: `Line ${seq} does not fit the line before it (line ${index} of the file): that one was changed after it was written`,
        },
      ];
}

/** The version that is live after some lines (null: none), and the number of the line that says so. */
export type HistoryLive = { line: number; version: HistoryVersion | null };

/** Which version is live after these lines; undefined if they do not tell. */
export function liveAfter(lines: readonly HistoryLine[]): HistoryLive | undefined {
  const done = new Set<string>();
  let live: HistoryLive | undefined;
  for (const { seq, outcome, code, stamp, from, to } of lines) {
    if (outcome === 'done' && to !== undefined) {
      live = { line: seq, version: to };
      if (stamp !== undefined) {
        done.add(stamp);
      }
    } else if (outcome === 'undone' && from !== undefined && (live === undefined || done.has(stamp ?? ''))) {
      live = { line: seq, version: from };
    } else if (code === 'ROLLBACK_FAILED') {
      // Neither the change nor its undoing has succeeded.
      live = undefined;
    }
  }
  return live;
}
