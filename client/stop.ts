/** Ends an install at the wish of its caller, and says what became of it. */
import { Fault, toFault } from '../shared/api/fault.ts';
import type { Installed } from '../shared/api/plugin.ts';
import type { Session } from './session.ts';

/** How long the agent may take to answer an abort, and then to say how the install has ended. */
const PATIENCE_MILLIS = 5000;

/** What became of an install that its caller does not want any more. `maybe`: nobody has said so in time. */
export type Stopped = { answer: Installed } | { executed: 'no' | 'maybe'; why?: Fault };

/**
 * Asks the agent to abort an install. If it is too late for that, asks how it has ended. Takes a few seconds at most, and
 * never rejects.
 *
 * @param doubt what is known if the agent does not answer.
 */
export async function stopInstall(
  session: Session,
  operationId: string,
  doubt: 'no' | 'maybe',
  patienceMillis = PATIENCE_MILLIS,
): Promise<Stopped> {
  try {
    const signal = AbortSignal.timeout(patienceMillis);
    const { aborted } = await session.call('install.abort', { operationId }, { signal });
    if (aborted) return { executed: 'no' };
  } catch {
    return { executed: doubt };
  }
  try {
    const signal = AbortSignal.timeout(patienceMillis);
    return { answer: await session.call('install.commit', { operationId }, { signal }) };
  } catch (error) {
    const why = toFault(error, 'Asking how the install has ended');
    // An agent that does not know the operation has not executed it.
    if (why.code === 'UNREACHABLE' || why.code === 'CANCELLED') return { executed: 'maybe' };
    return { executed: why.executed === 'no' ? 'no' : 'maybe', why };
  }
}
