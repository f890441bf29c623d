/** The test vectors of docs/vectors, as they lie there. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { repository } from './program.ts';

/** @param name such as `frames`. */
export const readVectors = async <T>(name: string): Promise<T> =>
  JSON.parse(await readFile(join(repository, 'docs/vectors', `${name}.json`), 'utf8')) as T;

/**
 * Says where a message differs from a vector: a string that begins with `$` stands for any value, and for the same one each
 * time unless it is in `loose`.
 *
 * @param known what the names stand for so far; what a name stands for first is added.
 * @returns the place, or undefined if nothing differs.
 */
export function differs(
  expected: unknown,
  actual: unknown,
  known: Map<string, unknown>,
  loose: ReadonlySet<string>,
  place = 'it',
): string | undefined {
  if (typeof expected === 'string' && expected.startsWith('$')) {
    if (actual === undefined) return `${place}: ${expected} is missing`;
    const before = known.get(expected) ?? actual;
    known.set(expected, before);
    return loose.has(expected) || JSON.stringify(before) === JSON.stringify(actual)
      ? undefined
      : `${place}: ${expected} was ${JSON.stringify(before)}, not ${JSON.stringify(actual)}`;
  }
  if (typeof expected !== 'object' || expected === null || typeof actual !== 'object' || actual === null) {
    return expected === actual
      ? undefined
      : `${place}: ${JSON.stringify(expected)}, not ${JSON.stringify(actual)}`;
  }
  const keys = new Set([...Object.keys(expected), ...Object.keys(actual)]);
  for (const key of keys) {
    const at = `${place}.${key}`;
    const [want, have] = [expected, actual].map((value) => (value as Record<string, unknown>)[key]);
    const found = differs(want, have, known, loose, at);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The names that may stand for another value each time. */
export const LOOSE: ReadonlySet<string> = new Set([
  '$title',
  '$detail',
  '$hint',
  '$why',
  '$seq',
  '$installedAt',
]);
