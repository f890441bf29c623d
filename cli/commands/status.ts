/** `airlock status`: how a root is worked on, what is under way, and what only an operator can put right. */
import type { RootStatus } from '../../agent/main.ts';
import type { RestartStatus, WatchStatus } from '../../shared/api/maintenance.ts';
import { type Command, type Context, EXIT } from '../command.ts';
import { type Paint, plural, safe } from '../render.ts';
import { CHANGE_SETTINGS, work } from '../work.ts';

type Shown = RootStatus & { agent?: string; watch?: WatchStatus; restart?: RestartStatus | null };

export const command: Command = {
  name: 'status',
  summary: 'how a root is worked on, what is under way, and what only an operator can put right',
  positionals: '',
  count: { min: 0, max: 0 },
  settings: CHANGE_SETTINGS,
  options: {},
  examples: ['airlock status --to ws://127.0.0.1:7423', 'airlock status --root /configs/plugins'],
  async run(context) {
    const status = await work<Shown>(context, {
      remote: (session) => session.request('status', {}, { signal: context.signal }),
      local: (local) => local.status(),
    });
    context.output.result(status, () => textOf(status, context));
    return status.troubles.total === 0 && !isRestartLeft(status) ? EXIT.done : EXIT.failed;
  },
};

const SWAPS = { exchange: 'by exchange, never absent', rename: 'by renames, absent for a moment' };
const DURABILITY = {
  syncfs: 'synced at once',
  fsync: 'synced file by file',
  none: 'NOT synced: a power cut may take what was acknowledged',
};
const LOCKS = { flock: 'flock', record: 'records of who holds what' };

const WATCHES = {
  off: 'edits by hand are not told (AIRLOCK_WATCH)',
  starting: 'begins to',
  on: 'edits by hand are told',
  polling: 'edits by hand are told, by looking again and again (AIRLOCK_WATCH)',
  failed: 'NOT watched: it broke, and is tried again',
};

const watchLines = (watch: Shown['watch']): string[] =>
  watch === undefined
    ? []
    : [
        `  watch       ${WATCHES[watch.mode]}`,
        ...watch.notices.map((notice) => `              ${safe(notice)}`),
      ];

/** What it was to bring in still waits, and the agent does not try again by itself. */
const isRestartLeft = ({ restart, plugins }: Shown): boolean =>
  restart?.state === 'idle' && restart.last?.ok === false && plugins.promised > 0;

const RESTARTS = { idle: '', due: '; it begins in a moment', running: '; it runs just now' };

const restartLines = ({ restart }: Shown): string[] =>
  restart === undefined || restart === null
    ? []
    : [
        `  restarts    by AIRLOCK_RESTART_COMMAND${RESTARTS[restart.state]}`,
        ...(restart.last === null
          ? []
          : [
              `              the last one ${restart.last.ok ? 'ended well' : 'FAILED'} at ${restart.last.endedAt} (${safe(restart.last.how)})`,
            ]),
      ];

/** What `airlock list` tells more of. */
const waitLines = ({ plugins: { pending, drifted } }: Shown): string[] => [
  ...(pending === 0 ? [] : [`  pending     ${plural(pending, 'plugin')}, until the runtime is restarted`]),
  ...(drifted === 0
    ? []
    : [`  drifted     ${plural(drifted, 'plugin')} with files edited in place; see "airlock verify"`]),
];

function textOf(status: Shown, { output: { paint } }: Context): string {
  const { root, agent, swap, durability, locks, watch, operations, plugins, troubles } = status;
  return [
    `${paint('bold', safe(root))}${agent === undefined ? '' : ` served by an agent ${safe(agent)}`}`,
    `  swaps       ${SWAPS[swap]}`,
    `  durability  ${DURABILITY[durability]}`,
    `  locks       ${LOCKS[locks]}`,
    ...watchLines(watch),
    ...restartLines(status),
    `  plugins     ${plugins.admitted} admitted, ${plugins.refused} refused${plugins.refused === 0 ? '' : '; see "airlock list"'}`,
    ...waitLines(status),
    ...operations.items.map(
      ({ plugin, operationId }) => `  under way   ${safe(plugin)} (${safe(operationId)})`,
    ),
    ...troubles.items.flatMap(({ plugin, at, operationId, what, todo }) => [
      `${paint('red', safe(plugin))}: ${safe(what)} (${at}, operation ${safe(operationId)})`,
      `  what to do: ${safe(todo)}`,
    ]),
    ...(isRestartLeft(status)
      ? [
          paint('red', 'The restart command failed, and what it was to bring in still waits'),
          '  what to do: see the log of the agent; restart the runtime, then say so with "airlock restarted"',
        ]
      : []),
    ...lastLine(status, paint),
  ].join('\n');
}

function lastLine(status: Shown, paint: Paint): string[] {
  const { total } = status.troubles;
  if (total > 0) return [paint('red', `${plural(total, 'plugin')} left to you`)];
  return isRestartLeft(status) ? [] : [paint('green', 'Nothing is left to you')];
}
