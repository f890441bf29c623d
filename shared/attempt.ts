/** Trying what may fail. */

/** What a function gives; undefined where it throws: for what is done beside something that counts. */
export function attempt<T>(run: () => T): T | undefined;
/** What a function gives; where it throws, what is made of the error. */
export function attempt<T, U>(run: () => T, failed: (error: unknown) => U): T | U;
export function attempt<T, U>(run: () => T, failed?: (error: unknown) => U): T | U | undefined {
  try {
    return run();
  } catch (error) {
    return failed?.(error);
  }
}
