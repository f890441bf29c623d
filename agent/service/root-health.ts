/** Whether the root can be written to now. The main thread asks without waiting for the disk, and writes nothing. */
import { access, constants, statfs } from 'node:fs/promises';

import type { Layout } from '../../shared/format/layout.ts';
import { toFault } from '../../shared/api/fault.ts';
import type { Status } from '../../shared/api/maintenance.ts';
import { diskFault } from '../disk/disk-fault.ts';
import type { Recently } from './recent.ts';

/** What is left on the file system of the root. */
export type RootHealth = {
  freeBytes: number;
  /** Undefined: the file system has no fixed number of inodes. */
  freeFiles: number | undefined;
};

/** Rejects with Fault READ_ONLY, INTERNAL if the agent may not write there, or nothing can be asked. */
export async function lookAtRoot({ root, staging }: Layout): Promise<RootHealth> {
  try {
    await access(staging, constants.W_OK | constants.X_OK);
    const { bavail, bsize, files, ffree } = await statfs(root);
    return { freeBytes: bavail * bsize, freeFiles: files === 0 ? undefined : ffree };
  } catch (error) {
    throw diskFault(error, 'Looking whether the root can be written to');
  }
}

/** An install needs at least so much beside its bundle. */
const FREE_BYTES_MIN = 1024 * 1024;

/** Why nothing can be installed, and what to do; undefined: something can. */
export function blockedBy({ value, error, late }: Recently<RootHealth>): Status['blocked'] {
  if (late) {
    return {
      what: 'The disk of the root does not answer',
      todo: 'Look at the disk, and at the log of the system',
    };
  }
  if (value === undefined) {
    const { message, hint } = toFault(error, 'Looking at the root');
    return { what: message, todo: hint ?? 'Let the agent write to the root' };
  }
  if (value.freeBytes >= FREE_BYTES_MIN && value.freeFiles !== 0) return undefined;
  const left = value.freeFiles === 0 ? 'no inodes' : `${value.freeBytes} bytes`;
  return {
    what: `The file system of the root has ${left} left`,
    todo: 'Free some space or inodes on it',
  };
}
