import { readdir } from 'node:fs/promises';

import { describe, expect, test } from 'vitest';

import { nodeDisk } from '../../agent/disk/node-disk.ts';
import { removeTree } from '../../agent/disk/record.ts';
import { WAYS, below, collect, failing, makeWorld, reading } from '../_kit/reading.ts';

describe.each(WAYS)('%s', (way) => {
  test.each<[string, (root: string) => Promise<unknown>]>([
    ['the reader misses a file', below],
    ['the reader does not notice', async (root) => [(await readdir(root)).length, ...(await below(root))]],
    [
      'the reader makes something else of it',
      async (root) => {
        if ((await readdir(root)).length < 4) throw new Error('It holds too little');
        return below(root);
      },
    ],
    [
      'the reader makes do without',
      (root) => below(root).catch(async () => [(await readdir(root)).join(',')]),
    ],
  ])('a version that is removed meanwhile is not read: %s', async (_, reader) => {
    const { layout, update } = await makeWorld();
    let runs = 0;
    const seen = await reading(layout, way)('lint', async (root) => {
      runs += 1;
      if (runs === 1) {
        await update('two');
        await collect(layout);
      }
      return reader(root);
    });
    expect([runs, seen]).toEqual([2, expect.arrayContaining(['two', 'two'])]);
  });

  test('a version whose removal has only begun is not read: its marker goes first', async () => {
    const { layout, update } = await makeWorld();
    let runs = 0;
    const seen = await reading(layout, way)('lint', async (root) => {
      runs += 1;
      if (runs === 1) {
        const stamp = await update('two');
        let removed = 0;
        const dying = {
          ...nodeDisk,
          unlink: (path: string) => {
            if (removed > 0) throw failing('EIO');
            removed += 1;
            nodeDisk.unlink(path);
          },
        };
        expect(() => removeTree(dying, layout.snapshot('lint', stamp))).toThrow('EIO');
      }
      return below(root);
    });
    expect([runs, seen]).toEqual([2, ['two', 'two']]);
  });

  test('what is replaced and removed three times in a row is given up, with what the reader threw last', async () => {
    const { layout, update } = await makeWorld();
    let runs = 0;
    const read = reading(layout, way)('lint', async (root) => {
      runs += 1;
      await update(`${runs}`);
      await collect(layout);
      // At the live path the new version is there, and what the reader makes of a mixture is its own.
      return way === 'by the live path' ? Promise.reject(failing('ENOENT')) : below(root);
    });
    await expect(read).rejects.toMatchObject({
      code: 'LOCKED',
      retry: 'later',
      message: '"lint" was replaced 3 times in a row while it was read',
      cause: { code: 'ENOENT' },
    });
    expect(runs).toBe(3);
  });
});
