/** The rule of docs/loader.md for runtimes in other languages, as it is printed there. */
import { execFile } from 'node:child_process';
import { mkdir, readFile, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { expect, test } from 'vitest';

import { createLoader } from '../../loader/index.ts';
import type { Layout } from '../../shared/layout.ts';
import { writeMarker } from '../../shared/marker.ts';
import { install, makeRoot, markerOf, writeFiles, yamlOf } from '../_kit/loader-root.ts';

const docs = fileURLToPath(new URL('../../docs/loader.md', import.meta.url));

/** The one block of a language. */
async function block(language: string): Promise<string> {
  const text = await readFile(docs, 'utf8');
  const found = [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))];
  expect(found).toHaveLength(1);
  return found[0]?.[1] ?? '';
}

/** Every kind of directory that the marker decides on. */
async function zoo(): Promise<Layout> {
  const layout = await makeRoot();
  const bare = async (name: string, marker?: string): Promise<void> => {
    await writeFiles(layout.live(name), {
      'plugin.yaml': yamlOf(name),
      ...(marker === undefined ? {} : { '.complete': marker }),
    });
  };
  await install(layout, 'verified');
  await install(layout, 'with.dots_and-dashes');
  await bare('touched', '');
  await bare('unmarked');
  await bare('foreign', writeMarker(markerOf('verified', [])));
  await bare('with.dots_or-dashes', writeMarker(markerOf('with-dots_or-dashes', [])));
  await bare('cut', writeMarker(markerOf('cut', [])).slice(0, 60));
  await bare('space', '\n');
  await bare('list', '["list"]');
  await bare('number', '1');
  await bare('directory');
  await mkdir(join(layout.live('directory'), '.complete'));
  await bare('link');
  await symlink('plugin.yaml', join(layout.live('link'), '.complete'));
  await bare('elsewhere', '');
  await rename(layout.live('elsewhere'), join(layout.staging, 'elsewhere'));
  await symlink(join(layout.staging, 'elsewhere'), layout.live('elsewhere'));
  await writeFile(join(layout.root, 'file'), '');
  await writeFiles(join(layout.root, '.hidden'), { '.complete': '' });
  return layout;
}

const ADMITTED = ['touched', 'verified', 'with.dots_and-dashes'];

test('the gate itself admits what the rule admits', async () => {
  const { root } = await zoo();
  const { admitted } = await createLoader({ roots: [root] }).scan();
  expect(admitted.map(({ name }) => name)).toEqual(ADMITTED);
});

const PYTHON = `
import pathlib, sys
print("\\n".join(sorted(f.name for f in pathlib.Path(sys.argv[1]).iterdir() if is_plugin(f))))
`;

test('the rule in Python admits what the gate admits', async (ctx) => {
  const run = promisify(execFile);
  const version = await run('python3', ['--version']).catch(() => undefined);
  if (version === undefined) ctx.skip('there is no python3 here');
  const { root } = await zoo();
  const { stdout } = await run('python3', ['-c', `${await block('python')}\n${PYTHON}`, root]);
  expect(stdout.trim().split('\n')).toEqual(ADMITTED);
});

const SHELL = `
for folder in "$1"/* "$1"/.*; do
  if is_plugin "$folder"; then echo "\${folder##*/}"; fi
done
`;

test('the rule in a shell admits what the gate admits', async () => {
  const { root } = await zoo();
  const { stdout } = await promisify(execFile)('sh', ['-c', `${await block('sh')}\n${SHELL}`, 'sh', root]);
  expect(stdout.trim().split('\n')).toEqual(ADMITTED);
});
