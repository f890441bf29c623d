import { mkdir, readFile, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { createLoader } from '../../loader/index.ts';
import { LATER, STAMP } from '../_kit/loader-root.ts';
import {
  type Around,
  FILES,
  WAYS,
  below,
  collect,
  failing,
  makeWorld,
  needs,
  reading,
} from '../_kit/reading.ts';

/** Does something once, after the gate has answered and before the directory is opened. */
const afterGate =
  (meanwhile: () => Promise<unknown>): Around =>
  (gate) => {
    let done = false;
    return async (...asked) => {
      const passage = await gate(...asked);
      if (!done) await meanwhile();
      done = true;
      return passage;
    };
  };

describe.each(WAYS)('%s', (way) => {
  test('a reader sees the files of the generation that it is told, by the name or by a plugin of before', async () => {
    const { layout, update } = await makeWorld();
    const answer = await createLoader({ roots: [layout.root] }).gate('lint');
    if (!answer.admitted) throw new Error(answer.detail);
    const read = reading(layout, way);
    expect(await read('lint', async (root, { generation }) => [generation, ...(await below(root))])).toEqual([
      STAMP,
      'one',
      'one',
    ]);
    const stamp = await update('two');
    const listed = await read(answer.plugin, async (root, { generation }) => ({
      generation,
      names: (await readdir(root, { recursive: true })).toSorted(),
    }));
    const directories = ['rules', 'skills', 'skills/one'];
    expect(listed).toEqual({
      generation: stamp,
      names: ['.complete', ...FILES, ...directories].toSorted(),
    });
  });

  test('what is swapped between two files is of one version all the same', async (ctx) => {
    needs(way, ctx);
    const { layout, update } = await makeWorld();
    const runs: string[] = [];
    const seen = await reading(layout, way)('lint', async (root, { generation }) => {
      runs.push(generation);
      const first = await readFile(join(root, 'rules/a.md'), 'utf8');
      if (runs.length === 1) await update('two');
      return [first, await readFile(join(root, 'skills/one/SKILL.md'), 'utf8')];
    });
    // A version that is held is read to its end; at the live path it has to be read again.
    const held = way === 'through the open directory';
    expect([runs.length, seen]).toEqual(held ? [1, ['one', 'one']] : [2, ['two', 'two']]);
  });

  test.each([failing('ENOENT'), failing('EACCES'), new TypeError('a bug')])(
    'what a reader throws of its own is thrown on unchanged, at once: %s',
    async (error) => {
      const { layout } = await makeWorld();
      let runs = 0;
      const read = reading(layout, way);
      await expect(
        read('lint', () => {
          runs += 1;
          throw error;
        }),
      ).rejects.toBe(error);
      expect(runs).toBe(1);
    },
  );

  test.each<[string, string, (live: string) => Promise<unknown>]>([
    ['CONFLICT', '"lint" is refused (no-marker)', (live) => rm(join(live, '.complete'))],
    ['CONFLICT', '"lint" is refused (symlink)', linkAway],
    ['NOT_FOUND', 'There is nothing of that name', (live) => rename(live, `${live}-away`)],
  ])('what the gate refuses is not read: %s, %s', async (code, message, change) => {
    const { layout } = await makeWorld();
    await change(layout.live('lint'));
    let runs = 0;
    await expect(reading(layout, way)('lint', () => (runs += 1))).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
      hint: expect.stringMatching(/./),
    });
    expect(runs).toBe(0);
  });

  test('a name that is none is not read', async () => {
    const { layout } = await makeWorld();
    await expect(reading(layout, way)('../lint', () => 0)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('a version that loses its marker while it is read is refused', async () => {
    const { layout } = await makeWorld();
    const read = reading(layout, way)('lint', () => rm(join(layout.live('lint'), '.complete')));
    await expect(read).rejects.toMatchObject({ code: 'CONFLICT' });
  });

  describe('between the answer of the gate and the reader', () => {
    test('an update is seen: what is read is what was admitted', async () => {
      const { layout, update } = await makeWorld();
      const read = reading(
        layout,
        way,
        {},
        afterGate(() => update('two')),
      );
      const seen = await read('lint', async (root, { generation }) => [generation, ...(await below(root))]);
      expect(seen).toEqual([expect.not.stringContaining(STAMP), 'two', 'two']);
    });

    test('a link in the place of the directory is not followed', async () => {
      const { layout } = await makeWorld();
      const dependencies = afterGate(() => linkAway(layout.live('lint')));
      await expect(reading(layout, way, {}, dependencies)('lint', () => 0)).rejects.toMatchObject({
        code: 'CONFLICT',
        message: expect.stringContaining('symlink'),
      });
    });

    test('updates without an end are given up', async () => {
      const { layout, update } = await makeWorld();
      const dependencies: Around = (gate) => async (name) => {
        const passage = await gate(name);
        await update('next');
        return passage;
      };
      await expect(reading(layout, way, {}, dependencies)('lint', () => 0)).rejects.toMatchObject({
        code: 'LOCKED',
        message: '"lint" was replaced 20 times in a row before it could be read',
      });
    });
  });

  test('an empty marker, one of a newer format, and none where the gate only warns, are enough', async () => {
    const { layout } = await makeWorld();
    const marker = join(layout.live('lint'), '.complete');
    const read = reading(layout, way, { mode: 'warn' });
    await writeFile(marker, JSON.stringify({ version: 9, plugin: 'lint', installId: LATER }));
    expect(await read('lint', (_, { generation }) => generation)).toBe(LATER);
    await writeFile(marker, '');
    expect(await read('lint', (_, { generation }) => generation)).toMatch(/^dir-/);
    await rm(marker);
    expect(await read('lint', below)).toEqual(['one', 'one']);
  });

  test('once the signal is aborted nothing is read', async () => {
    const { layout } = await makeWorld();
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(reading(layout, way, { signal })('lint', () => 0)).rejects.toThrow('enough');
  });
});

async function linkAway(live: string): Promise<void> {
  await rename(live, `${live}-away`);
  await symlink(`${live}-away`, live);
}

describe('on Linux', () => {
  test('every directory that was opened is closed, however the reading ends', async (ctx) => {
    if (process.platform !== 'linux') ctx.skip('only Linux has /proc');
    const { layout, update } = await makeWorld();
    const opened = async (): Promise<string[]> =>
      (
        await Promise.all(
          (await readdir('/proc/self/fd')).map((fd) =>
            readdir(`/proc/self/fd/${fd}/rules`).then(
              () => [fd],
              () => [],
            ),
          ),
        )
      ).flat();
    const { read } = createLoader({ roots: [layout.root] });
    const during = await read('lint', async (root) => {
      expect(root).toMatch(/^\/proc\/self\/fd\/\d+$/);
      return opened();
    });
    expect(during).toHaveLength(1);
    await read('lint', () => Promise.reject(new Error('of its own'))).catch(() => 0);
    await read('lint', async () => {
      await update('next');
      await collect(layout);
    }).catch(() => 0);
    await reading(
      layout,
      'through the open directory',
      {},
      afterGate(() => update('two')),
    )('lint', () => 0);
    expect(await opened()).toEqual([]);
  });

  test('what is not below a version is not held: a directory in the place of a plugin that was moved away', async (ctx) => {
    if (process.platform !== 'linux') ctx.skip('only Linux has /proc');
    const { layout } = await makeWorld();
    const live = layout.live('lint');
    const seen = await createLoader({ roots: [layout.root] }).read('lint', async (root) => {
      await rename(live, `${live}-away`);
      await mkdir(live);
      return below(root);
    });
    expect(seen).toEqual(['one', 'one']);
  });
});
