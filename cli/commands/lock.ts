/** `airlock lock`: writes the plugins of an agent or a root into a lock file. */
import { askReconcile, changeLock, type Declared, type Reconciled } from '../../client/index.ts';
import { declare } from '../../shared/format/lock-file.ts';
import { type Command, type Context, EXIT } from '../command.ts';
import { plural, safe } from '../render.ts';
import { CHANGE_SETTINGS, withCaller } from '../work.ts';

const { to: _to, root: _root, ...others } = CHANGE_SETTINGS;

export const command: Command = {
  name: 'lock',
  summary: 'write the plugins of an agent or a root into a lock file, one a line',
  positionals: '[file]',
  count: { min: 0, max: 1 },
  settings: others,
  options: {
    from: {
      type: 'string',
      value: 'url|dir',
      help: 'the URL of an agent, or a root; default: AIRLOCK_URL, else AIRLOCK_ROOT',
    },
  },
  examples: [
    'airlock lock --from ws://127.0.0.1:7423',
    'airlock lock --from /configs/plugins plugins/airlock.lock',
  ],
  async run(context) {
    const { given, output, signal } = context;
    const [file = 'airlock.lock'] = given.positionals;
    const rows = await withCaller(reaching(context), (caller) =>
      // Nothing is declared, so everything is listed, with its marker.
      askReconcile(caller, { declared: [], mode: 'plan' }, { signal }),
    );
    const plugins: Declared[] = [];
    const leftOut: string[] = [];
    for (const row of rows) {
      const { name, detail } = row;
      const one = declaredOf(row);
      if (one === undefined) {
        leftOut.push(name);
        output.note(`${safe(name)} is left out: ${safe(detail ?? 'no marker says what it is')}`);
      } else {
        plugins.push(one);
        // The file says what was installed.
        if (detail !== undefined) output.note(`${safe(name)}: ${safe(detail)}`);
      }
    }
    const changed = await changeLock(file, () => plugins);
    const said = { file, plugins: plugins.length, changed, leftOut };
    output.result(said, () => {
      const what = `${plural(plugins.length, 'plugin')} in ${safe(file)}`;
      const rest = leftOut.length === 0 ? '' : `, ${leftOut.length} left out`;
      return `${output.paint('green', changed ? 'locked' : 'unchanged')}  ${what}${rest}`;
    });
    return leftOut.length === 0 ? EXIT.done : EXIT.failed;
  },
};

/** `--from` is the `--to` or the `--root` of other commands. */
function reaching(context: Context): Context {
  const { given } = context;
  const { from } = given.strings;
  if (from === undefined) return context;
  const place = /^wss?(?:\+unix)?:/i.test(from) ? { to: from } : { root: from };
  return { ...context, given: { ...given, settings: { ...given.settings, ...place } } };
}

/** The line of a plugin; undefined if no marker says what its files are. */
const declaredOf = ({ name, ...live }: Reconciled): Declared | undefined =>
  live.tree === undefined ? undefined : declare(name, live);
