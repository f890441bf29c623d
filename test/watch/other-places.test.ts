/** Another root or plugin under the same name, also one that nobody is told of, or that has the number of the one before. */
import { cp, mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { type Layout, layoutOf } from '../../shared/format/layout.ts';
import { install, makeRoot, writeFiles, yamlOf } from '../_kit/loader-root.ts';
import { watching } from '../_kit/watching.ts';

const SKILL = '---\nname: lint\ndescription: Checks\n---\n';

async function rootAt(path: string): Promise<Layout> {
  const layout = layoutOf(path);
  for (const directory of [layout.receipts, layout.state, layout.staging, layout.previous]) {
    await mkdir(directory, { recursive: true });
  }
  return layout;
}

const GONE = [{ plugin: 'lint', kind: 'cold', status: 'absent' }];

for (const polling of [false, true]) {
  describe(polling ? 'polling' : 'woken up by the system', () => {
    test('a root whose name begins with a dot is seen to go', async () => {
      const layout = await rootAt(join((await makeRoot()).root, '..', '.plugins'));
      await install(layout, 'lint');
      const { rest } = await watching(layout, { polling });
      await rename(layout.root, `${layout.root}.old`);
      expect(await rest()).toMatchObject(GONE);
    });

    test('a root that is removed and made again at once is watched', async () => {
      const layout = await makeRoot();
      await install(layout, 'lint');
      const { rest } = await watching(layout, { polling });
      await rm(layout.root, { recursive: true });
      await rootAt(layout.root);
      expect(await rest()).toMatchObject(GONE);
      await writeFiles(layout.live('other'), { 'plugin.yaml': yamlOf('other'), '.complete': '' });
      expect(await rest()).toMatchObject([{ plugin: 'other', kind: 'cold', status: 'admitted' }]);
    });

    test('a plugin that is removed and copied back at once is watched', async () => {
      const layout = await makeRoot();
      await install(layout, 'lint', { 'SKILL.md': SKILL });
      const { rest } = await watching(layout, { polling });
      const copy = join(layout.staging, 'copy');
      await cp(layout.live('lint'), copy, { recursive: true });
      for (const text of ['one', 'two', 'three']) {
        await rm(layout.live('lint'), { recursive: true });
        await cp(copy, layout.live('lint'), { recursive: true });
        await rest();
        await writeFile(join(layout.live('lint'), 'SKILL.md'), SKILL + text);
        expect(await rest()).toMatchObject([{ kind: 'skill-content-only' }]);
      }
    });

    test('a link to a root that leads elsewhere is followed anew, and what is there no more is told', async () => {
      const { root } = await makeRoot();
      const [first, second] = [await rootAt(join(root, 'first')), await rootAt(join(root, 'second'))];
      await install(first, 'both', { 'plugin.yaml': yamlOf('both') });
      await install(second, 'both', { 'plugin.yaml': yamlOf('both', 'kind: other\n') });
      await install(first, 'lint');
      await symlink('first', join(root, 'current'));
      const { rest } = await watching(layoutOf(join(root, 'current')), { polling });
      await symlink('second', join(root, 'next'));
      await rename(join(root, 'next'), join(root, 'current'));
      const told = (await rest()).toSorted((a, b) => (a.plugin < b.plugin ? -1 : 1));
      expect(told).toMatchObject([{ plugin: 'both', kind: 'cold', status: 'admitted' }, ...GONE]);
    });

    test('a root is seen to go with a directory above it, and to come back', async () => {
      const { root } = await makeRoot();
      const layout = await rootAt(join(root, 'above', 'plugins'));
      await install(layout, 'lint');
      const { rest } = await watching(layout, { polling });
      await rename(join(root, 'above'), join(root, 'aside'));
      expect(await rest()).toMatchObject(GONE);
      await rename(join(root, 'aside'), join(root, 'above'));
      expect(await rest()).toMatchObject([{ plugin: 'lint', kind: 'identical', status: 'admitted' }]);
    });
  });
}
