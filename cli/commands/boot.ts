/** `airlock boot`: installs the bundles of an image, before the agent starts or beside it. */
import type { Booted } from '../../agent/main.ts';
import { readSettings, settingsOf } from '../../shared/api/setting.ts';
import { settings } from '../../shared/api/settings.ts';
import { Fault } from '../../shared/api/fault.ts';
import { type Command, type Context, EXIT } from '../command.ts';
import { plural, safe } from '../render.ts';
import { openHere } from '../work.ts';

export const command: Command = {
  name: 'boot',
  summary:
    'install the bundles of a directory, each of them once; a plugin that was updated or removed since stays as it is',
  positionals: '[dir]',
  count: { min: 0, max: 1 },
  settings: settingsOf(settings, 'work', 'boot'),
  options: {},
  examples: ['airlock boot /opt/plugins --root /configs/plugins'],
  async run(context) {
    const { given, env, output } = context;
    const directory =
      given.positionals[0] ?? readSettings(settingsOf(settings, 'boot'), given.settings, env).bootFrom;
    if (directory === undefined) {
      throw new Fault('INVALID_PARAMS', 'No directory of bundles is named', {
        hint: 'Name it, or set AIRLOCK_BOOT_FROM',
      });
    }
    const local = await openHere(context);
    try {
      const booted = await local.boot(directory);
      output.result(booted, () => textOf(booted, context));
      return booted.some(({ status }) => status === 'failed') ? EXIT.failed : EXIT.done;
    } finally {
      await local.close();
    }
  },
};

function textOf(booted: readonly Booted[], { output: { paint } }: Context): string {
  const count = (wanted: Booted['status']): number => booted.filter(({ status }) => status === wanted).length;
  const lines = booted.map(({ file, plugin, status, detail, error }) => {
    const colour = status === 'failed' ? 'red' : 'green';
    const hint = error?.hint === undefined ? '' : `; ${error.hint}`;
    return `${paint(colour, status.padEnd(9))}  ${safe(plugin ?? file)}: ${safe(`${detail ?? ''}${hint}`)}`;
  });
  const skipped = count('skipped') === 0 ? '' : `${count('skipped')} skipped, `;
  const last = `${plural(booted.length, 'bundle')}: ${count('installed')} installed, ${count('present') + count('kept')} left as they are, ${skipped}${count('failed')} failed`;
  return [...lines, last].join('\n');
}
