/** Ends an install at the wish of its caller, and says what became of it. */
import { toFault } from '../shared/api/fault.ts';
import type { Fault } from '../shared/api/fault.ts';
import type { Installed } from '../shared/api/plugin.ts';
import { isNotReached } from './reach.ts';
import type { Session } from './session.ts';

/** How long (milliseconds) the agent may take to answer an abort. */
const ABORT_MILLIS = 2500;
/** How long it may take to say how an install has ended that could not be aborted. */
const ANSWER_MILLIS = 5000;

/** What became of an install that its caller does not want any more. */
export type AbortResult = { answer: Installed } | { executed: 'no' | 'maybe'; why?: Fault };

/**
 * Asks the agent to abort an install. If it is too late for that, asks how it has ended. Takes a few seconds at most, and
 * never rejects.
 *
 * @returns undefined if the agent did not answer.
 */
export async function abortInstall(session: Session, operationId: string): Promise<AbortResult | undefined> {
  try {
    const signal = AbortSignal.timeout(ABORT_MILLIS);
    const { aborted } = await session.call('install.abort', { operationId }, { signal });
    if (aborted) return { executed: 'no' };
  } catch {
    return undefined;
  }
  try {
    const signal = AbortSignal.timeout(ANSWER_MILLIS);
    return { answer: await session.call('install.commit', { operationId }, { signal }) };
  } catch (error) {
    const why = toFault(error, 'Asking how the install has ended');
    if (isNotReached(why) || why.code === 'CANCELLED') return { executed: 'maybe' };
    // An agent that does not know the operation has not executed it.
    return { executed: why.executed === 'no' ? 'no' : 'maybe', why };
  }
}
