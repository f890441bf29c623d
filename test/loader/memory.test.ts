import { lstat, mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { expect, onTestFinished, test, vi } from 'vitest';

import { type Loader, type Plugin, createLoader } from '../../loader/index.ts';
import { createMemory } from '../../loader/memory.ts';
import type { Layout } from '../../shared/format/layout.ts';
import { LATER, install, makeRoot, markerOf, writeFiles, yamlOf } from '../_kit/loader-root.ts';

const FILES = { 'plugin.yaml': yamlOf('lint'), 'rules/a.md': 'a', 'CLAUDE.md': 'c' };

async function settled(files: Record<string, string> = FILES): Promise<{ layout: Layout; loader: Loader }> {
  const layout = await makeRoot();
  await install(layout, 'lint', files);
  // Times younger than this are not trusted.
  await pause(150);
  return { layout, loader: createLoader({ roots: [layout.root] }) };
}

async function only(loader: Loader): Promise<Plugin | undefined> {
  return (await loader.scan()).admitted[0];
}

test('what has not changed is the same object again', async () => {
  const { loader } = await settled();
  const first = await only(loader);
  expect(first).toBeDefined();
  expect(await only(loader)).toBe(first);
  expect(await loader.gate('lint')).toMatchObject({ plugin: first });
});

test('what was written a moment ago is read again: a second write may bear the same time', async () => {
  // However long the install takes, it was a moment ago.
  vi.useFakeTimers({ toFake: ['Date'] });
  onTestFinished(() => void vi.useRealTimers());
  const layout = await makeRoot();
  const loader = createLoader({ roots: [layout.root] });
  await install(layout, 'lint');
  const first = await only(loader);
  expect(await only(loader)).not.toBe(first);
  expect(await only(loader)).toEqual(first);
});

test.each<[string, (live: string) => Promise<unknown>, Partial<Plugin>]>([
  [
    'the manifest, to the same size',
    (live) => writeFile(join(live, 'plugin.yaml'), yamlOf('lint').replace('1.2.3', '1.2.4')),
    { manifest: expect.objectContaining({ version: '1.2.4' }) },
  ],
  [
    'the marker, to the same size',
    (live) => writeFile(join(live, '.complete'), JSON.stringify(markerOf('lint', [], LATER))),
    { generation: LATER },
  ],
  ['the rules', (live) => rm(join(live, 'rules/a.md')), { rules: [] }],
  ['the prompt fragments', (live) => rm(join(live, 'CLAUDE.md')), { promptFragments: [] }],
  ['the skills', (live) => mkdir(join(live, 'skills')), { skillsDir: expect.any(String) }],
  [
    'a fragment for a link',
    async (live) => {
      await symlink('plugin.yaml', join(live, 'link'));
      await rename(join(live, 'link'), join(live, 'CLAUDE.md'));
    },
    { promptFragments: [] },
  ],
])('a change of %s is seen', async (_, change, expected) => {
  const { layout, loader } = await settled();
  await only(loader);
  await change(layout.live('lint'));
  expect(await only(loader)).toMatchObject(expected);
});

test('a manifest that goes before the remembered one is seen', async () => {
  const { layout, loader } = await settled({ 'SKILL.md': '---\nname: s\n---\n', '.claude-plugin/x': '' });
  expect((await only(loader))?.manifest?.name).toBe('s');
  await writeFiles(layout.live('lint'), { '.claude-plugin/plugin.json': '{"name":"p"}' });
  expect((await only(loader))?.manifest?.name).toBe('p');
});

test('a plugin.json that becomes a manifest where it lies is seen', async () => {
  const { layout, loader } = await settled({
    'SKILL.md': '---\nname: s\n---\n',
    'plugin.json': '{"name":"p"}',
  });
  expect((await only(loader))?.manifest?.name).toBe('s');
  const $schema = 'https://agent-plugins.org/schemas/1.0.0/plugin.schema.json';
  await writeFile(join(layout.live('lint'), 'plugin.json'), JSON.stringify({ $schema, name: 'p' }));
  expect((await only(loader))?.manifest?.name).toBe('p');
});

test('what is remembered is refused all the same once it is disabled, unmarked or linked', async () => {
  const { layout, loader } = await settled();
  const reason = async (): Promise<unknown> => (await loader.scan()).refused[0]?.reason;
  await only(loader);
  await writeFile(layout.stateOf('lint'), '{"disabled":true}');
  expect(await reason()).toBe('disabled');
  await rm(layout.stateOf('lint'));
  await only(loader);
  await rm(join(layout.live('lint'), '.complete'));
  expect(await reason()).toBe('no-marker');
  await rename(layout.live('lint'), layout.slot('lint', LATER));
  await symlink(layout.slot('lint', LATER), layout.live('lint'));
  expect(await reason()).toBe('symlink');
});

test('with verify "digest" nothing is taken from memory', async () => {
  const { layout } = await settled();
  const loader = createLoader({ roots: [layout.root], verify: 'digest' });
  await only(loader);
  await writeFile(join(layout.live('lint'), 'rules/a.md'), 'b');
  expect((await loader.scan()).refused).toMatchObject([{ reason: 'digest-mismatch' }]);
});

test('a state that disables nothing is not read again until it changes, to the same size and in place', async () => {
  const { layout } = await settled();
  const state = layout.stateOf('lint');
  await writeFile(state, '{"version":1,"xisabled":true}');
  await pause(150);
  const loader = createLoader({ roots: [layout.root] });
  for (let again = 0; again < 2; again += 1) expect(await only(loader)).toBeDefined();
  await writeFile(state, '{"version":1,"disabled":true}');
  expect(await loader.scan()).toMatchObject({
    admitted: [],
    refused: [{ name: 'lint', reason: 'disabled' }],
  });
  expect(await loader.gate('lint')).toMatchObject({ admitted: false, reason: 'disabled' });
  await writeFile(state, '{"version":1,"xisabled":true}');
  expect(await only(loader)).toBeDefined();
  await rm(state);
  expect(await only(loader)).toBeDefined();
});

test('a state that was written a moment ago is read again', async () => {
  vi.useFakeTimers({ toFake: ['Date'] });
  onTestFinished(() => void vi.useRealTimers());
  const memory = createMemory();
  const layout = await makeRoot();
  const state = layout.stateOf('lint');
  await writeFile(state, '{}');
  const stats = await lstat(state, { bigint: true });
  memory.rememberEnabled(state, stats, Date.now());
  expect(await memory.isEnabled(state)).toBe(false);
  memory.rememberEnabled(state, stats, Date.now() + 60_000);
  expect(await memory.isEnabled(state)).toBe(true);
});
