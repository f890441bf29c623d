/** `airlock list`: the plugins as the gate sees them. */
import { listPlugins } from '../../client/index.ts';
import type { PluginInfo } from '../../shared/api/plugin.ts';
import { isExplained, pluginNotes } from '../../shared/api/plugin-text.ts';
import { methods } from '../../shared/api/methods.ts';
import { settingsOf } from '../../shared/api/setting.ts';
import { settings } from '../../shared/api/settings.ts';
import { type Command, type Context, EXIT } from '../command.ts';
import { readOptions } from '../method-command.ts';
import { type Paint, bytes, plural, safe, table } from '../render.ts';
import { withCaller } from '../work.ts';

const { mode, verify } = methods['plugin.list'].params.shape;

export const command: Command = {
  name: 'list',
  summary: 'show the plugins, admitted and refused, with the reason and what to do',
  positionals: '',
  count: { min: 0, max: 0 },
  settings: settingsOf(settings, 'client', 'loader'),
  options: {
    mode: { type: 'string', value: 'enforce|warn', help: mode.description ?? '' },
    verify: { type: 'string', value: 'marker|stat|digest', help: verify.description ?? '' },
  },
  examples: ['airlock list --to ws://127.0.0.1:7423', 'airlock list --root /configs/plugins --json'],
  async run(context) {
    const { output, given, signal } = context;
    const gate = readOptions('plugin.list', given.strings, 'list');
    const plugins = await withCaller(context, (caller) => listPlugins(caller, { signal }, gate));
    output.result(plugins, () => textOf(plugins, context));
    return EXIT.done;
  },
};

function textOf(plugins: readonly PluginInfo[], { output: { paint } }: Context): string {
  if (plugins.length === 0) {
    return 'There are no plugins';
  }
  const rows = plugins.map(
    ({ name, status, level, reason, version = '', files, bytes: size, installId = '' }) => [
      name,
      version,
      status === 'refused' ? `refused: ${reason ?? ''}` : (level ?? status),
      files === undefined ? '' : String(files),
      size === undefined ? '' : bytes(size),
      installId,
    ],
  );
  const count = (wanted: PluginInfo['status']): number =>
    plugins.filter(({ status }) => status === wanted).length;
  const absent = count('absent');
  const last = `${plural(count('admitted'), 'plugin')} admitted, ${count('refused')} refused${absent === 0 ? '' : `, ${absent} absent`}`;
  const about = [explained, troubled, noted].flatMap((lines) =>
    plugins.flatMap((info) => lines(info, paint)),
  );
  return [table(['NAME', 'VERSION', 'STATUS', 'FILES', 'SIZE', 'INSTALL'], rows, paint), ...about, last].join(
    '\n',
  );
}

/** Why there is nothing of it to be loaded, and what to do; of a trouble, {@link troubled} says it. */
function explained(info: PluginInfo, paint: Paint): string[] {
  const { name, detail = '', hint = '' } = info;
  return isExplained(info)
    ? [`${paint('yellow', safe(name))}: ${safe(detail)}`, `  what to do: ${safe(hint)}`]
    : [];
}

function troubled({ name, trouble }: PluginInfo, paint: Paint): string[] {
  return trouble === undefined
    ? []
    : [`${paint('red', safe(name))}: ${safe(trouble.what)}`, `  what to do: ${safe(trouble.todo)}`];
}

const noted = (info: PluginInfo, paint: Paint): string[] =>
  pluginNotes(info).map((text) => `${paint('yellow', safe(info.name))}: ${safe(text)}`);
