/** `airlock rollback`: brings the previous version back. */
import type { Installed } from '../../client/index.ts';
import type { Context } from '../command.ts';
import { methodCommand, rowOf } from '../method-command.ts';
import { plural, reloadText, safe } from '../render.ts';

export const command = methodCommand('plugin.rollback', rowOf('plugin.rollback', 'rollback'), {
  notes: ({ warnings }) => warnings.items.map((warning) => `warning: ${safe(warning)}`),
  text: sentence,
});

function sentence(installed: Installed, { output: { paint } }: Context): string {
  const { plugin, pluginVersion, installId, files, replaced, replacedVersion, reload } = installed;
  const gone = replacedVersion ?? replaced;
  const instead = gone === null ? '' : `, instead of ${safe(gone)}`;
  return `${paint('green', 'rolled back')}  ${safe(plugin)} ${safe(pluginVersion)} is live again${instead} (${plural(files, 'file')}, ${installId}${reloadText(reload)})`;
}
