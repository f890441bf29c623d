/** The runtime of the examples, as a process of its own, over the built loader. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { expect, onTestFinished, test } from 'vitest';

import { LATER, install, makeRoot, yamlOf } from '../_kit/loader-root.ts';
import { repository } from '../_kit/program.ts';

const FILES = {
  'plugin.yaml': yamlOf('lint'),
  'rules/one.md': 'Rule one',
  'skills/review/SKILL.md': '---\nname: review\ndescription: Reviews\n---\nfirst\n',
  'skills/write/SKILL.md': '---\nname: write\ndescription: Writes\n---\nfirst\n',
  'skills/README.md': 'no skill',
  'hooks/run.sh': '#!/bin/sh\n',
};

type Line = { event: string; [key: string]: unknown };

function start(root: string) {
  const child = spawn(process.execPath, [join(repository, 'examples/runtime/runtime.mjs'), root], {
    // As in a container: without an input it runs on all the same.
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const next = async (): Promise<Line> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`The runtime ended: ${stderr}`);
    return JSON.parse(value) as Line;
  };
  return { child, next, exit: once(child, 'exit') };
}

test('a runtime runs an edited skill without a restart, asks for one for a hook, and sees swaps', async () => {
  const layout = await makeRoot();
  await install(layout, 'lint', FILES);
  await install(layout, 'bare', { 'README.md': 'nothing' });
  const { child, next, exit } = start(layout.root);
  expect(await next()).toMatchObject({ event: 'refused', plugin: 'bare', reason: 'manifest-missing' });
  expect(await next()).toMatchObject({
    event: 'loaded',
    plugin: 'lint',
    rules: [{ name: 'one.md', text: 'Rule one' }],
    skills: [{ path: 'skills/review' }, { path: 'skills/write', description: 'Writes' }],
  });
  expect(await next()).toEqual({ event: 'ready', plugins: 1 });

  await appendFile(join(layout.live('lint'), 'skills/review/SKILL.md'), 'second\n');
  expect(await next()).toMatchObject({
    event: 'reloaded',
    skills: [{ path: 'skills/review', lastLine: 'second' }],
  });

  const skill = `${FILES['skills/review/SKILL.md']}second\nthird\n`;
  const slot = layout.slot('lint', LATER);
  await install(layout, 'lint', { ...FILES, 'skills/review/SKILL.md': skill }, LATER, slot);
  await rename(layout.live('lint'), layout.snapshot('lint', LATER));
  await rename(slot, layout.live('lint'));
  expect(await next()).toMatchObject({
    event: 'reloaded',
    generation: LATER,
    skills: [{ path: 'skills/review', lastLine: 'third' }],
  });

  await appendFile(join(layout.live('lint'), 'hooks/run.sh'), 'exit 1\n');
  expect(await next()).toMatchObject({ event: 'needs-restart', reasons: [{ path: 'hooks/run.sh' }] });
  child.kill('SIGTERM');
  expect(await exit).toEqual([0, null]);
});

test('a runtime that may not report what it has loaded, or whose root is missing, says so and runs', async () => {
  const layout = await makeRoot();
  await install(layout, 'lint', FILES);
  await writeFile(layout.loaded, 'in the way');
  const first = start(layout.root);
  expect(await first.next()).toMatchObject({
    event: 'notice',
    text: expect.stringMatching(/^Reporting that "lint" is loaded failed/) as string,
    hint: expect.stringContaining('loadedDir') as string,
  });
  expect(await first.next()).toMatchObject({ event: 'loaded', plugin: 'lint' });
  expect(await first.next()).toEqual({ event: 'ready', plugins: 1 });
  await appendFile(join(layout.live('lint'), 'skills/review/SKILL.md'), 'second\n');
  expect(await first.next()).toMatchObject({ event: 'notice' });
  expect(await first.next()).toMatchObject({ event: 'reloaded', skills: [{ lastLine: 'second' }] });

  await rm(layout.root, { recursive: true });
  const second = start(layout.root);
  expect(await second.next()).toMatchObject({
    event: 'notice',
    text: `There is no directory "${layout.root}"`,
  });
  expect(await second.next()).toEqual({ event: 'ready', plugins: 0 });
});
