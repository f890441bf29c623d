/** `airlock status`: shows how the root is used, which operations run, and what an operator has to repair. */
import type { Status } from '../../shared/api/maintenance.ts';
import {
  DURABILITY,
  RESTART_LEFT,
  SWAPS,
  WATCHES,
  dialText,
  isRestartLeft,
  needOf,
  restartTexts,
} from '../../shared/api/status-text.ts';
import { type Context, EXIT } from '../command.ts';
import { methodCommand, rowOf } from '../method-command.ts';
import { type Paint, plural, safe } from '../render.ts';

export const command = methodCommand('status', rowOf('status', 'status'), {
  text: textOf,
  exit: (status) => (needOf(status).isCalm ? EXIT.done : EXIT.failed),
});

const LOCKS = { flock: 'flock', record: 'lock records' };

const watchLines = (watch: Status['watch']): string[] =>
  watch === undefined
    ? []
    : [
        `  watch       ${WATCHES[watch.mode]}`,
        ...watch.notices.map((notice) => `              ${safe(notice)}`),
      ];

const dialLines = ({ dial }: Status): string[] => {
  if (dial === undefined || dial === null) return [];
  const { state, last } = dial;
  return [
    `  platform    ${safe(dialText(dial))}`,
    ...(last === null || state === 'connected'
      ? []
      : [`              ${safe(last.why)}`, `              what to do: ${safe(last.hint)}`]),
  ];
};

const restartLines = ({ restart }: Status): string[] => {
  if (restart === undefined || restart === null) return [];
  const [by = '', ...last] = restartTexts(restart);
  return [`  restarts    ${by}`, ...last.map((text) => `              ${safe(text)}`)];
};

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
    ...(status.blocked === undefined ? [] : [`  what to do: ${safe(status.blocked.todo)}`]),
    `${paint('bold', safe(root))}${agent === undefined ? '' : ` served by an agent ${safe(agent)}`}`,
    `  swaps       ${SWAPS[swap]}`,
    `  durability  ${DURABILITY[durability]}`,
    `  locks       ${LOCKS[locks]}`,
    ...watchLines(watch),
    ...dialLines(status),
    ...restartLines(status),
    `  plugins     ${plugins.admitted} admitted, ${plugins.refused} refused${plugins.refused === 0 ? '' : '; see "airlock list"'}`,
    ...waitLines(status),
    ...(isDoubtful(status)
      ? ['  more        "airlock doctor" says what follows from this and what to do']
      : []),
    ...operations.items.map(
      ({ plugin, operationId }) => `  under way   ${safe(plugin)} (${safe(operationId)})`,
    ),
    ...troubles.items.flatMap(({ plugin, at, operationId, what, todo }) => [
      `${paint('red', safe(plugin))}: ${safe(what)} (${at}, operation ${safe(operationId)})`,
      `  what to do: ${safe(todo)}`,
    ]),
    ...(troubles.total > troubles.items.length
      ? [`and ${troubles.total - troubles.items.length} more; see "airlock list"`]
      : []),
    ...(isRestartLeft(status) ? [RESTART_LEFT.what, `  what to do: ${RESTART_LEFT.todo}`] : []),
  ].join('\n');
}

/** Whether there is something that a doctor explains and a status does not. */
const isDoubtful = (status: Status): boolean =>
  status.blocked !== undefined ||
  status.troubles.total > 0 ||
  status.plugins.refused > 0 ||
  status.swap === 'rename' ||
  status.durability === 'none' ||
  status.locks === 'record' ||
  status.watch?.mode === 'polling' ||
  status.watch?.mode === 'failed' ||
  status.dial?.state === 'waiting';

/** The first line: whether somebody has to act. */
function firstLine(status: Status, paint: Paint): string {
  const { isCalm, text } = needOf(status);
  return paint(isCalm ? 'green' : 'red', safe(text));
}
