/** `airlock uninstall`: removes a plugin. A rollback brings it back while its snapshot is kept. */
import type { Uninstalled } from '../../client/index.ts';
import type { Context } from '../command.ts';
import { methodCommand, rowOf } from '../method-command.ts';
import { reloadText, safe } from '../render.ts';

export const command = methodCommand('plugin.uninstall', rowOf('plugin.uninstall', 'uninstall'), {
  examples: [
    'airlock uninstall my-plugin --to ws://127.0.0.1:7423',
    'airlock uninstall my-plugin --root /configs/plugins --purge',
  ],
  notes: ({ warnings }) => warnings?.items.map((warning) => `warning: ${safe(warning)}`) ?? [],
  text: sentence,
});

/** More parts of a kind are counted. */
const NAMED_MAX = 10;

function sentence(uninstalled: Uninstalled, { output: { paint } }: Context): string {
  const { plugin, status, installId, purged, reload } = uninstalled;
  if (status === 'absent') {
    const data = purged ? '; its data is gone' : '';
    return `${paint('yellow', 'absent')}  There is no ${safe(plugin)} here${data}`;
  }
  const data = purged ? ', and so is its data' : '';
  const last = `${paint('green', 'removed')}  ${safe(plugin)} is gone (it was ${installId ?? 'a version without an id'}${reloadText(reload)})${data}`;
  return [...partLines(uninstalled), last].join('\n');
}

/** What the plugin had, a line for each kind. */
function partLines({ skills, rules, hooks }: Uninstalled): string[] {
  return Object.entries({ skills, rules, hooks }).flatMap(([kind, list]) => {
    if (list === undefined || list.total === 0) return [];
    const shown = list.items.slice(0, NAMED_MAX).map(safe);
    const left = list.total - shown.length;
    return `  ${kind.padEnd(8)}${shown.join(', ')}${left > 0 ? ` and ${left} more` : ''}`;
  });
}
