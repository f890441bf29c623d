/** Waiting for what is sure to come, however busy the machine is meanwhile. */
import { vi } from 'vitest';

/**
 * Looks until what is expected is so.
 *
 * @param interval between two looks, in milliseconds.
 * @throws what the last look threw, after a minute: so long nothing takes that has not gone wrong.
 */
export const until = <T>(look: () => Promise<T> | T, interval = 20): Promise<T> =>
  vi.waitFor(look, { timeout: 60_000, interval });
