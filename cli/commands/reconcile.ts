/** `airlock reconcile`: makes an agent or a root have the plugins of a lock file, or says what differs. */
import {
  askReconcile,
  type Declared,
  type Reconciled,
  reconcile,
  reconcileAt,
  type ReconcileOptions,
  type ReconcileResult,
  readLock,
} from '../../client/index.ts';
import { Fault } from '../../shared/api/fault.ts';
import { readSettings } from '../../shared/api/setting.ts';
import { settings } from '../../shared/api/settings.ts';
import { type Command, type Context, EXIT, exitCodeOf } from '../command.ts';
import type { Output } from '../output.ts';
import { mustBeThere, openFor, usesAgent } from '../reach.ts';
import { plural, reloadText, safe } from '../render.ts';
import { CHANGE_SETTINGS, openHere } from '../work.ts';

export const command: Command = {
  name: 'reconcile',
  summary: 'make an agent or a root have the plugins of a lock file, or say what differs',
  positionals: '',
  count: { min: 0, max: 0 },
  settings: CHANGE_SETTINGS,
  options: {
    lock: { type: 'string', value: 'file', help: 'the lock file; see "airlock lock"' },
    bundles: {
      type: 'string',
      value: 'dir',
      help: 'a directory of bundles (*.tgz), found by their digests; without it, plugins are pulled from their sources',
    },
    check: { type: 'boolean', help: 'only say what differs; the exit code is 1 if anything does' },
    repair: { type: 'boolean', help: 'also deliver plugins whose files were edited in place' },
    'no-restart': { type: 'boolean', help: 'suppress the restart' },
  },
  examples: [
    'airlock reconcile --lock airlock.lock --bundles ./bundles --to ws://127.0.0.1:7423',
    'airlock reconcile --lock airlock.lock --check --to ws://127.0.0.1:7423',
    'airlock reconcile --lock airlock.lock --bundles ./bundles --root /configs/plugins',
  ],
  async run(context) {
    const { given, output, signal } = context;
    const file = given.strings['lock'];
    if (file === undefined) {
      throw new Fault('INVALID_PARAMS', 'No lock file is named', {
        hint: 'Add --lock airlock.lock; "airlock lock" writes one',
      });
    }
    const isAgent = usesAgent(context);
    const declared = await readLock(file);
    const check = given.booleans['check'] === true;
    const options: ReconcileOptions = {
      check,
      repair: given.booleans['repair'] === true,
      bundles: given.strings['bundles'],
      ...(given.booleans['no-restart'] === true ? { restart: false } : {}),
      signal,
      onPlugin: (one) => {
        if (!output.json) output.text(lineOf(one, output));
        else if (one.fate === 'failed') output.note(lineOf(one, output));
      },
      onReconnect: ({ message }) => output.note(`${safe(message)}; trying again`),
    };
    const result = isAgent
      ? await reconcile(() => openFor(context), declared, options)
      : await reconcileHere(context, declared, options);
    return conclude(result, check, context);
  },
};

async function reconcileHere(
  context: Context,
  declared: readonly Declared[],
  options: ReconcileOptions,
): Promise<ReconcileResult> {
  if (options.check === true) {
    await mustBeThere(readSettings({ root: settings.root }, context.given.settings, context.env).root);
  }
  const local = await openHere(context);
  try {
    const target = {
      ask: (params: Parameters<typeof askReconcile>[1]) => askReconcile(local, params, options),
      install: (
        bundle: Parameters<typeof local.install>[0],
        { operationId, source, restart }: { operationId: string; source?: string; restart?: boolean },
      ) =>
        local.install(bundle, {
          operationId,
          ...(source === undefined ? {} : { source }),
          ...(restart === undefined ? {} : { restart }),
        }),
    };
    return await reconcileAt(target, declared, options);
  } finally {
    await local.close();
  }
}

/** Prints the result. @returns the exit code. */
function conclude({ plugins, stopped }: ReconcileResult, check: boolean, context: Context): number {
  const { output, signal } = context;
  const differing = plugins.filter((one) => (check ? one.state !== 'present' : !isAsDeclared(one)));
  if (!output.json) {
    // What was done is on the screen already.
    for (const one of check
      ? differing
      : plugins.filter(({ state, fate }) => state !== 'present' && fate === undefined)) {
      output.text(lineOf(one, output));
    }
  }
  const error = stopped === undefined ? {} : { error: stopped.toData() };
  output.result({ plugins, ...countsOf(plugins), ...error }, () => sentenceOf(plugins));
  if (stopped !== undefined) {
    output.fault(stopped, false);
    return exitCodeOf(stopped, signal);
  }
  return differing.length === 0 ? EXIT.done : EXIT.failed;
}

/** Whether a plugin is as the lock file says, now. What the file does not name is reported and stays. */
const isAsDeclared = ({ state, fate }: Reconciled): boolean =>
  fate === undefined ? state === 'present' || state === 'unmanaged' : fate !== 'failed' && fate !== 'wanted';

const WIDTH = 'unmanaged'.length;
const COLOURS = { present: 'green', adopted: 'green', installed: 'green', failed: 'red' } as const;

function lineOf(
  { name, version, state, action, fate, detail, error, reload }: Reconciled,
  output: Output,
): string {
  const word = fate ?? state;
  const colour = COLOURS[word as keyof typeof COLOURS] ?? 'yellow';
  const planned = action === 'none' || fate !== undefined ? [] : [`to ${action}`];
  const was = fate === undefined || fate === 'failed' || fate === 'present' ? [] : [`was ${state}`];
  const why = error === undefined ? [] : [`${safe(error.detail)} (${error.code})`];
  const about = [...planned, ...was, ...(detail === undefined ? [] : [safe(detail)]), ...why].join('; ');
  const live = version === undefined || fate !== undefined ? '' : ` ${safe(version)}`;
  const then = reload === undefined ? '' : reloadText(reload);
  return `${output.paint(colour, word.padEnd(WIDTH))}  ${safe(name)}${live}${about === '' ? '' : `: ${about}`}${then}`;
}

/** How many there are of each fate, or, without one, of each state. */
function countsOf(plugins: readonly Reconciled[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { state, fate } of plugins) {
    const word = fate ?? state;
    counts[word] = (counts[word] ?? 0) + 1;
  }
  return counts;
}

function sentenceOf(plugins: readonly Reconciled[]): string {
  const parts = Object.entries(countsOf(plugins)).map(([word, count]) => `${count} ${word}`);
  return `${plural(plugins.length, 'plugin')}${parts.length === 0 ? '' : `: ${parts.join(', ')}`}`;
}
