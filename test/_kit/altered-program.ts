/** Copies of the built program that lack something: a sync, an undo, a library. For tests that must then fail. */
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { scratch } from './agent.ts';
import { repository } from './program.ts';

/** What is taken out: the text as it stands in the built program, exactly once, and what stands there instead. */
type Alteration = readonly [text: string, instead: string];

/**
 * Copies the program to a directory of the test, from which koffi cannot be found unless `koffi` says so.
 *
 * @throws Error if a text does not stand there exactly once: then the canary would sing whatever happens.
 */
export async function alteredProgram(
  alterations: readonly Alteration[],
  { koffi = false } = {},
): Promise<string> {
  let text = await readFile(join(repository, 'dist/airlock.mjs'), 'utf8');
  const libraries = `${repository}package.json`;
  const all = koffi
    ? [
        ...alterations,
        ['createRequire(import.meta.url)("koffi")', `createRequire("${libraries}")("koffi")`] as const,
      ]
    : alterations;
  for (const [from, to] of all) {
    const parts = text.split(from);
    if (parts.length !== 2) throw new Error(`"${from}" stands ${parts.length - 1} times in the program`);
    text = parts.join(to);
  }
  const folder = await scratch();
  await chmod(folder, 0o755);
  const path = join(folder, 'airlock.mjs');
  await writeFile(path, text, { mode: 0o755 });
  return path;
}
