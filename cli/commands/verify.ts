/** `airlock verify`: is what lies there what was installed, byte for byte? */
import { verifyPlugins } from '../../client/index.ts';
import type { Verification } from '../../shared/api/plugin.ts';
import { settingsOf } from '../../shared/api/setting.ts';
import { settings } from '../../shared/api/settings.ts';
import { type Command, type Context, EXIT } from '../command.ts';
import { checkName } from '../reach.ts';
import { safe } from '../render.ts';
import { withCaller } from '../work.ts';

export const command: Command = {
  name: 'verify',
  summary: 'hash what is installed and compare it with what was installed',
  positionals: '[name]',
  count: { min: 0, max: 1 },
  settings: settingsOf(settings, 'client', 'loader'),
  options: {},
  examples: ['airlock verify my-plugin --to ws://127.0.0.1:7423', 'airlock verify --root /configs/plugins'],
  async run(context) {
    const { output, given, signal } = context;
    const { positionals } = given;
    positionals.forEach(checkName);
    const found = await withCaller(context, (caller) =>
      verifyPlugins(caller, positionals.length === 0 ? 'all' : positionals, { signal }),
    );
    output.result(positionals.length === 1 ? found[0] : found, () => textOf(found, context));
    return found.every(({ verdict }) => verdict === 'intact' || verdict === 'unknown')
      ? EXIT.done
      : EXIT.failed;
  },
};

function textOf(lines: readonly Verification[], { output: { paint } }: Context): string {
  if (lines.length === 0) {
    return 'There are no plugins';
  }
  return lines
    .flatMap(({ plugin, verdict, detail, hint }) => [
      `${paint(verdict === 'intact' ? 'green' : 'yellow', verdict.padEnd(8))}  ${safe(plugin)}${detail === undefined ? '' : `: ${safe(detail)}`}`,
      ...(hint === undefined ? [] : [`          what to do: ${safe(hint)}`]),
    ])
    .join('\n');
}
