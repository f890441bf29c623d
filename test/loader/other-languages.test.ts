/** The rule of docs/loader.md for runtimes in other languages, as it is printed there. */
import { execFile } from 'node:child_process';
import { chmod, mkdir, readFile, rename, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { type TestContext, describe, expect, onTestFinished, test } from 'vitest';

import { createLoader } from '../../loader/index.ts';
import type { Layout } from '../../shared/format/layout.ts';
import { writeMarker } from '../../shared/format/marker.ts';
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
  for (const name of NO_NAMES) await bare(name, '');
  await bare('a*', JSON.stringify({ plugin: 'a*' }));
  // Some readers of JSON give up on it in ways of their own.
  await bare('nested', '['.repeat(100_000));
  return layout;
}

/** What no plugin can be called. */
const NO_NAMES = ['My-Plugin', 'two words', 'a..b', '-dash', '_low', 'é', 'line\nbreak', 'n'.repeat(129)];

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

/** As people write the loop: also with a slash behind each name. */
const SHELL = `
for folder in "$1"/* "$1"/.*; do
  if is_plugin "$folder"; then echo "\${folder##*/}"; fi
done
for folder in "$1"/*/; do
  if is_plugin "$folder"; then echo "$folder"; fi
done
`;

const run = promisify(execFile);
const LANGUAGES = [
  { language: 'python', command: ['python3', '-c'], loop: PYTHON, words: [], twice: false },
  { language: 'sh', command: ['sh', '-c'], loop: SHELL, words: ['sh'], twice: true },
] as const;

describe.each(LANGUAGES)(
  'the rule in $language',
  ({ language, command: [program, flag], loop, words, twice }) => {
    /** What it admits below a root; all that it says is that. */
    async function admittedBy(ctx: TestContext, root: string, as = {}): Promise<string[]> {
      if ((await run(program, [flag, ''], as).catch(() => undefined)) === undefined) {
        ctx.skip(`there is no ${program} here`);
      }
      const { stdout, stderr } = await run(
        program,
        [flag, `${await block(language)}\n${loop}`, ...words, root],
        as,
      );
      expect(stderr).toBe('');
      return stdout.trim() === '' ? [] : stdout.trim().split('\n');
    }
    const wanted = (root: string, names: readonly string[]): string[] => [
      ...names,
      ...(twice ? names.map((name) => `${root}/${name}/`) : []),
    ];

    test('admits what the gate admits', async (ctx) => {
      const { root } = await zoo();
      expect(await admittedBy(ctx, root)).toEqual(wanted(root, ADMITTED));
    });

    test('admits nothing in an empty root', async (ctx) => {
      const { root } = await makeRoot();
      expect(await admittedBy(ctx, root)).toEqual([]);
    });

    test('passes over what it may not read', async (ctx) => {
      const layout = await makeRoot();
      const { root } = layout;
      for (const name of ['closed', 'open', 'sealed']) await install(layout, name);
      const closed = [layout.live('closed'), join(layout.live('sealed'), '.complete')];
      onTestFinished(() => chmod(layout.live('closed'), 0o755));
      for (const path of closed) await chmod(path, 0);
      // Nothing is closed to root.
      const isRoot = process.getuid?.() === 0;
      if (isRoot) await chmod(dirname(root), 0o755);
      const as = isRoot ? { uid: 65_534, gid: 65_534 } : {};
      expect(await admittedBy(ctx, root, as)).toEqual(wanted(root, ['open']));
    });
  },
);
