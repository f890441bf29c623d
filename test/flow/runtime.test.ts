/** The runtime of the examples, as a process of its own, over the built loader. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { expect, onTestFinished, test } from 'vitest';

import { createLoader } from '../../loader/index.ts';
import type { Layout } from '../../shared/format/layout.ts';
import { LATER, STAMP, install, makeRoot, writeIntent, yamlOf } from '../_kit/loader-root.ts';
import { repository } from '../_kit/program.ts';
import { until } from '../_kit/until.ts';

const FILES = {
  'plugin.yaml': yamlOf('lint'),
  'rules/one.md': 'Rule one',
  'skills/review/SKILL.md': '---\nname: review\ndescription: Reviews\n---\nfirst\n',
  'skills/write/SKILL.md': '---\nname: write\ndescription: Writes\n---\nfirst\n',
  'skills/README.md': 'no skill',
  'hooks/run.sh': '#!/bin/sh\n',
};

const LAST = '20260510T141530123Z-1b2c3d4e';

/** Swaps as an agent does it: between the two renames, which may take long, an intent says what is under way. */
async function exchange(layout: Layout, slot: string, installId: string): Promise<void> {
  const intent = await writeIntent(layout, 'lint', { stamp: installId });
  await rename(layout.live('lint'), layout.snapshot('lint', installId));
  await rename(slot, layout.live('lint'));
  await rm(intent);
}

type Line = { event: string; [key: string]: unknown };

function start(root: string, ...options: string[]) {
  const child = spawn(
    process.execPath,
    [...options, join(repository, 'examples/runtime/runtime.mjs'), root],
    {
      // As in a container: without an input it runs on all the same.
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  onTestFinished(() => void child.kill('SIGKILL'));
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const next = async (): Promise<Line> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`The runtime ended: ${stderr}`);
    return JSON.parse(value) as Line;
  };
  return { child, next, exit: once(child, 'exit'), said: () => stderr };
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
  await exchange(layout, slot, LATER);
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

/** Of the runtime's own time, whatever else the machine does: it says on its standard error that time goes on. */
const BEAT_MILLIS = 50;

/** Lets the process wait with reading a skill that is called slow until there is a file `go`. */
const slowly = (go: string): string => `
  setInterval(() => process.stderr.write('.'), ${BEAT_MILLIS}).unref();
  import { existsSync } from 'node:fs';
  import { syncBuiltinESMExports } from 'node:module';
  import fs from 'node:fs/promises';
  const { readFile } = fs;
  let started = false;
  fs.readFile = async (path, ...more) => {
    while (started && /slow.SKILL/.test(path) && !existsSync(${JSON.stringify(go)})) {
      await new Promise((go) => setTimeout(go, 20));
    }
    started ||= /slow.SKILL/.test(path);
    return readFile(path, ...more);
  };
  syncBuiltinESMExports();
`;

async function lateRuntime() {
  const layout = await makeRoot();
  const slow = { 'plugin.yaml': yamlOf('slow'), 'skills/slow/SKILL.md': 'first\n' };
  await install(layout, 'lint', FILES);
  await install(layout, 'slow', slow);
  const go = join(layout.staging, 'go');
  const preload = `data:text/javascript,${encodeURIComponent(slowly(go))}`;
  const { next, said } = start(layout.root, '--import', preload);
  for (const event of ['loaded', 'loaded', 'ready']) expect(await next()).toMatchObject({ event });
  const watch = createLoader({ roots: [layout.root] }).watch();
  onTestFinished(() => watch.close());
  await watch.ready;
  const events = watch[Symbol.asyncIterator]();
  /** Resolves when the change is told, by a watcher like that of the runtime. */
  const told = async (change: () => Promise<unknown>): Promise<void> => {
    await change();
    await events.next();
    // The runtime's own watcher may be a little later.
    const enough = said().length + 1000 / BEAT_MILLIS;
    await until(() => expect(said().length).toBeGreaterThan(enough));
  };
  const swap = (installId: string, files: Record<string, string>): Promise<void> =>
    told(async () => {
      const slot = layout.slot('lint', installId);
      await install(layout, 'lint', { ...FILES, ...files }, installId, slot);
      await exchange(layout, slot, installId);
    });
  await told(() => appendFile(join(layout.live('slow'), 'skills/slow/SKILL.md'), 'second\n'));
  return { layout, next, told, swap, goOn: () => writeFile(go, '') };
}

test('a runtime that reads the skills of a later version reports nothing of it', async () => {
  const { layout, next, swap, goOn } = await lateRuntime();
  await swap(LATER, { 'skills/review/SKILL.md': 'second\n' });
  await swap(LAST, { 'skills/review/SKILL.md': 'third\n', 'hooks/run.sh': 'exit 1\n' });
  await goOn();
  expect(await next()).toMatchObject({ event: 'reloaded', plugin: 'slow' });
  expect(await next()).toMatchObject({ event: 'reloaded', plugin: 'lint', generation: LAST });
  expect(await next()).toMatchObject({ event: 'needs-restart', plugin: 'lint' });
  expect(JSON.parse(await readFile(layout.loadedOf('lint'), 'utf8'))).toMatchObject({ generation: STAMP });
  await appendFile(join(layout.live('lint'), 'skills/review/SKILL.md'), 'fourth\n');
  expect(await next()).toMatchObject({
    event: 'needs-restart',
    reasons: [{ path: 'hooks/run.sh' }, { path: 'skills/review/SKILL.md' }],
  });
});

test('a skill that could not be read again when it was told is read when its plugin is back', async () => {
  const { layout, next, told, goOn } = await lateRuntime();
  const live = layout.live('lint');
  const away = join(layout.staging, 'away');
  await told(() => appendFile(join(live, 'skills/review/SKILL.md'), 'second\n'));
  await told(() => rename(live, away));
  await goOn();
  expect(await next()).toMatchObject({ event: 'reloaded', plugin: 'slow' });
  expect(await next()).toMatchObject({ event: 'failed', plugin: 'lint' });
  expect(await next()).toMatchObject({ event: 'needs-restart', plugin: 'lint', status: 'absent' });
  await rename(away, live);
  expect(await next()).toMatchObject({
    event: 'reloaded',
    skills: [{ path: 'skills/review', lastLine: 'second' }],
  });
});
