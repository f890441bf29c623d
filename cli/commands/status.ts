/** `airlock status`: shows how the root is used, which operations run, and what an operator has to repair. */
import type { Status } from '../../shared/api/maintenance.ts';
import { type Context, EXIT } from '../command.ts';
import { methodCommand, rowOf } from '../method-command.ts';
import { type Paint, plural, safe } from '../render.ts';

export const command = methodCommand('status', rowOf('status', 'status'), {
  text: textOf,
  exit: (status) => (status.troubles.total === 0 && !isRestartLeft(status) ? EXIT.done : EXIT.failed),
});

const SWAPS = { exchange: 'by exchange, never absent', rename: 'by renames, absent for a moment' };
const DURABILITY = {
  syncfs: 'synced at once',
  fsync: 'synced file by file',
  none: 'NOT synced: a power cut may destroy acknowledged installs',
};
const LOCKS = { flock: 'flock', record: 'lock records' };

const WATCHES = {
  off: 'edits by hand are not reported (AIRLOCK_WATCH)',
  starting: 'starting',
  on: 'edits by hand are reported',
  polling: 'edits by hand are reported, by polling (AIRLOCK_WATCH)',
  failed: 'NOT watched: the watcher failed and is started again',
};

const watchLines = (watch: Status['watch']): string[] =>
  watch === undefined
    ? []
    : [
        `  watch       ${WATCHES[watch.mode]}`,
        ...watch.notices.map((notice) => `              ${safe(notice)}`),
      ];

/** Whether changes still wait for a failed restart command, which the agent does not repeat by itself. */
const isRestartLeft = ({ restart, plugins }: Status): boolean =>
  restart?.state === 'idle' && restart.last?.ok === false && plugins.promised > 0;

const DIALS = {
  connecting: 'connecting to',
  connected: 'connected to',
  waiting: 'NOT connected to',
};

const dialLines = ({ dial }: Status): string[] => {
  if (dial === undefined || dial === null) return [];
  const { state, url, since, next, failures, last } = dial;
  const tries = next === null ? '' : `; try ${failures + 1} at ${next}`;
  return [
    `  platform    ${DIALS[state]} ${safe(url)} since ${since}${tries}`,
    ...(last === null || state === 'connected'
      ? []
      : [`              ${safe(last.why)}`, `              what to do: ${safe(last.hint)}`]),
  ];
};

const RESTARTS = { idle: '', due: '; it is about to run', running: '; it is running' };

const restartLines = ({ restart }: Status): string[] =>
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

/** Counts that `airlock list` shows in detail. */
const waitLines = ({ plugins: { pending, drifted } }: Status): string[] => [
  ...(pending === 0 ? [] : [`  pending     ${plural(pending, 'plugin')}, until the runtime is restarted`]),
  ...(drifted === undefined || drifted === 0
    ? []
    : [`  drifted     ${plural(drifted, 'plugin')} with files edited in place; see "airlock verify"`]),
];

function textOf(status: Status, { output: { paint } }: Context): string {
  const { root, agent, swap, durability, locks, watch, operations, plugins, troubles } = status;
  return [
    firstLine(status, paint),
    `${paint('bold', safe(root))}${agent === undefined ? '' : ` served by an agent ${safe(agent)}`}`,
    `  swaps       ${SWAPS[swap]}`,
    `  durability  ${DURABILITY[durability]}`,
    `  locks       ${LOCKS[locks]}`,
    ...watchLines(watch),
    ...dialLines(status),
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
          'The restart command failed, and the changes still wait for a restart',
          '  what to do: see the log of the agent; restart the runtime, then say so with "airlock restarted"',
        ]
      : []),
  ].join('\n');
}

/** The first line: whether somebody has to act. */
function firstLine(status: Status, paint: Paint): string {
  const { total } = status.troubles;
  if (total > 0) return paint('red', `An operator is needed for ${plural(total, 'plugin')}`);
  return isRestartLeft(status)
    ? paint('red', 'An operator is needed: the restart command failed')
    : paint('green', 'No operator is needed');
}
