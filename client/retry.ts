/** Whether a lost connection is worth another try, and how long to wait before it. */
import type { Fault } from '../shared/api/fault.ts';
import type { Backoff } from '../shared/rule/retry.ts';

/** The pauses of a push that waits for its answer. */
export const PUSH_BACKOFF: Backoff = { first: 500, most: 8000 };
/** The pauses of a client that follows the events of an agent. */
export const FOLLOW_BACKOFF: Backoff = { first: 1000, most: 15_000 };

/** Whether it is unknown if the agent runs: the connection failed, and no other program answered. */
export const isUnreachable = ({ code, retry }: Fault): boolean => code === 'UNREACHABLE' && retry !== 'never';

/** Whether another connection may succeed: this one broke, the agent restarts, or too many clients connect at once. */
export const mayReconnect = (fault: Fault): boolean =>
  isUnreachable(fault) ||
  (fault.retry !== 'never' && (fault.code === 'DRAINING' || fault.code === 'RATE_LIMITED'));

/**
 * The same for a client that has reached the agent before. While the agent restarts, a proxy may answer in its place, so
 * an answer by another program is temporary too.
 */
export const mayFollowAgain = ({ code, retry }: Fault): boolean =>
  retry !== 'never' || code === 'UNREACHABLE';

export const isAborted = (signal: AbortSignal | undefined): boolean => signal?.aborted === true;
