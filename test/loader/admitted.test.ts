import { mkdir, rename, utimes } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { admitted } from '../_kit/gate.ts';
import { LATER, STAMP, install, makeRoot, writeFiles, yamlOf } from '../_kit/loader-root.ts';

test('a full marker is verified, and the installId is its generation', async () => {
  const layout = await makeRoot();
  const marker = await install(layout, 'lint');
  const plugin = await admitted(layout.root, 'lint');
  expect(plugin).toMatchObject({
    name: 'lint',
    level: 'verified',
    generation: STAMP,
    marker,
    warnings: [],
  });
  expect(plugin).toMatchObject({
    root: layout.root,
    path: join(layout.root, 'lint'),
    dataDir: layout.data('lint'),
  });
  expect(plugin.manifest).toMatchObject({ file: 'plugin.yaml', name: 'lint', version: '1.2.3' });
});

test('an empty marker is unverified; its generation stays while nothing changes, also beside a new __pycache__', async () => {
  const layout = await makeRoot();
  await writeFiles(layout.live('lint'), { 'plugin.yaml': yamlOf('lint'), '.complete': '' });
  const { level, marker, generation } = await admitted(layout.root, 'lint');
  expect({ level, marker }).toEqual({ level: 'unverified', marker: undefined });
  expect(generation).toMatch(/^dir-\d+-\d+-\d+$/);
  await mkdir(join(layout.live('lint'), '__pycache__'));
  expect((await admitted(layout.root, 'lint')).generation).toBe(generation);
});

test('touching an empty marker again, or another directory in its place, is another generation', async () => {
  const layout = await makeRoot();
  await writeFiles(layout.live('lint'), { 'plugin.yaml': yamlOf('lint'), '.complete': '' });
  const first = await admitted(layout.root, 'lint');
  await utimes(join(layout.live('lint'), '.complete'), 1, 1);
  const touched = await admitted(layout.root, 'lint');
  await rename(layout.live('lint'), join(layout.previous, 'lint'));
  await writeFiles(layout.live('lint'), { 'plugin.yaml': yamlOf('lint'), '.complete': '' });
  const replaced = await admitted(layout.root, 'lint');
  expect(new Set([first.generation, touched.generation, replaced.generation]).size).toBe(3);
});

test('a marker of a newer format is verified by its plugin and installId (rule 17)', async () => {
  const layout = await makeRoot();
  const marker = JSON.stringify({ version: 2, plugin: 'lint', installId: LATER, shape: { new: true } });
  await writeFiles(layout.live('lint'), { 'plugin.yaml': yamlOf('lint'), '.complete': marker });
  const plugin = await admitted(layout.root, 'lint');
  expect(plugin).toMatchObject({ level: 'verified', marker: undefined, generation: LATER });
});

test.each([
  ['plugin.yaml', yamlOf('lint')],
  ['.claude-plugin/plugin.json', '{"name":"lint","version":"1.2.3"}'],
  ['SKILL.md', '---\nname: lint\ndescription: Lints\nversion: 1.2.3\n---\n# Lint\n'],
])('%s is a manifest', async (file, text) => {
  const layout = await makeRoot();
  await install(layout, 'lint', { [file]: text });
  expect((await admitted(layout.root, 'lint')).manifest).toMatchObject({
    file,
    name: 'lint',
    version: '1.2.3',
  });
});

test('of several manifests the first kind counts', async () => {
  const layout = await makeRoot();
  const files = { 'SKILL.md': '---\nname: c\n---\n', '.claude-plugin/plugin.json': '{"name":"b"}' };
  await install(layout, 'lint', files);
  expect((await admitted(layout.root, 'lint')).manifest?.name).toBe('b');
  await writeFiles(layout.live('lint'), { 'plugin.yaml': 'name: a' });
  expect((await admitted(layout.root, 'lint')).manifest?.name).toBe('a');
});

test('a .claude-plugin directory without a plugin.json leaves the SKILL.md to be the manifest', async () => {
  const layout = await makeRoot();
  await install(layout, 'lint', {
    'SKILL.md': '---\nname: c\n---\n',
    '.claude-plugin/marketplace.json': '{}',
  });
  expect((await admitted(layout.root, 'lint')).manifest?.name).toBe('c');
});

test('a manifest with a field of another form admits, with a warning', async () => {
  const layout = await makeRoot();
  await writeFiles(layout.live('lint'), { 'plugin.yaml': 'name: lint\nauthor: [a, b]\n', '.complete': '' });
  const { manifest, warnings } = await admitted(layout.root, 'lint');
  expect(manifest?.name).toBe('lint');
  expect(warnings).toEqual([
    'plugin.yaml: "author" is left out: it must be a text, or a map with the text "name"',
  ]);
});

test('a byte order mark in the marker and the manifest is not part of them', async () => {
  const layout = await makeRoot();
  const marker = await install(layout, 'lint');
  await writeFiles(layout.live('lint'), {
    'plugin.yaml': `\uFEFF${yamlOf('lint')}`,
    '.complete': `\uFEFF${JSON.stringify(marker)}`,
  });
  const plugin = await admitted(layout.root, 'lint');
  expect([plugin.level, plugin.marker, plugin.manifest?.name]).toEqual(['verified', marker, 'lint']);
});

test('a plugin.json counts as soon as it says that it is a manifest of Agent Plugins', async () => {
  const layout = await makeRoot();
  const live = layout.live('lint');
  await writeFiles(live, {
    'SKILL.md': '---\nname: lint\n---\n',
    'plugin.json': '{"name":"lint"}',
    '.complete': '',
  });
  expect((await admitted(layout.root, 'lint')).manifest?.file).toBe('SKILL.md');
  const $schema = 'https://agent-plugins.org/schemas/1.0.0/plugin.schema.json';
  await writeFiles(live, { 'plugin.json': JSON.stringify({ $schema, name: 'lint' }) });
  expect((await admitted(layout.root, 'lint')).manifest?.file).toBe('plugin.json');
});

test('without a manifest where the owner allows it', async () => {
  const layout = await makeRoot();
  await install(layout, 'lint', { 'rules/a.md': 'a' });
  expect((await admitted(layout.root, 'lint', { manifest: 'optional' })).manifest).toBeUndefined();
});

test('mode warn admits what has no marker, with a warning', async () => {
  const layout = await makeRoot();
  await writeFiles(layout.live('old'), { 'plugin.yaml': yamlOf('old') });
  const plugin = await admitted(layout.root, 'old', { mode: 'warn' });
  expect(plugin).toMatchObject({ level: 'unmarked', generation: expect.stringMatching(/^dir-/) });
  expect(plugin.warnings).toEqual(['It has no .complete: admitted unchecked because the gate only warns']);
});

test('a runtime is supported whichever way its name is spelled', async () => {
  const layout = await makeRoot();
  await install(layout, 'lint', { 'plugin.yaml': yamlOf('lint', 'runtimes: [claude_code]') });
  expect((await admitted(layout.root, 'lint', { runtime: 'Claude-Code' })).name).toBe('lint');
});

test('an admitted plugin is frozen to its depth', async () => {
  const layout = await makeRoot();
  await install(layout, 'lint');
  const plugin = await admitted(layout.root, 'lint');
  expect(Object.isFrozen(plugin)).toBe(true);
  expect(() => plugin.manifest?.skills.push('x')).toThrow(TypeError);
});
