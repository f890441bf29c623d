/** What a runtime loads when it imports or requires the built loader: few files, and nothing but these and Node's own modules. */
import { readFile, stat } from 'node:fs/promises';
import { createRequire, isBuiltin } from 'node:module';
import { dirname, join } from 'node:path';

import { expect, test } from 'vitest';

import * as sources from '../../loader/index.ts';
import manifest from '../../package.json' with { type: 'json' };
import { repository } from '../_kit/program.ts';

const { require: required, default: imported } = manifest.exports['./loader'];

const IMPORT = /^\s*(?:import|export)\b[^'"]*?\bfrom\s*"([^"]+)"|^\s*import\s*"([^"]+)"/gm;
const REQUIRE = /\brequire\("([^"]+)"\)/g;

/** The files that a file loads, itself included, and the other modules. */
async function reach(entry: string, pattern: RegExp): Promise<{ files: string[]; others: string[] }> {
  const files = new Set([join(repository, entry)]);
  const others = new Set<string>();
  for (const file of files) {
    for (const [, name, bare] of (await readFile(file, 'utf8')).matchAll(pattern)) {
      const specifier = name ?? bare ?? '';
      if (specifier.startsWith('.')) files.add(join(dirname(file), specifier));
      else others.add(specifier);
    }
  }
  return { files: [...files], others: [...others] };
}

const sizeOf = async (files: string[]): Promise<number> =>
  (await Promise.all(files.map(async (file) => (await stat(file)).size))).reduce(
    (sum, size) => sum + size,
    0,
  );

test.each([
  ['import', imported, IMPORT, 6],
  ['require', required.default, REQUIRE, 1],
] as const)('%s loads few files, of at most 640 KiB, and no package', async (_, entry, pattern, most) => {
  const { files, others } = await reach(entry, pattern);
  expect(files.length).toBeLessThanOrEqual(most);
  expect(await sizeOf(files)).toBeLessThanOrEqual(640 * 1024);
  expect(others).toContain('node:fs/promises');
  expect(others.filter((name) => !isBuiltin(name))).toEqual([]);
});

test('require gives the same names as import', () => {
  const loaded: object = createRequire(import.meta.url)(join(repository, required.default)) as object;
  expect(Object.keys(loaded).toSorted()).toEqual(Object.keys(sources).toSorted());
});
