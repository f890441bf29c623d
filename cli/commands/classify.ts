/** `airlock classify`: says whether a push would need a restart, and why, without installing anything. */
import { type Reload, classify, listDirectory } from '../../client/index.ts';
import { readSettings, settingsOf } from '../../shared/api/setting.ts';
import { settings } from '../../shared/api/settings.ts';
import { type Command, type Context, EXIT, NAME_OPTION } from '../command.ts';
import { packNotes, reasonText, safe } from '../render.ts';
import { CHANGE_SETTINGS, withCaller } from '../work.ts';

/** The most reasons that are shown to people. */
const SHOWN_MAX = 20;

export const command: Command = {
  name: 'classify',
  summary: 'say whether pushing a directory or a zip would need a restart, and why; nothing is installed',
  positionals: '<dir|zip>',
  count: { min: 1, max: 1 },
  settings: CHANGE_SETTINGS,
  options: {
    name: NAME_OPTION,
  },
  examples: [
    'airlock classify ./my-plugin --to ws://127.0.0.1:7423',
    'airlock classify ./my-plugin --root /configs/plugins --json',
  ],
  async run(context) {
    const { given, env, signal, output } = context;
    const [directory = ''] = given.positionals;
    const { ignore, manifest } = readSettings(settingsOf(settings, 'pack'), given.settings, env);
    const { name } = given.strings;
    const listed = await listDirectory(directory, { name, ignore, manifest, signal });
    const { plugin, secrets } = listed;
    for (const note of packNotes(listed)) output.note(note);
    for (const path of secrets) {
      output.note(
        `${safe(path)} looks like a secret: a push takes it only with --allow-secret ${safe(path)}`,
      );
    }
    const reload = await withCaller(context, (caller) => classify(caller, listed, { signal }));
    output.result({ plugin, ...reload }, () => textOf(plugin, reload, context));
    return EXIT.done;
  },
};

const WORDS = {
  none: 'nothing would change',
  hot: 'only skills would change: no restart is needed',
  restart: 'the runtime would have to be restarted',
} as const;

function textOf(plugin: string, { kind, action, reasons }: Reload, { output: { paint } }: Context): string {
  const lines = reasons.items
    .slice(0, SHOWN_MAX)
    .map((reason) => `  ${reason.change.padEnd(8)}  ${safe(reasonText(reason))}`);
  const more = reasons.total - lines.length;
  return [
    `${paint(action === 'restart' ? 'yellow' : 'green', kind)}  ${safe(plugin)}: ${WORDS[action]}`,
    ...lines,
    ...(more > 0 ? [`  and ${more} more`] : []),
  ].join('\n');
}
