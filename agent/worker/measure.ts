/** Counts what is on the disk: for a status, and for the metrics. */
import type { Status } from '../../shared/api/maintenance.ts';
import type { PluginInfo } from '../../shared/api/plugin.ts';
import { parseSlotName } from '../../shared/format/name.ts';
import { restartOf } from '../change/runtime-reports.ts';
import type { RootMeasure } from '../metrics/facts.ts';
import type { StoreContext } from '../store/context.ts';
import { listPlugins } from '../store/inspect.ts';
import { unfinishedPlugins } from '../store/staging.ts';
import { listTroubles } from '../store/state.ts';

/** The numbers of plugins. @param drift whether to look for files that were edited in place, which looks at every file. */
export const countPlugins = (context: StoreContext, drift: boolean): Status['plugins'] =>
  numbersOf(context, listPlugins(context, { drift }), drift);

/** The numbers of listed plugins. */
export function numbersOf(
  context: StoreContext,
  plugins: readonly PluginInfo[],
  drift: boolean,
): Status['plugins'] {
  const pending = plugins.filter((plugin) => plugin.pending !== undefined);
  return {
    admitted: plugins.filter(({ status }) => status === 'admitted').length,
    refused: plugins.filter(({ status }) => status === 'refused').length,
    pending: pending.length,
    promised: pending.filter(({ name }) => restartOf(context, name) !== 'none').length,
    ...(drift ? { drifted: plugins.filter((plugin) => plugin.drift !== undefined).length } : {}),
  };
}

/** Everything that is counted. It may take long, because it looks at every file. */
export function measureRoot(context: StoreContext): RootMeasure {
  const { disk, layout } = context;
  const plugins = listPlugins(context);
  return {
    plugins: {
      ...numbersOf(context, plugins, true),
      held: plugins.filter(({ held }) => held !== undefined).length,
      disabled: plugins.filter(({ reason }) => reason === 'disabled').length,
    },
    troubles: listTroubles(context).length,
    snapshots: disk.list(layout.previous).filter(({ name }) => parseSlotName(name) !== undefined).length,
    unfinished: unfinishedPlugins(context).length,
    freeBytes: disk.space(layout.root),
  };
}
