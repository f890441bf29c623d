/** Whatever is done to a live tree, in whatever order and however fast: the last verdict names what differs, exactly. */
import { chmod, mkdir, readFile, readdir, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { expect, test } from 'vitest';

import { install, makeRoot, yamlOf } from '../_kit/loader-root.ts';
import { chanceOf, pick } from '../_kit/chance.ts';
import { watching } from '../_kit/watching.ts';

const FILES = {
  'plugin.yaml': yamlOf('lint'),
  'skills/a/SKILL.md': 'a',
  'skills/b/SKILL.md': 'b',
  'skills/b/deep/er/x': 'x',
  'data/0/f': '0',
  'data/1/f': '1',
};
const STEPS = 120;

async function treeOf(top: string): Promise<Map<string, string>> {
  const tree = new Map<string, string>();
  for (const entry of await readdir(top, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name).slice(top.length + 1);
    if (entry.isSymbolicLink()) tree.set(path, 'link');
    else if (entry.isFile() && path !== '.complete') {
      const { mode } = await stat(join(top, path));
      tree.set(path, `${mode & 0o100} ${await readFile(join(top, path), 'utf8')}`);
    }
  }
  return tree;
}

for (const seed of [1, 2, 3, 4, 5, 6]) {
  test(`seed ${seed}`, async () => {
    const layout = await makeRoot();
    await install(layout, 'lint', FILES);
    const top = layout.live('lint');
    const before = await treeOf(top);
    const { next, rest, told, clock } = await watching(layout);
    // From here on every verdict is cold, and names all that differs from the beginning.
    await writeFile(join(top, 'cold'), '');
    expect(await next()).toMatchObject({ kind: 'cold' });

    const chance = chanceOf(seed);
    const below = (count: number): number => pick(chance, count);
    const semaphore = [
      'skills/a',
      'skills/b',
      'skills/b/deep',
      'skills/c',
      'data/0',
      'data/1',
      'data/2/new/er',
    ];
    const place = (): string => join(top, semaphore[below(semaphore.length)] ?? '');
    const file = (): string => join(place(), ['SKILL.md', 'f', 'x'][below(3)] ?? '');
    const steps: (() => Promise<unknown>)[] = [
      async () => {
        const path = file();
        await mkdir(dirname(path), { recursive: true });
        await writeFile(path, String(below(5)));
      },
      async () => writeFile(file(), String(below(5))),
      async () => rename(file(), file()),
      async () => rename(place(), place()),
      async () => rm(file()),
      async () => rm(place(), { recursive: true }),
      async () => chmod(file(), below(2) === 0 ? 0o755 : 0o644),
      async () => symlink('nowhere', file()),
      async () => {
        const aside = join(layout.staging, `aside-${below(1e9)}`);
        await mkdir(join(aside, 'deep'), { recursive: true });
        await writeFile(join(aside, 'deep', 'f'), String(below(5)));
        const path = place();
        await rm(path, { recursive: true, force: true });
        await rename(aside, path);
      },
    ];
    for (let i = 0; i < STEPS; i += 1) {
      await steps[below(steps.length)]?.().catch(() => undefined);
      if (below(4) === 0) await pause(below(20));
      if (below(4) === 0) clock.advance(below(400));
    }
    await rest();
    const after = await treeOf(top);
    const differs = [...new Set([...before.keys(), ...after.keys()])].filter(
      (path) => before.get(path) !== after.get(path),
    );
    // In which order the reasons come is tested elsewhere.
    expect(
      told
        .at(-1)
        ?.reasons.map(({ path }) => path)
        .toSorted(),
    ).toEqual(differs.toSorted());
  });
}
