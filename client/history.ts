/** Reads who did what to the plugins of an agent. */
import type { Caller } from '../shared/api/caller.ts';
import { Fault } from '../shared/api/fault.ts';
import type { Params, Result } from '../shared/api/methods.ts';
import { type HistoryLine, historyLineSchema } from '../shared/format/history.ts';
import { linesOf } from './list.ts';

/** The newest lines, the newest last, and what is to be said of each history as a whole. */
export type PluginHistory = Omit<Result<'plugin.history'>, 'lines' | 'stream'> & {
  lines: HistoryLine[];
  /** The number of all lines. */
  total: number;
};

const LINES = 100;

/**
 * The history of a plugin, or of all.
 *
 * @param wanted as in `plugin.history`; `limit` is 100 by default.
 * @throws Fault as `request`.
 */
export async function readHistory(
  caller: Caller,
  wanted: Params<'plugin.history'> = {},
  options: { signal?: AbortSignal | undefined } = {},
): Promise<PluginHistory> {
  const asked = { ...wanted, limit: wanted.limit ?? LINES };
  const { lines, stream, ...rest } = await caller.call('plugin.history', asked, options);
  if (stream === undefined) {
    return { ...rest, lines: lines.items, total: lines.total };
  }
  const all: HistoryLine[] = [];
  for await (const line of linesOf(caller.receive(stream))) {
    all.push(readLine(line));
  }
  return { ...rest, lines: all, total: lines.total };
}

function readLine(line: string): HistoryLine {
  try {
    return historyLineSchema.parse(JSON.parse(line));
  } catch (error) {
    throw new Fault('INTERNAL', 'A line of the history cannot be understood', { cause: error });
  }
}
