/** How long to wait before another try. Pure. */

/** The pauses between tries, in milliseconds: the first one, and the longest. */
export type Backoff = { first: number; most: number };

/**
 * The pause before the next try: twice as long after each failure.
 *
 * @param failures how many tries in a row have failed; at least 1.
 */
export const pauseAfter = (failures: number, { first, most }: Backoff): number =>
  Math.min(most, first * 2 ** (failures - 1));

/** Takes up to a half off a pause, so that many clients do not come back at once. @param chance between 0 and 1. */
export const spread = (millis: number, chance: number): number => Math.round(millis * (0.5 + chance / 2));

/** A pause between nothing and all of it, so that a fleet that lost its platform comes back spread out. @param chance between 0 and 1. */
export const fullJitter = (millis: number, chance: number): number => Math.round(millis * chance);
