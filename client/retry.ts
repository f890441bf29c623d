/** How long to wait before another try. Whether one is worth it says reach.ts. */
import type { Fault } from '../shared/api/fault.ts';
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

export const isAborted = (signal: AbortSignal | undefined): boolean => signal?.aborted === true;
