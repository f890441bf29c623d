/** Chance that can be had again: the same words give the same numbers. */

/** @returns numbers from 0 up to, not including, 1. */
export function chanceOf(...words: (string | number)[]): () => number {
  let state = 0x81_1c_9d_c5;
  for (const letter of words.join(' ')) {
    state = Math.imul(state ^ (letter.codePointAt(0) ?? 0), 0x01_00_01_93);
  }
  return () => {
    // mulberry32
    state = (state + 0x6d_2b_79_f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A whole number from 0 up to, not including, `below`. */
export const pick = (chance: () => number, below: number): number => Math.floor(chance() * below);

/** Between two numbers, each order of magnitude as likely as another. */
export const logUniform = (chance: () => number, from: number, to: number): number =>
  from * (to / from) ** chance();
