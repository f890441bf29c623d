/** A status in words, the same ones on a terminal and on a page. */
import { plural } from '../wording.ts';
import type { Status } from './maintenance.ts';

/** How versions are swapped. */
export const SWAPS = { exchange: 'by exchange, never absent', rename: 'by renames, absent for a moment' };
/** How they are made durable. */
export const DURABILITY = {
  syncfs: 'synced at once',
  fsync: 'synced file by file',
  none: 'NOT synced: a power cut may destroy acknowledged installs',
};

/** Whether edits by hand are reported. */
export const WATCHES = {
  off: 'edits by hand are not reported (AIRLOCK_WATCH)',
  starting: 'starting',
  on: 'edits by hand are reported',
  polling: 'edits by hand are reported, by polling (AIRLOCK_WATCH)',
  failed: 'NOT watched: the watcher failed and is started again',
};

const DIALS = {
  connecting: 'connecting to',
  connected: 'connected to',
  waiting: 'NOT connected to',
};

/** The connection to the platform. */
export function dialText({ state, url, since, next, failures }: NonNullable<Status['dial']>): string {
  const tries = next === null ? '' : `; try ${failures + 1} at ${next}`;
  return `${DIALS[state]} ${url} since ${since}${tries}`;
}

const RESTARTS = { idle: '', due: '; it is about to run', running: '; it is running' };

/** Who restarts the runtime, and how the last restart ended; two lines at most. */
export const restartTexts = ({ state, last }: NonNullable<Status['restart']>): string[] => [
  `by AIRLOCK_RESTART_COMMAND${RESTARTS[state]}`,
  ...(last === null
    ? []
    : [`the last one ${last.ok ? 'ended well' : 'FAILED'} at ${last.endedAt} (${last.how})`]),
];

type Needs = Pick<Status, 'troubles' | 'plugins' | 'restart' | 'blocked'>;

/** What is said of a failed restart command while changes still wait for it, and what to do. */
export const RESTART_LEFT = {
  what: 'The restart command failed, and the changes still wait for a restart',
  todo: 'see the log of the agent; restart the runtime, then say so with "airlock restarted"',
};

/** Whether changes still wait for a failed restart command, which the agent does not repeat by itself. */
export const isRestartLeft = ({ restart, plugins }: Pick<Needs, 'restart' | 'plugins'>): boolean =>
  restart?.state === 'idle' && restart.last?.ok === false && plugins.promised > 0;

/** The first line: whether somebody has to act. */
export function needOf(status: Needs): { isCalm: boolean; text: string } {
  if (status.blocked !== undefined) {
    return { isCalm: false, text: `An operator is needed: ${status.blocked.what}` };
  }
  const { total } = status.troubles;
  if (total > 0) return { isCalm: false, text: `An operator is needed for ${plural(total, 'plugin')}` };
  return isRestartLeft(status)
    ? { isCalm: false, text: 'An operator is needed: the restart command failed' }
    : { isCalm: true, text: 'No operator is needed' };
}
