/** Whether a lost connection is worth another try, and how long to wait before it. */
import type { Fault, FaultCode } from '../shared/api/fault.ts';
import type { Backoff } from '../shared/rule/retry.ts';

/** The pauses of a push that waits for its answer. */
export const PUSH_BACKOFF: Backoff = { first: 500, most: 8000 };
/** The pauses of a client that follows the events of an agent. */
export const FOLLOW_BACKOFF: Backoff = { first: 1000, most: 15_000 };

/** The most seconds that the word of an agent or a proxy makes a client wait. */
const RETRY_AFTER_MAX = 60;

/** The milliseconds for which the other side wants to be left alone. */
export const retryAfterOf = ({ retryAfter = 0 }: Fault): number =>
  Math.min(retryAfter, RETRY_AFTER_MAX) * 1000;

/** Whether it is unknown if the agent runs: the connection failed, and no other program answered. */
export const isUnreachable = ({ code, retry }: Fault): boolean => code === 'UNREACHABLE' && retry !== 'never';

/** Whether the agent has asked to come again later: it restarts, or too many clients come at once. */
export const isToldToWait = ({ code, retry }: Fault): boolean =>
  retry !== 'never' && (code === 'DRAINING' || code === 'RATE_LIMITED');

/** Refusals of an upload that the agent takes again: it was given up, forgotten, or taken over by another connection. */
const BEGIN_AGAIN: ReadonlySet<FaultCode> = new Set<FaultCode>(['DEADLINE', 'NOT_FOUND', 'CONFLICT']);

const isToBeginAgain = ({ code, retry, executed }: Fault): boolean =>
  BEGIN_AGAIN.has(code) && retry === 'same' && executed === 'no';

/**
 * Whether a push may succeed if it connects again.
 *
 * @param reached the agent was reached before. Then an answer by another program is temporary: while the agent restarts,
 *   a proxy may answer in its place.
 */
export const mayReconnect = (fault: Fault, reached: boolean): boolean =>
  (reached ? fault.code === 'UNREACHABLE' : isUnreachable(fault)) ||
  isToldToWait(fault) ||
  isToBeginAgain(fault);

/**
 * The same for a client that has reached the agent before. While the agent restarts, a proxy may answer in its place, so
 * an answer by another program is temporary too.
 */
export const mayFollowAgain = ({ code, retry }: Fault): boolean =>
  retry !== 'never' || code === 'UNREACHABLE';

export const isAborted = (signal: AbortSignal | undefined): boolean => signal?.aborted === true;
