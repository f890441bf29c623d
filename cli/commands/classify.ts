/** `airlock classify`: says whether a push would need a restart, and why, without installing anything. */
import { classify, listDirectory } from '../../client/index.ts';
import { readSettings, settingsOf } from '../../shared/api/setting.ts';
import { settings } from '../../shared/api/settings.ts';
import { type Command, EXIT, NAME_OPTION } from '../command.ts';
import { packNotes, safe } from '../render.ts';
import { verdictText } from '../verdict.ts';
import { CHANGE_SETTINGS, withCaller } from '../work.ts';

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
    output.result({ plugin, ...reload }, () => verdictText(plugin, reload, output.paint));
    return EXIT.done;
  },
};
