/** Numbers by chance that are the same in every run. */
export type Random = {
  /** A whole number from 0 to below `count`; 0 where that is 0. */
  below(count: number): number;
  /** Between two numbers, each order of magnitude as likely as another. */
  logUniform(from: number, to: number): number;
};

/** Numbers that follow from a seed (mulberry32). */
export function randomOf(seed: number): Random {
  let state = seed;
  const next = (): number => {
    state = Math.trunc(state + 0x6d_2b_79_f5);
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    below: (count) => Math.floor(next() * count),
    logUniform: (from, to) => from * (to / from) ** next(),
  };
}
