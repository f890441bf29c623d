/** Runs what may fail. */

/** The result of a function; undefined if it throws. For work beside something that counts. */
export function attempt<T>(run: () => T): T | undefined;
/** The result of a function; if it throws, the result of `failed`. */
export function attempt<T, U>(run: () => T, failed: (error: unknown) => U): T | U;
export function attempt<T, U>(run: () => T, failed?: (error: unknown) => U): T | U | undefined {
  try {
    return run();
  } catch (error) {
    return failed?.(error);
  }
}
