/** `airlock uninstall`: a plugin goes; a rollback brings it back while its snapshot is kept. */
import type { Uninstalled } from '../../client/index.ts';
import { type Command, type Context, EXIT } from '../command.ts';
import { reloadText, safe } from '../render.ts';
import { CHANGE_OPTIONS, CHANGE_SETTINGS, change, pluginChange } from '../work.ts';

export const command: Command = {
  name: 'uninstall',
  summary: 'remove a plugin; it is kept as a snapshot for a while, and a rollback brings it back',
  positionals: '<name>',
  count: { min: 1, max: 1 },
  settings: CHANGE_SETTINGS,
  options: {
    ...CHANGE_OPTIONS,
    purge: { type: 'boolean', help: 'also remove what the plugin has written for itself' },
  },
  examples: [
    'airlock uninstall my-plugin --to ws://127.0.0.1:7423',
    'airlock uninstall my-plugin --root /configs/plugins --purge',
  ],
  async run(context) {
    const purge = context.given.booleans['purge'] === true ? { purge: true } : {};
    const removed = await change(context, 'plugin.uninstall', { ...pluginChange(context), ...purge });
    context.output.result(removed, () => sentence(removed, context));
    return EXIT.done;
  },
};

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
