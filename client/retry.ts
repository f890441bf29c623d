/** Whether a lost connection is worth another try, and how long to wait before it. */
import type { Fault } from '../shared/api/fault.ts';
import type { Backoff } from '../shared/rule/retry.ts';

/** Of a push that waits for its answer. */
export const PUSH_BACKOFF: Backoff = { first: 500, most: 8000 };
/** Of who follows the events of an agent. */
export const FOLLOW_BACKOFF: Backoff = { first: 1000, most: 15_000 };

/** Whether nobody can tell if the agent runs: the connection failed, and no other program answered. */
export const isUnreachable = ({ code, retry }: Fault): boolean => code === 'UNREACHABLE' && retry !== 'never';

/** Whether another connection may do better: this one broke, the agent restarts, or too many clients connect at once. */
export const mayReconnect = (fault: Fault): boolean =>
  isUnreachable(fault) ||
  (fault.retry !== 'never' && (fault.code === 'DRAINING' || fault.code === 'RATE_LIMITED'));

/**
 * The same for who follows an agent that was reached before. A proxy may answer in its place while the agent restarts, so
 * also another program that answers is temporary.
 */
export const mayFollowAgain = ({ code, retry }: Fault): boolean =>
  retry !== 'never' || code === 'UNREACHABLE';

export const isAborted = (signal: AbortSignal | undefined): boolean => signal?.aborted === true;
