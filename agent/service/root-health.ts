/** Whether the root can be written to now. The main thread asks without waiting for the disk, and writes nothing. */
import { access, constants, statfs } from 'node:fs/promises';

import type { Layout } from '../../shared/format/layout.ts';
import { diskFault } from '../disk/disk-fault.ts';

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
