// Interleaved rounds, medians, ratios: on a shared machine only what ran side by side can be compared.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

export const run = promisify(execFile);

export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export async function timed(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** Runs every contender once a round, in turns, and returns the median of each in milliseconds. */
export async function compare(contenders, rounds) {
  const times = new Map(Object.keys(contenders).map((name) => [name, []]));
  for (let round = 0; round < rounds; round += 1) {
    const order = Object.entries(contenders);
    if (round % 2 === 1) order.reverse();
    for (const [name, work] of order) times.get(name).push(await work(round));
  }
  return new Map([...times].map(([name, values]) => [name, median(values)]));
}

export const ms = (value) => `${value.toFixed(value < 100 ? 1 : 0)} ms`;

export function report(title, medians, against) {
  const [[first, base]] = medians;
  console.log(`\n${title}`);
  for (const [name, value] of medians) {
    const bar = against[name];
    const ratio = name === first ? '' : `  ${first} / this = ${(base / value).toFixed(2)}`;
    const target = bar === undefined ? '' : `  (to reach: ≤ ${bar})`;
    console.log(`  ${name.padEnd(34)} ${ms(value).padStart(10)}${ratio}${target}`);
  }
}
