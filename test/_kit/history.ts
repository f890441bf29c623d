/** What a history says, and what must be true of it whenever nothing is under way. */
import { type HistoryLine, readHistoryLine } from '../../shared/format/history.ts';
import { readHistory } from '../../agent/store/history.ts';
import { verifyHistory } from '../../agent/store/verify-history.ts';
import type { Room } from './install-room.ts';

/** The lines of a plugin's history. */
export const linesOf = ({ context }: Room, plugin = 'lint'): HistoryLine[] =>
  readHistory(context, plugin).lines.map((text) => {
    const line = readHistoryLine(text);
    if (line === undefined) throw new Error(`This is no line of a history: ${text}`);
    return line;
  });

/** A line in short: `install A>B by tester: done`, versions by what the plugin says. */
export const inShort = ({ op, by, from, to, outcome, code }: HistoryLine): string => {
  const version = (said: HistoryLine['to']): string => (said === null ? '-' : (said?.version ?? '?'));
  const moved = from === undefined && to === undefined ? '' : ` ${version(from)}>${version(to)}`;
  return `${op}${moved} by ${by}: ${outcome}${code === undefined ? '' : ` ${code}`}`;
};

/** What is wrong with a history, a line each: the chain, the disk, more than one line for the same end of a change. */
export function brokenHistory(room: Room, plugin = 'lint'): string[] {
  const { findings } = verifyHistory(room.context, plugin);
  const ends = linesOf(room, plugin).flatMap(({ stamp, outcome }) =>
    stamp === undefined ? [] : `${stamp} ${outcome}`,
  );
  const twice = ends.filter((end, i) => ends.indexOf(end) !== i);
  return [
    ...(findings?.items ?? []).map(({ what }) => what),
    ...twice.map((end) => `there are two lines for ${end}`),
  ];
}
