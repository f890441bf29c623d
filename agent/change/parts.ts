/** Divides work that takes long into parts that take a moment each. */

/** After so many bytes a copy rests, so that an abort is heard. */
const REST_BYTES = 4 * 1024 * 1024;
/** Opening and closing a file takes about as long as copying so many bytes. */
const FILE_COSTS_BYTES = 32 * 1024;

/**
 * @param rest called after each part. It may throw, to end the work.
 * @returns to be called for the work that was done: bytes that were copied, or a file that was opened.
 */
export function inParts(rest: () => Promise<void>): (work: number | 'file') => Promise<void> {
  let since = 0;
  return async (work) => {
    since += work === 'file' ? FILE_COSTS_BYTES : work;
    if (since < REST_BYTES) return;
    since = 0;
    await rest();
  };
}
