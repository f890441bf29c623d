/** Turns failed system calls into faults with the codes of the protocol. */
import { Fault, type FaultCode, errorCode } from '../../shared/api/fault.ts';

const ACCESS =
  'Give the user of the agent read and write access to the root and everything below it: check owners, modes and security modules';

/** An entry without a code keeps the code of the caller. */
const CODES: Record<string, { code?: FaultCode; hint: string }> = {
  ENOSPC: {
    code: 'NO_SPACE',
    hint: 'Free some space or inodes on the file system of the root, then try again',
  },
  EDQUOT: { code: 'NO_SPACE', hint: 'Raise the quota of the agent or free some space, then try again' },
  EROFS: { code: 'READ_ONLY', hint: 'Mount the root for writing' },
  EACCES: { hint: ACCESS },
  EPERM: { hint: ACCESS },
  EBUSY: {
    hint: 'Something is mounted on that directory: unmount it, or mount one volume for the whole root',
  },
};

/** Undefined if a call says that nothing is at its path. Other failures are thrown. */
export function ifThere<T>(call: () => T): T | undefined {
  try {
    return call();
  } catch (error) {
    if (errorCode(error) === 'ENOENT') {
      return undefined;
    }
    throw error;
  }
}

/** Whether the system denies this user the access. */
export const isDenied = (error: unknown): boolean => /^(?:EACCES|EPERM)$/.test(errorCode(error) ?? '');

/**
 * Turns any error into a fault. A full or read-only disk has its own code whatever was being done; other errors get
 * `code`.
 *
 * @param doing what was being done, as the beginning of a sentence: "Writing the receipt"
 */
export function diskFault(
  error: unknown,
  doing: string,
  code: FaultCode = 'INTERNAL',
  executed: 'no' | 'maybe' = 'no',
): Fault {
  if (error instanceof Fault) {
    return error;
  }
  const known = CODES[errorCode(error) ?? ''];
  const why = error instanceof Error ? error.message : String(error);
  return new Fault(known?.code ?? code, `${doing} failed: ${why}`, {
    cause: error,
    hint: known?.hint,
    executed,
  });
}
