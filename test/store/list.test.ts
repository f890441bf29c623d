/** What the agent lists is what a gate admits, however that is asked; and looking needs nothing but the plugins. */
import { renameSync } from 'node:fs';
import { mkdir, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { nodeDisk } from '../../agent/disk/node-disk.ts';
import { getPlugin, listPlugins, verifyPlugin } from '../../agent/store/inspect.ts';
import { createLoader } from '../../loader/index.ts';
import type { Layout } from '../../shared/format/layout.ts';
import { makeRoom } from '../_kit/install-room.ts';
import { LATER, STAMP, install, makeRoot, writeFiles, yamlOf } from '../_kit/loader-root.ts';
import { snapshotTree } from '../_kit/tree-snapshot.ts';

const FILES = { 'text.md': 'text', 'more.md': 'more' };

async function put(layout: Layout, name: string, state?: string): Promise<string> {
  await install(layout, name, { ...FILES, 'plugin.yaml': yamlOf(name) });
  if (state !== undefined) await writeFile(layout.stateOf(name), state);
  return layout.live(name);
}

async function edit(file: string, text: string): Promise<void> {
  await writeFile(file, text);
  // Before the install, so that only who reads it sees the edit.
  await utimes(file, new Date(0), new Date(0));
}

async function makeAll(): Promise<Layout> {
  const layout = await makeRoot();
  await put(layout, 'intact');
  await edit(join(await put(layout, 'same-size'), 'text.md'), 'TEXT');
  await edit(join(await put(layout, 'longer'), 'text.md'), 'longer');
  await writeFile(join(await put(layout, 'more-files'), 'new.md'), '');
  await rm(join(await put(layout, 'fewer-files'), 'more.md'));
  await symlink('text.md', join(await put(layout, 'linked'), 'link.md'));
  await put(layout, 'disabled', '{"version":1,"disabled":true}');
  await put(layout, 'newer-state', '{"version":2,"pending":"soon"}');
  await put(layout, 'torn-state', '{"version":1,"disa');
  for (const name of ['no-receipt', 'no-receipt-edited']) {
    const live = await put(layout, name);
    await rm(layout.receipt(name, STAMP));
    if (name.endsWith('edited')) await edit(join(live, 'text.md'), 'TEXT');
  }
  await install(layout, 'two', FILES, LATER);
  await writeFiles(layout.live('half'), { 'plugin.yaml': yamlOf('half') });
  await writeFiles(layout.live('touched'), { 'plugin.yaml': yamlOf('touched'), '.complete': '' });
  await writeFiles(layout.live('foreign'), { '.complete': '{"version":1,"plugin":"other"}' });
  await writeFile(layout.live('a-file'), '');
  await symlink('intact', layout.live('a-link'));
  return layout;
}

const contextOf = ({ root }: Layout): ReturnType<typeof makeRoom>['context'] =>
  makeRoom({}, nodeDisk, root).context;

test.each([
  [undefined, undefined],
  ['warn', 'marker'],
  ['enforce', 'stat'],
  ['enforce', 'digest'],
  ['warn', 'digest'],
] as const)('with mode %s and verify %s the list is that of the gate', async (mode, verify) => {
  const layout = await makeAll();
  const gate = await createLoader({ roots: [layout.root], mode, verify }).scan();
  const expected = [
    ...gate.admitted.map(({ name, level }) => `${name} ${level}`),
    ...gate.refused.map(({ name, reason }) => `${name} ${name === 'torn-state' ? 'unreadable' : reason}`),
  ].toSorted();
  const listed = listPlugins(contextOf(layout), { mode, verify });
  expect(listed.map(({ name, level, reason }) => `${name} ${level ?? reason}`).toSorted()).toEqual(expected);
  const details = new Map(gate.refused.map(({ name, detail, hint }) => [name, { detail, hint }]));
  for (const { name, reason, detail, hint } of listed) {
    if (reason === 'digest-mismatch' && !name.startsWith('no-receipt')) {
      expect({ detail, hint }).toEqual(details.get(name));
    }
  }
});

test('looking at a root in which Airlock was never at work makes nothing there', async () => {
  const layout = await makeRoot();
  const { context } = makeRoom({}, nodeDisk, layout.root);
  for (const path of [layout.staging, layout.previous, layout.receipts, layout.state]) {
    await rm(path, { recursive: true, force: true });
  }
  await mkdir(layout.live('half'));
  await writeFiles(layout.live('touched'), { 'plugin.yaml': yamlOf('touched'), '.complete': '' });
  const before = await snapshotTree(layout.root);
  expect(listPlugins(context).map(({ name, status }) => [name, status])).toEqual([
    ['half', 'refused'],
    ['touched', 'admitted'],
  ]);
  expect(getPlugin(context, 'nobody')).toBeUndefined();
  expect(verifyPlugin(context, 'touched').verdict).toBe('unknown');
  expect(await snapshotTree(layout.root)).toEqual(before);
});

test('a plugin that a listing overlooks while the root changes is listed all the same', async () => {
  const layout = await makeRoot();
  await put(layout, 'lint');
  const context = contextOf(layout);
  let lists = 0;
  const disk = {
    ...context.disk,
    list: (path: string) => {
      const entries = context.disk.list(path);
      lists += path === layout.root ? 1 : 0;
      return path === layout.root && lists === 1 ? entries.filter(({ name }) => name !== 'lint') : entries;
    },
    changedAt: (path: string) => (path === layout.root ? BigInt(lists) : context.disk.changedAt(path)),
  };
  expect(listPlugins({ ...context, disk }).map(({ name }) => name)).toEqual(['lint']);
});

test('of a version that is replaced while it is looked at no edits are told', async () => {
  const layout = await makeRoot();
  await edit(join(await put(layout, 'lint'), 'text.md'), 'longer');
  const context = contextOf(layout);
  expect(getPlugin(context, 'lint')).toMatchObject({ drift: 1 });
  let swapped = false;
  await install(layout, 'lint', { 'plugin.yaml': yamlOf('lint') }, LATER, join(layout.staging, 'next'));
  const disk = {
    ...context.disk,
    list: (path: string) => {
      if (path === layout.live('lint') && !swapped) {
        swapped = true;
        renameSync(path, join(layout.staging, 'before'));
        renameSync(join(layout.staging, 'next'), path);
      }
      return context.disk.list(path);
    },
  };
  expect(getPlugin({ ...context, disk }, 'lint')).not.toHaveProperty('drift');
});
