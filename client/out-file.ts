/** The place of a file that is written beside it and then gets its name. */
import { lstat } from 'node:fs/promises';

import { Fault } from '../shared/api/fault.ts';

/**
 * Checks that a file may get this name. Only a regular file is ever replaced, never a device, a link or a directory.
 *
 * @throws Fault CONFLICT
 */
export async function checkOutFile(out: string, overwrite: boolean): Promise<void> {
  const found = await lstat(out).catch(() => undefined);
  if (found !== undefined && !overwrite) {
    throw new Fault('CONFLICT', `Writing "${out}" failed: it exists`, {
      hint: 'Choose another name, or overwrite it (--force)',
    });
  }
  if (found?.isFile() === false) {
    throw new Fault('CONFLICT', `Writing "${out}" failed: it is not a file that can be replaced`, {
      hint: 'Choose another name',
    });
  }
}
