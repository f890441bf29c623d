/** Decides whether the agent is ready to take an install, and says why not. Pure. */
import type { Readiness, ReadinessCheck, Status } from '../../shared/api/maintenance.ts';
import type { Recently } from './recent.ts';
import { type RootHealth, blockedBy } from './root-health.ts';

/** What readiness depends on. */
export type ReadinessFacts = Pick<Status, 'watch' | 'dial' | 'restart'> & {
  draining: boolean;
  root: Recently<RootHealth>;
  /** What the last recovery or sweep has left undone. */
  unrecovered: string | undefined;
};

type Outcome = Omit<ReadinessCheck, 'check'>;
const PASS: Outcome = { status: 'pass' };
const warn = (detail: string, hint: string): Outcome => ({ status: 'warn', detail, hint });
const fail = (detail: string, hint: string): Outcome => ({ status: 'fail', detail, hint });

const CHECKS: Readonly<Record<ReadinessCheck['check'], (facts: ReadinessFacts) => Outcome>> = {
  draining: ({ draining }) =>
    draining ? fail('The agent is shutting down', 'Ask again when the next one listens') : PASS,
  root: ({ root }) => rootCheck(root),
  recovery: ({ unrecovered }) =>
    unrecovered === undefined
      ? PASS
      : warn(
          unrecovered,
          'See "airlock status" and the log of the agent; every operation recovers its own plugin first',
        ),
  watch: ({ watch }) => {
    if (watch?.mode === 'failed') {
      return warn(
        'The watcher has failed: edits by hand are not reported',
        'It is started again; see "airlock status"',
      );
    }
    const last = watch?.mode === 'on' ? watch.notices.at(-1) : undefined;
    return last === undefined ? PASS : warn(last, 'See "watch" in "airlock status"');
  },
  restart: ({ restart }) =>
    restart?.last?.ok === false
      ? warn(
          `The restart command ended badly: ${restart.last.how}`,
          'See the log of the agent; restart the runtime, then say so with "airlock restarted"',
        )
      : PASS,
  dial: ({ dial }) =>
    dial === null || dial === undefined || dial.state === 'connected'
      ? PASS
      : warn(
          `The agent is not connected to the platform: ${dial.last?.why ?? 'it connects'}`,
          dial.last?.hint ?? 'Wait a moment',
        ),
};

function rootCheck(health: Recently<RootHealth>): Outcome {
  const blocked = blockedBy(health);
  return blocked === undefined ? PASS : fail(blocked.what, blocked.todo);
}

/** One check that fails makes the agent not ready. Warnings do not: installs work. */
export function readinessOf(facts: ReadinessFacts): Readiness {
  const checks = Object.entries(CHECKS).map(([check, judge]) => ({
    check: check as ReadinessCheck['check'],
    ...judge(facts),
  }));
  return { status: checks.some(({ status }) => status === 'fail') ? 'not ok' : 'ok', checks };
}
