/** Where files lie in memory, for tests that are not about durability. */
import { accessSync, constants } from 'node:fs';
import { tmpdir } from 'node:os';

/** A directory of the file system in memory that this machine has, or the usual one for temporary files. */
export function memoryFolder(): string {
  try {
    accessSync('/dev/shm', constants.W_OK);
    return '/dev/shm';
  } catch {
    return tmpdir();
  }
}
