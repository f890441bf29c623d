/** Waiting that an AbortSignal ends. */
import { Fault } from '../shared/api/fault.ts';

/** The fault of a cancelled request. If it was sent, the other side may still execute it. */
export const cancelled = (what: string, executed: 'no' | 'maybe' = 'maybe'): Fault =>
  new Fault('CANCELLED', `${what} was cancelled`, { executed });

/**
 * Waits for work, but no longer than until the signal is aborted. The work goes on.
 *
 * @param late receives a result that comes after that.
 * @throws Fault CANCELLED; what the work throws.
 */
export async function unlessAborted<T>(
  work: Promise<T>,
  signal: AbortSignal | undefined,
  what: string,
  late: (result: T) => void = () => {},
): Promise<T> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      reject(cancelled(what, 'no'));
      work.then(late, () => {});
    };
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
