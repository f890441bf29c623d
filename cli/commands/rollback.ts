/** `airlock rollback`: brings the previous version back. */
import type { Installed } from '../../client/index.ts';
import type { Context } from '../command.ts';
import { methodCommand, rowOf } from '../method-command.ts';
import { plural, reloadText, replacedText, safe } from '../render.ts';

export const command = methodCommand('plugin.rollback', rowOf('plugin.rollback', 'rollback'), {
  notes: ({ warnings }) => warnings.items.map((warning) => `warning: ${safe(warning)}`),
  text: sentence,
});

function sentence(installed: Installed, { output: { paint } }: Context): string {
  const { plugin, pluginVersion, installId, files, replaced, reload } = installed;
  const gone = replaced === null ? '' : `, instead of ${replaced}`;
  const before = replacedText(installed);
  return `${paint('green', 'rolled back')}  ${safe(plugin)} ${safe(pluginVersion)} is live again${before} (${plural(files, 'file')}, ${installId}${gone}${reloadText(reload)})`;
}
