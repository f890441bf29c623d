import { execFileSync } from 'node:child_process';
import { chmod, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';

import fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';

import { createLoader } from '../../loader/index.ts';
import { isPluginName } from '../../shared/format/name.ts';
import { admitted, refused } from '../_kit/gate.ts';
import { STAMP, install, makeRoot, markerOf, writeFiles, yamlOf } from '../_kit/loader-root.ts';

test('no-marker: a plugin without one', async () => {
  const layout = await makeRoot();
  await writeFiles(layout.live('old'), { 'plugin.yaml': yamlOf('old') });
  expect((await refused(layout.root, 'old')).reason).toBe('no-marker');
});

test.each([
  ['not JSON', '{'],
  ['white space', '\n'],
  ['NUL bytes, as a power cut leaves them', '\0\0\0\0'],
  ['JSON of another shape', '{"version":1}'],
  ['an installId that leads elsewhere', JSON.stringify({ version: 2, plugin: 'lint', installId: '../../x' })],
])('marker-invalid: %s', async (_, text) => {
  const layout = await makeRoot();
  await install(layout, 'lint');
  await writeFile(join(layout.live('lint'), '.complete'), text);
  expect((await refused(layout.root, 'lint')).reason).toBe('marker-invalid');
  expect((await refused(layout.root, 'lint', { mode: 'warn' })).reason).toBe('marker-invalid');
});

test.each([
  ['full', markerOf('lint', [])],
  ['newer', { version: 2, plugin: 'lint', installId: STAMP }],
])('marker-foreign: a copied directory with a %s marker', async (_, marker) => {
  const layout = await makeRoot();
  const files = { 'plugin.yaml': yamlOf('copy'), '.complete': JSON.stringify(marker) };
  await writeFiles(layout.live('copy'), files);
  expect(await refused(layout.root, 'copy')).toMatchObject({
    reason: 'marker-foreign',
    detail: 'Its .complete belongs to "lint"',
  });
});

test('manifest-missing: none of the three is there', async () => {
  const layout = await makeRoot();
  await install(layout, 'lint', { 'rules/a.md': 'a', '.claude-plugin': 'a file' });
  expect((await refused(layout.root, 'lint')).reason).toBe('manifest-missing');
});

test('manifest-invalid: the first that is there is wrong, though the next would do', async () => {
  const layout = await makeRoot();
  await install(layout, 'lint', { 'plugin.yaml': 'version: 1', 'SKILL.md': '---\nname: lint\n---\n' });
  const { reason, detail } = await refused(layout.root, 'lint');
  expect(reason).toBe('manifest-invalid');
  expect(detail).toContain('plugin.yaml');
});

test('not-a-directory: a file, a socket, nothing at all', async () => {
  const layout = await makeRoot();
  await writeFile(layout.live('file'), 'x');
  const server = createServer();
  onTestFinished(() => void server.close());
  await new Promise<void>((resolve) => server.listen(layout.live('socket'), resolve));
  for (const name of ['file', 'socket', 'nothing']) {
    expect((await refused(layout.root, name)).reason).toBe('not-a-directory');
  }
});

test('not-a-directory: a name that is none, without a look at the disk', async () => {
  const layout = await makeRoot();
  await install(layout, 'lint');
  await install(layout, 'lint', undefined, STAMP, join(layout.root, 'Lint'));
  for (const name of [
    '',
    '.',
    '..',
    '../plugins/lint',
    'lint/',
    '.staging',
    'Lint',
    'a..b',
    'lint\0',
    'x'.repeat(129),
  ]) {
    const { reason, detail } = await refused(layout.root, name);
    expect(reason).toBe('not-a-directory');
    expect(detail).toContain('is not the name of a plugin');
  }
});

test('symlink: a link to a whole plugin is still refused', async () => {
  const layout = await makeRoot();
  await install(layout, 'lint');
  await symlink('lint', layout.live('link'));
  await symlink('nowhere', layout.live('dangling'));
  expect((await refused(layout.root, 'link')).reason).toBe('symlink');
  expect((await refused(layout.root, 'dangling')).reason).toBe('symlink');
});

test('unreadable: the root is a file', async () => {
  const layout = await makeRoot();
  await writeFile(join(layout.root, 'file'), '');
  const { reason, detail } = await refused(join(layout.root, 'file'), 'lint');
  expect(reason).toBe('unreadable');
  expect(detail).toContain('ENOTDIR');
});

test('unreadable: a directory that this user may not list', async (ctx) => {
  if (process.getuid?.() === 0) ctx.skip('root may list everything');
  const layout = await makeRoot();
  await install(layout, 'lint');
  await chmod(layout.live('lint'), 0o000);
  onTestFinished(() => chmod(layout.live('lint'), 0o755));
  expect((await refused(layout.root, 'lint')).reason).toBe('unreadable');
});

test('unreadable: a symlinked marker, though what it points to is whole', async () => {
  const layout = await makeRoot();
  await install(layout, 'lint');
  await rename(join(layout.live('lint'), '.complete'), join(layout.root, 'elsewhere'));
  await symlink('../elsewhere', join(layout.live('lint'), '.complete'));
  expect(await refused(layout.root, 'lint')).toMatchObject({
    reason: 'unreadable',
    detail: 'Its marker cannot be read: it is a symbolic link',
  });
});

test('unreadable: a fifo as marker or manifest does not hang the gate', async () => {
  const layout = await makeRoot();
  await writeFiles(layout.live('one'), { 'plugin.yaml': yamlOf('one') });
  execFileSync('mkfifo', [join(layout.live('one'), '.complete')]);
  await install(layout, 'two', { 'rules/a.md': 'a' });
  execFileSync('mkfifo', [join(layout.live('two'), 'plugin.yaml')]);
  expect((await refused(layout.root, 'one')).detail).toContain('it is not a regular file');
  expect((await refused(layout.root, 'two')).detail).toBe(
    'plugin.yaml cannot be read: it is not a regular file',
  );
});

test('unreadable: a directory as marker or manifest', async () => {
  const layout = await makeRoot();
  await writeFiles(layout.live('one'), { 'plugin.yaml': yamlOf('one'), '.complete/x': '' });
  await install(layout, 'two', { 'plugin.yaml/x': '', 'SKILL.md': '---\nname: two\n---\n' });
  expect((await refused(layout.root, 'one')).reason).toBe('unreadable');
  expect((await refused(layout.root, 'two')).reason).toBe('unreadable');
});

test('unreadable: a marker of more than 64 KiB; one of exactly that is read', async () => {
  const layout = await makeRoot();
  const marker = await install(layout, 'lint');
  const text = JSON.stringify(marker);
  await writeFile(join(layout.live('lint'), '.complete'), text.padEnd(64 * 1024));
  expect((await admitted(layout.root, 'lint')).level).toBe('verified');
  await truncate(join(layout.live('lint'), '.complete'), 64 * 1024 + 1);
  const { reason, detail } = await refused(layout.root, 'lint');
  expect(reason).toBe('unreadable');
  expect(detail).toContain('it has 65537 bytes, at most 65536 are read');
});

test('unreadable: a manifest that is a link, below one, or larger than 1 MiB', async () => {
  const layout = await makeRoot();
  for (const name of ['link', 'below', 'large']) await install(layout, name, { 'rules/a.md': 'a' });
  await writeFiles(layout.root, {
    'outside/plugin.json': '{"name":"x"}',
    'outside/plugin.yaml': 'name: x',
  });
  await symlink('../outside/plugin.yaml', join(layout.live('link'), 'plugin.yaml'));
  await symlink('../outside', join(layout.live('below'), '.claude-plugin'));
  await writeFile(join(layout.live('large'), 'plugin.yaml'), yamlOf('large').padEnd(1024 * 1024 + 1, '\n'));
  for (const name of ['link', 'below', 'large']) {
    expect((await refused(layout.root, name)).reason).toBe('unreadable');
  }
});

test('runtime-unsupported: the manifest names others', async () => {
  const layout = await makeRoot();
  await install(layout, 'lint', { 'plugin.yaml': yamlOf('lint', 'runtimes: [hermes]') });
  expect((await refused(layout.root, 'lint', { runtime: 'claude-code' })).reason).toBe('runtime-unsupported');
});

test('disabled: the state says so, or cannot be understood and may say so', async () => {
  const layout = await makeRoot();
  await install(layout, 'lint');
  const loader = createLoader({ roots: [layout.root] });
  await writeFile(layout.stateOf('lint'), '{"version":1,"disabled":tr');
  expect(await loader.gate('lint')).toMatchObject({ admitted: false, reason: 'disabled' });
  await writeFile(layout.stateOf('lint'), '{"version":1,"disabled":false}');
  expect(await loader.gate('lint')).toMatchObject({ admitted: true });
  await writeFile(layout.stateOf('lint'), '{"disabled":true,"held":"by me"}');
  expect(await loader.gate('lint')).toMatchObject({ admitted: false, reason: 'disabled' });
  await rm(layout.stateOf('lint'));
  expect(await loader.gate('lint')).toMatchObject({ admitted: true });
});

test('whatever a name, the gate answers and never throws', async () => {
  const layout = await makeRoot();
  await install(layout, 'lint');
  const loader = createLoader({ roots: [layout.root] });
  const name = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('lint', '.complete', 'lint/.complete', '..'),
  );
  await fc.assert(
    fc.asyncProperty(name, async (text) => {
      const answer = await loader.gate(text);
      expect(answer.admitted).toBe(text === 'lint');
      if (!answer.admitted) expect(answer.detail.includes('is not the name')).toBe(!isPluginName(text));
    }),
  );
});

test('whatever bytes a marker holds, the gate answers, and admits only an empty or a full one', async () => {
  const layout = await makeRoot();
  const marker = await install(layout, 'lint');
  const loader = createLoader({ roots: [layout.root] });
  const text = JSON.stringify(marker);
  const cutShort = fc.nat(text.length - 1).map((length) => Buffer.from(text.slice(0, length)));
  // Editors of Windows begin a file with a mark: without a text behind it the marker is empty, and UTF-16 is named as such.
  const expected = (bytes: Uint8Array): string => {
    const begin = Buffer.from(bytes.subarray(0, 2)).toString('hex');
    if (begin === 'fffe' || begin === 'feff') return 'unreadable';
    const isEmpty = bytes.length === 0 || Buffer.from(bytes).toString('hex') === 'efbbbf';
    return isEmpty ? 'unverified' : 'marker-invalid';
  };
  await fc.assert(
    fc.asyncProperty(fc.oneof(cutShort, fc.uint8Array()), async (bytes) => {
      await writeFile(join(layout.live('lint'), '.complete'), bytes);
      const answer = await loader.gate('lint');
      expect(answer.admitted ? answer.plugin.level : answer.reason).toBe(expected(bytes));
    }),
    {
      examples: ['fffe', 'feff7b', 'efbbbf', 'efbbbf7b'].map((hex): [Uint8Array] => [
        Buffer.from(hex, 'hex'),
      ]),
    },
  );
});
