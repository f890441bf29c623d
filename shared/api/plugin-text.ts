/** A plugin in words, the same ones on a terminal and on a page. */
import { plural, reasonText } from '../wording.ts';
import type { PluginInfo } from './plugin.ts';

/** A change that waits for a restart. */
function pendingText({ at, reasons: { items, total } }: NonNullable<PluginInfo['pending']>): string {
  const [first] = items;
  const which = first === undefined ? '' : `: ${reasonText(first)}`;
  const more = total > 1 ? ` and ${total - 1} more` : '';
  return `the runtime has not loaded the change of ${at}${which}${more}; it waits for a restart`;
}

/** What an operator should know of a plugin besides whether it is admitted, a line each. */
export function pluginNotes({ name, status, drift, held, pending, skipped, trouble }: PluginInfo): string[] {
  const edited =
    drift === undefined ? [] : [`${plural(drift, 'file')} edited in place; see "airlock verify ${name}"`];
  const missing =
    skipped === undefined
      ? []
      : [`${plural(skipped, 'link')} of its bundle ${skipped === 1 ? 'was' : 'were'} left out`];
  const waiting =
    pending === undefined || (status === 'absent' && trouble === undefined) ? [] : [pendingText(pending)];
  const kept = held === undefined ? [] : [`installs are refused unless they are forced: ${held}`];
  return [...edited, ...missing, ...kept, ...waiting];
}

/** Whether there is nothing of it to be loaded for a reason that {@link PluginInfo.detail} says; a trouble says it itself. */
export const isExplained = ({ status, trouble }: Pick<PluginInfo, 'status' | 'trouble'>): boolean =>
  status !== 'admitted' && !(status === 'absent' && trouble !== undefined);
