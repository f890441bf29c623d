/** `airlock pull`: lets the agent, or this process, fetch a bundle and install it. */
import type { Installed } from '../../client/index.ts';
import { settingsOf } from '../../shared/api/setting.ts';
import { settings } from '../../shared/api/settings.ts';
import type { Context } from '../command.ts';
import { methodCommand, rowOf } from '../method-command.ts';
import { bytes, plural, reloadText, replacedText, safe } from '../render.ts';

export const command = methodCommand('plugin.pull', rowOf('plugin.pull', 'pull'), {
  settings: settingsOf(settings, 'client', 'work', 'pull'),
  examples: [
    'airlock pull my-plugin https://plugins.example.com/my-plugin-1.2.0.tgz --to ws://127.0.0.1:7423',
    'airlock pull my-plugin https://plugins.example.com/my-plugin-1.2.0.tgz --root /configs/plugins',
  ],
  notes: ({ warnings }) => warnings.items.map((warning) => `warning: ${safe(warning)}`),
  text: sentence,
});

function sentence(installed: Installed, { output: { paint } }: Context): string {
  const { status, plugin, pluginVersion, installId, files, bytes: size, reload } = installed;
  const what = `${safe(plugin)} ${safe(pluginVersion)}`;
  const about = `${plural(files, 'file')}, ${bytes(size)}, ${installId}`;
  return status === 'present'
    ? `${paint('green', 'present')}  ${what} was there already (${about})`
    : `${paint('green', 'pulled')}  ${what}${replacedText(installed)} (${about}${reloadText(reload)})`;
}
