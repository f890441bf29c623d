/** The fault of a file or directory that a caller has named and that cannot be read. */
import { Fault } from './fault.ts';

/**
 * @param what it, as the beginning of a sentence. @param error the error of `node:fs`.
 * @returns NOT_FOUND if there is no such file or directory, else INVALID_PARAMS.
 */
export function unreadable(what: string, error: unknown, hint: string): Fault {
  const { code, message } = error as NodeJS.ErrnoException;
  const why = code === 'ENOENT' ? 'does not exist' : `cannot be read: ${message}`;
  const isNone = code === 'ENOENT' || code === 'ENOTDIR';
  return new Fault(isNone ? 'NOT_FOUND' : 'INVALID_PARAMS', `${what} ${why}`, { cause: error, hint });
}
