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
  text: sentence,
});

function sentence(
  { plugin, status, installId, purged, reload }: Uninstalled,
  { output: { paint } }: Context,
): string {
  if (status === 'absent') {
    return `${paint('yellow', 'absent')}  There is no ${safe(plugin)} here`;
  }
  const data = purged ? ', and so is its data' : '';
  return `${paint('green', 'removed')}  ${safe(plugin)} is gone (it was ${installId ?? 'a version without an id'}${reloadText(reload)})${data}`;
}
