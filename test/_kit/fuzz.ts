/** Altered input for as long as is asked: cases that can be had again by their seed and number. */
import type { TestContext } from 'vitest';

import { chanceOf, pick } from './chance.ts';

const SECONDS = Number(process.env['AIRLOCK_FUZZ_SECONDS'] ?? '6');
const SEED = process.env['AIRLOCK_FUZZ_SEED'] ?? '1';
/** The kinds of input, each of which has its part of the time. */
const KINDS = 3;
/** A case that takes longer (milliseconds) hangs, or might as well. */
const SLOW_MILLIS = 10_000;

/** What came of one kind of input. */
export type Fuzzed = { what: string; cases: number; findings: number; seed: string };

declare module 'vitest' {
  interface TaskMeta {
    fuzzed?: Fuzzed;
  }
}

/**
 * Runs cases until the time is over, and fails the test if one of them finds something. A case finds something by throwing,
 * by taking too long, or by a rejection that nobody handles.
 */
export async function fuzz(
  { task, expect }: Pick<TestContext, 'task' | 'expect'>,
  what: string,
  run: (chance: () => number) => void | Promise<void>,
): Promise<void> {
  const findings: string[] = [];
  let number = 0;
  const stray = (error: unknown): void => void findings.push(`case ${number}: not handled: ${String(error)}`);
  process.on('unhandledRejection', stray);
  const end = Date.now() + (SECONDS * 1000) / KINDS;
  for (; Date.now() < end && findings.length < 10; number += 1) {
    const begun = performance.now();
    try {
      await run(chanceOf(SEED, what, number));
    } catch (error) {
      const why = error instanceof Error ? (error.stack ?? error.message) : String(error);
      findings.push(`seed ${SEED}, case ${number}: ${why}`);
    }
    if (performance.now() - begun > SLOW_MILLIS) {
      findings.push(`seed ${SEED}, case ${number}: it took ${Math.round(performance.now() - begun)} ms`);
    }
  }
  process.off('unhandledRejection', stray);
  task.meta.fuzzed = { what, cases: number, findings: findings.length, seed: SEED };
  expect(findings).toEqual([]);
  expect(number).toBeGreaterThan(0);
}

const ODD = [0, 1, 0x7f, 0x80, 0xff, 0x20, 0x2f, 0x2e, 0x5c, 0x0a];

/** Bytes with a few of them changed, some cut out, repeated, or put in. */
export function alter(bytes: Buffer, chance: () => number): Buffer {
  let altered = Buffer.from(bytes);
  for (let i = pick(chance, 4); i >= 0; i -= 1) {
    const at = pick(chance, altered.length + 1);
    const length = 1 + pick(chance, 16);
    const odd = Buffer.from(Array.from({ length }, () => ODD[pick(chance, ODD.length)] ?? 0));
    const piece = altered.subarray(at, at + length);
    const ways = [
      (): Buffer => Buffer.concat([altered.subarray(0, at), odd, altered.subarray(at + length)]),
      (): Buffer => Buffer.concat([altered.subarray(0, at), odd, altered.subarray(at)]),
      (): Buffer => Buffer.concat([altered.subarray(0, at), altered.subarray(at + length)]),
      (): Buffer => Buffer.concat([altered.subarray(0, at), piece, altered.subarray(at)]),
      (): Buffer => altered.subarray(0, at),
    ];
    altered = Buffer.from(ways[pick(chance, ways.length)]?.() ?? altered);
  }
  return altered;
}
