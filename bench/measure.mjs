// Interleaved rounds, medians, ratios: on a shared machine only what ran side by side can be compared.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

export const run = promisify(execFile);

export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** How long the work takes, in milliseconds. */
export async function timed(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** Runs every contender once a round, in turns, and returns the times of each in milliseconds, by name. */
export async function compare(contenders, rounds) {
  const times = Object.fromEntries(Object.keys(contenders).map((name) => [name, []]));
  for (let round = 0; round < rounds; round += 1) {
    const order = Object.entries(contenders);
    if (round % 2 === 1) order.reverse();
    for (const [name, work] of order) times[name].push(await work(round));
  }
  return times;
}

/** Round by round, the one divided by the other. */
export const ratios = (ours, theirs) => ours.map((value, round) => value / theirs[round]);

export const sleep = (millis) => new Promise((resolve) => setTimeout(resolve, millis));

/** A program's presence here: whether it can be started. */
export const isInstalled = (program) =>
  run(program, ['--version']).then(
    () => true,
    () => false,
  );
