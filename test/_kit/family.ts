/**
 * The families of crash tests: each test says how many points it tried and how many broke a promise, each canary how
 * many broke when something that keeps the promise was taken out. The closing lines of the run add them up.
 */
import type { TestContext } from 'vitest';

/** The letters under which the families are listed; each is one way for a machine to fail. */
export const FAMILIES = {
  a: 'every call on the disk fails',
  b: 'crashes, and what was not synced is lost',
  c: 'the real process is killed at its system calls',
  d: 'power cuts on real file systems',
  e: 'uploads are cut, vanish or stall',
  f: 'full, read-only, layered and closed file systems',
  g: 'readers during updates',
} as const;
export type FamilyLetter = keyof typeof FAMILIES;

export type Counted = { family: FamilyLetter; tried: number; broken: number; canary?: string };

declare module 'vitest' {
  interface TaskMeta {
    counted?: Counted[];
  }
}

type Test = Pick<TestContext, 'task' | 'expect'>;

/**
 * Counts the points of a test, and fails it if one of them broke a promise.
 *
 * @param broken what broke, a line each.
 */
export function promisesHeld(
  { task, expect }: Test,
  family: FamilyLetter,
  tried: number,
  broken: string[],
): void {
  (task.meta.counted ??= []).push({ family, tried, broken: broken.length });
  expect(broken.slice(0, 10)).toEqual([]);
  expect(tried).toBeGreaterThan(0);
}

/**
 * Counts a canary, and fails its test if nothing broke although what keeps the promise was taken out.
 *
 * @param without what was taken out, in words that go behind "without".
 */
export function canaryBroke(
  { task, expect }: Test,
  family: FamilyLetter,
  without: string,
  tried: number,
  broken: string[],
): void {
  (task.meta.counted ??= []).push({ family, tried, broken: broken.length, canary: without });
  expect(broken.length).toBeGreaterThan(0);
}
