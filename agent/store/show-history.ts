/** Answers what was done to plugins: the newest lines of their histories, and whether these are whole. */
import { Fault, toFault } from '../../shared/api/fault.ts';
import type { HistoryInfo } from '../../shared/api/history.ts';
import type { Params, Result } from '../../shared/api/methods.ts';
import { type HistoryLine, readHistoryLine } from '../../shared/format/history.ts';
import { LIST_MAX, firstOf, truncate } from '../../shared/truncate.ts';
import type { ReadContext } from './context.ts';
import { readHistory } from './history.ts';
import { headOf, historyNames, liveNames, verifyHistory } from './verify-history.ts';

type Shown = {
  answer: Omit<Result<'plugin.history'>, 'stream'>;
  /** The requested lines, if they do not fit the answer. */
  lines: HistoryLine[] | undefined;
};

/**
 * The newest lines of one plugin's history or of all, the newest last.
 *
 * @throws Fault NOT_FOUND for a plugin that is not live and has no history; INVALID_PARAMS.
 */
export function showHistory(
  context: ReadContext,
  { plugin, limit, verify, head }: Params<'plugin.history'>,
): Shown {
  if (head !== undefined && plugin === undefined) {
    throw new Fault('INVALID_PARAMS', 'The sha256 of a line is that of one plugin, and none is named', {
      hint: 'Name the plugin',
    });
  }
  const verifies = verify === true || head !== undefined;
  const names = namesOf(context, plugin, verifies);
  const most = limit ?? LIST_MAX;
  let newest: Placed[] = [];
  let total = 0;
  const plugins = names.map((name) => {
    const { info, texts } = readOne(context, name, verifies, head);
    total += texts.length;
    newest.push(...placed(texts.slice(-most)));
    // The lines of many plugins are not kept at once.
    newest = newest.length > 4 * most + LIST_MAX ? newestOf(newest, most) : newest;
    return info;
  });
  const wanted = newestOf(newest, most).flatMap(({ text }) => readHistoryLine(text) ?? []);
  const items = firstOf(wanted.toReversed()).toReversed();
  const isBroken = ({ verdict }: HistoryInfo): number => (verdict === 'broken' ? 0 : 1);
  return {
    answer: {
      lines: { items, total },
      plugins: truncate(plugins.toSorted((a, b) => isBroken(a) - isBroken(b))),
      ...(verifies ? { broken: plugins.filter(({ verdict }) => verdict === 'broken').length } : {}),
    },
    lines: limit !== undefined && items.length < wanted.length ? wanted : undefined,
  };
}

function namesOf(context: ReadContext, plugin: string | undefined, verifies: boolean): string[] {
  const noted = historyNames(context);
  if (plugin === undefined) {
    return verifies ? [...new Set([...noted, ...liveNames(context)])].toSorted() : noted;
  }
  if (!noted.includes(plugin) && !liveNames(context).includes(plugin)) {
    throw new Fault('NOT_FOUND', `There is no plugin "${plugin}" here, and no history of one`, {
      hint: 'List the plugins with plugin.list, or ask for the history of all',
    });
  }
  return [plugin];
}

/** One history that cannot be read does not hide the others. */
function readOne(
  context: ReadContext,
  plugin: string,
  verifies: boolean,
  head: string | undefined,
): { info: HistoryInfo; texts: string[] } {
  try {
    const history = readHistory(context, plugin);
    const { lines } = history;
    const info = verifies
      ? verifyHistory(context, plugin, head)
      : { plugin, lines: lines.length, head: headOf(history) };
    return { info, texts: lines };
  } catch (error) {
    const what = toFault(error, `Reading the history of "${plugin}"`).message;
    return {
      info: { plugin, lines: 0, head: null, verdict: 'broken', findings: truncate([{ what }]), notes: [] },
      texts: [],
    };
  }
}

type Placed = { at: string; text: string };

/**
 * Lines with the times that they say, without reading the rest of them. Where the clock went back, a line gets the time of
 * the one before: within one plugin the order is that of the lines.
 */
function placed(texts: readonly string[]): Placed[] {
  let latest = '';
  return texts.map((text) => {
    const at = /"at":"([^"]*)"/.exec(text)?.[1] ?? '';
    latest = at > latest ? at : latest;
    // A copy: a part of a text keeps all of it in memory.
    return { at: latest, text: Buffer.from(text, 'utf8').toString('utf8') };
  });
}

const newestOf = (lines: readonly Placed[], most: number): Placed[] =>
  lines.toSorted((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0)).slice(-most);
