/** What a runtime reports as loaded, late or of another version, under the eyes of its own watcher. */
import { renameSync, writeFileSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { expect, onTestFinished, test } from 'vitest';

import { type Plugin, type WatchEvent, createLoader } from '../../loader/index.ts';
import { LATER, STAMP, install, makeRoot, yamlOf } from '../_kit/loader-root.ts';

const SKILL = 'skills/review/SKILL.md';
const HOOK = 'hooks/run.sh';
const files = (skill: string, hook: string): Record<string, string> => ({
  'plugin.yaml': yamlOf('lint'),
  [SKILL]: skill,
  [HOOK]: hook,
});
/** Times of files are as coarse as the kernel's tick. */
const TICKS_MILLIS = 50;

async function runtime() {
  const layout = await makeRoot();
  await install(layout, 'lint', files('one', 'exit 0'));
  await pause(TICKS_MILLIS);
  const loader = createLoader({ roots: [layout.root] });
  const watch = loader.watch();
  onTestFinished(() => watch.close());
  await watch.ready;
  const events = watch[Symbol.asyncIterator]();
  const next = async (): Promise<WatchEvent | undefined> => (await events.next()).value ?? undefined;
  const found = async (): Promise<Plugin> => {
    const answer = await loader.gate('lint');
    if (!answer.admitted) throw new Error(answer.detail);
    return answer.plugin;
  };
  const write = async (path: string, text: string): Promise<void> => {
    // In one go: the watcher, which lives in this process, never sees the file empty.
    writeFileSync(join(layout.live('lint'), path), text);
    await pause(TICKS_MILLIS);
  };
  const swap = async (skill: string, hook: string): Promise<void> => {
    const staged = join(layout.staging, 'lint');
    await install(layout, 'lint', files(skill, hook), LATER, staged);
    renameSync(layout.live('lint'), join(layout.previous, 'lint'));
    renameSync(staged, layout.live('lint'));
    await pause(TICKS_MILLIS);
  };
  return { layout, loader, next, found, write, swap };
}

const HOT = { kind: 'skill-content-only', skills: ['skills/review'] };
const COLD = { kind: 'cold', reasons: [{ path: HOOK }] };
const BOTH = { kind: 'cold', reasons: [{ path: HOOK }, { path: SKILL }] };

test('what was edited after it was read is not loaded by a late report', async () => {
  const { loader, next, found, write } = await runtime();
  const read = await found();
  await write(HOOK, 'exit 1');
  expect(await next()).toMatchObject(COLD);
  await loader.loaded(read, read.generation);
  await write(SKILL, 'two');
  expect(await next()).toMatchObject(BOTH);
});

test('of skills that were read anew only those are loaded, not what was edited after their event', async () => {
  const { loader, next, found, write } = await runtime();
  await write(SKILL, 'two');
  const hot = await next();
  expect(hot).toMatchObject(HOT);
  await write(HOOK, 'exit 1');
  // A runtime that is slow has this event before it, and handles the first one.
  expect(await next()).toMatchObject(COLD);
  const { generation } = await found();
  await loader.loaded('lint', generation, hot?.at);
  await write(SKILL, 'three');
  expect(await next()).toMatchObject(BOTH);
});

test('what was beside the installed files, was loaded, and was removed after it was read is not unloaded by a late report', async () => {
  const { layout, loader, next, found, write } = await runtime();
  await write('hooks/extra.sh', 'exit 0');
  expect(await next()).toMatchObject({ kind: 'cold' });
  await loader.loaded('lint', (await found()).generation);
  const read = await found();
  await pause(TICKS_MILLIS);
  await rm(join(layout.live('lint'), 'hooks/extra.sh'));
  const cold = { kind: 'cold', reasons: [{ path: 'hooks/extra.sh', change: 'removed' }] };
  expect(await next()).toMatchObject(cold);
  await loader.loaded(read, read.generation);
  await write(SKILL, 'two');
  expect(await next()).toMatchObject({ kind: 'cold', reasons: [...cold.reasons, { path: SKILL }] });
});

test('the report of a version is none of the one that has taken its place', async () => {
  const { loader, next, found, write, swap } = await runtime();
  const read = await found();
  await swap('one', 'exit 1');
  expect(await next()).toMatchObject({ ...COLD, generation: LATER });
  await loader.loaded(read, STAMP);
  await write(SKILL, 'two');
  expect(await next()).toMatchObject(BOTH);
});

test('what was read anew and reported is loaded, in place and swapped', async () => {
  const { loader, next, found, write, swap } = await runtime();
  await write(HOOK, 'exit 1');
  expect(await next()).toMatchObject(COLD);
  await loader.loaded('lint', (await found()).generation);
  await write(SKILL, 'two');
  expect(await next()).toMatchObject(HOT);
  await swap('two', 'exit 2');
  expect(await next()).toMatchObject({ ...COLD, generation: LATER });
  await loader.loaded('lint', (await found()).generation);
  await write(SKILL, 'three');
  expect(await next()).toMatchObject(HOT);
});

test('an edit of a new version that was read, and taken back before the report, is what is loaded', async () => {
  const { loader, next, found, write, swap } = await runtime();
  await swap('one', 'exit 1');
  expect(await next()).toMatchObject(COLD);
  await write(HOOK, 'exit 2');
  const { generation } = await found();
  await pause(TICKS_MILLIS);
  await write(HOOK, 'exit 1');
  await loader.loaded('lint', generation);
  await write(SKILL, 'two');
  for (let event = await next(); ; event = await next()) {
    expect(event).toMatchObject({ kind: 'cold' });
    if (event?.reasons.length === 2) break;
  }
});

test('a new version is loaded also where its interpreter wrote a cache beside its files before the report', async () => {
  const { layout, loader, next, found, write, swap } = await runtime();
  await swap('one', 'exit 1');
  expect(await next()).toMatchObject(COLD);
  const { generation } = await found();
  await pause(TICKS_MILLIS);
  await mkdir(join(layout.live('lint'), 'hooks/__pycache__'));
  await loader.loaded('lint', generation);
  await write(SKILL, 'two');
  expect(await next()).toMatchObject(HOT);
});

test('a plugin that has come and is reported is loaded', async () => {
  const { layout, loader, next } = await runtime();
  await install(layout, 'fresh', { [SKILL]: 'one', 'plugin.yaml': yamlOf('fresh') });
  expect(await next()).toMatchObject({ plugin: 'fresh', kind: 'cold' });
  await loader.loaded('fresh', await loader.read('fresh', (_root, { generation }) => generation));
  writeFileSync(join(layout.live('fresh'), SKILL), 'two');
  expect(await next()).toMatchObject({ plugin: 'fresh', ...HOT });
});
