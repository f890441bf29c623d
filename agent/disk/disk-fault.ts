/** Failed system calls as faults with the codes that a platform understands. */
import { Fault, type FaultCode, errorCode } from '../../shared/api/fault.ts';

const ACCESS =
  'Give the user of the agent read and write access to the root and everything below it: check owners, modes and security modules';

/** Without a code, what was being done has its own. */
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

/** Whether the system says that this user may not do that. */
export const isDenied = (error: unknown): boolean => /^(?:EACCES|EPERM)$/.test(errorCode(error) ?? '');

/**
 * Any error as a fault. A full or read-only disk is named as such whatever was being done; the rest gets `code`.
 *
 * @param doing what was being done, as it begins a sentence: "Writing the receipt"
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
