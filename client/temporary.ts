/** Temporary directories, and what becomes of a failure of the system in one. */
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { errorCode, Fault } from '../shared/api/fault.ts';

/** @throws Fault if none can be made. */
export async function makeTemporary(prefix: string): Promise<{
  /** A real path. */
  directory: string;
  dispose: () => Promise<void>;
}> {
  try {
    const directory = await realpath(await mkdtemp(join(tmpdir(), prefix)));
    return { directory, dispose: () => rm(directory, { recursive: true, force: true }) };
  } catch (error) {
    throw systemFault(error, `Making a directory in "${tmpdir()}"`);
  }
}

/**
 * A failed call of the system as a fault: NO_SPACE, else INVALID_PARAMS, for the place was given. Any other error stays
 * as it is.
 *
 * @param doing what was being done, as the beginning of a sentence.
 */
export function systemFault(error: unknown, doing: string): unknown {
  const code = errorCode(error);
  if (
    error instanceof Fault ||
    !(error instanceof Error) ||
    code === undefined ||
    !/^E[A-Z0-9]+$/.test(code)
  ) {
    return error;
  }
  const isFull = code === 'ENOSPC' || code === 'EDQUOT';
  return new Fault(isFull ? 'NO_SPACE' : 'INVALID_PARAMS', `${doing} failed: ${error.message}`, {
    cause: error,
    hint: `${isFull ? 'Free some space there' : 'Check that place'}, or name another directory for temporary files (TMPDIR)`,
  });
}
