/** What the status page shows of the disk, cut to what one page can hold. */
import type { PluginInfo } from '../../shared/api/plugin.ts';
import { isExplained, pluginNotes } from '../../shared/api/plugin-text.ts';
import { truncate } from '../../shared/truncate.ts';
import type { Overview, PluginOverview } from '../page/facts.ts';
import type { StoreContext } from '../store/context.ts';
import { listPlugins } from '../store/inspect.ts';
import { listTroubles } from '../store/state.ts';
import { numbersOf } from './measure.ts';

/** The most characters of each text. A manifest may hold as much as it likes. */
const TEXT_MAX = 300;

/** The plugins that need a look first, then by name. It may take long, because it looks at every file. */
export function overviewOf(context: StoreContext): Overview {
  const plugins = listPlugins(context);
  const troubles = listTroubles(context).map((trouble) => ({
    ...trouble,
    what: cut(trouble.what),
    todo: cut(trouble.todo),
  }));
  const list = plugins.toSorted((a, b) => rank(a) - rank(b)).map(shown);
  return { plugins: numbersOf(context, plugins, true), troubles: truncate(troubles), list: truncate(list) };
}

function rank({ status, reason, trouble, drift, pending, held }: PluginInfo): number {
  if (trouble !== undefined) return 0;
  if (status === 'refused' && reason !== 'disabled') return 1;
  return [drift, pending, held].some((noted) => noted !== undefined) ? 2 : 3;
}

function shown(info: PluginInfo): PluginOverview {
  const { name, status, level, reason, version, description, installedAt, by } = info;
  const { trouble, detail = '', hint = '' } = info;
  const notes = [
    ...(trouble === undefined ? [] : [trouble.what]),
    ...(isExplained(info) ? [detail, hint] : []),
    ...pluginNotes(info),
  ];
  return {
    name,
    status,
    level,
    reason,
    version: maybeCut(version),
    description: maybeCut(description),
    installedAt: maybeCut(installedAt),
    by: maybeCut(by),
    notes: notes.filter((note) => note !== '').map(cut),
  };
}

const cut = (text: string): string => (text.length <= TEXT_MAX ? text : `${text.slice(0, TEXT_MAX)}…`);
const maybeCut = (text: string | undefined): string | undefined =>
  text === undefined ? undefined : cut(text);
