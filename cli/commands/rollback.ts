/** `airlock rollback`: the version before comes back. */
import type { Installed } from '../../client/index.ts';
import { type Command, type Context, EXIT } from '../command.ts';
import { plural, reloadText, safe } from '../render.ts';
import { CHANGE_OPTIONS, CHANGE_SETTINGS, change, pluginChange } from '../work.ts';

export const command: Command = {
  name: 'rollback',
  summary: 'bring the version before back, or one that is named, and remember what had to go',
  positionals: '<name>',
  count: { min: 1, max: 1 },
  settings: CHANGE_SETTINGS,
  options: {
    version: { type: 'string', value: 'id', help: 'the install that is to come back' },
    ...CHANGE_OPTIONS,
    force: { type: 'boolean', help: 'also where the plugin is held, and to a version without a marker' },
  },
  examples: [
    'airlock rollback my-plugin --to ws://127.0.0.1:7423',
    'airlock rollback my-plugin --root /configs/plugins',
  ],
  async run(context) {
    const { version } = context.given.strings;
    const to = version === undefined ? {} : { to: version };
    const installed = await change(context, 'plugin.rollback', { ...pluginChange(context), ...to });
    for (const warning of installed.warnings.items) context.output.note(`warning: ${safe(warning)}`);
    context.output.result(installed, () => sentence(installed, context));
    return EXIT.done;
  },
};

function sentence(installed: Installed, { output: { paint } }: Context): string {
  const { plugin, pluginVersion, installId, files, replaced, reload } = installed;
  const gone = replaced === null ? '' : `, instead of ${replaced}`;
  return `${paint('green', 'rolled back')}  ${safe(plugin)} ${safe(pluginVersion)} is live again (${plural(files, 'file')}, ${installId}${gone}${reloadText(reload)})`;
}
