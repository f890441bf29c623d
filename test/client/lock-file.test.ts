import { readFile, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { beforeEach, describe, expect, it } from 'vitest';

import { changeLock, type Declared, readLock, withPlugin } from '../../client/index.ts';
import { writeLockFile } from '../../shared/format/lock-file.ts';
import { scratch } from '../_kit/agent.ts';
import { faultOf } from '../_kit/scene.ts';

const TREE = `sha256:${'a'.repeat(64)}`;
const line = (name: string): Declared => ({ name, tree: TREE });

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await scratch();
  file = join(folder, 'airlock.lock');
});

describe('a lock file on the disk', () => {
  it('has every line of those who change it at once, and nothing is left beside it', async () => {
    const names = Array.from({ length: 8 }, (_, i) => `p${i}`);
    const changed = await Promise.all(
      names.map((name) => changeLock(file, (plugins) => withPlugin(plugins, line(name)))),
    );
    expect(changed).toEqual(names.map(() => true));
    expect(await readLock(file)).toEqual(names.map(line));
    expect(await changeLock(file, (plugins) => plugins.toReversed())).toBe(false);
    expect(await readdir(folder)).toEqual(['airlock.lock']);
  });

  it('stays what it was if a change fails, and a link to it stays a link', async () => {
    await writeFile(file, writeLockFile([line('a')]));
    const link = join(folder, 'link');
    await symlink('airlock.lock', link);
    const failing = changeLock(link, () => {
      throw new Error('a test');
    });
    expect(await faultOf(failing)).toMatchObject({ code: 'INVALID_PARAMS' });
    expect(await readFile(file, 'utf8')).toBe(writeLockFile([line('a')]));
    await changeLock(link, (plugins) => withPlugin(plugins, line('b')));
    expect([await readLock(file), await readdir(folder)]).toEqual([
      ['a', 'b'].map(line),
      ['airlock.lock', 'link'],
    ]);
  });

  it('is read with a byte order mark, and is written without one and with the same mode', async () => {
    await writeFile(file, `\uFEFF${writeLockFile([line('a')])}`, { mode: 0o600 });
    expect(await readLock(file)).toEqual([line('a')]);
    expect(await changeLock(file, (plugins) => plugins)).toBe(true);
    expect(await readFile(file, 'utf8')).toBe(writeLockFile([line('a')]));
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  it('names what is in the way', async () => {
    await writeFile(file, 'torn');
    expect(await faultOf(readLock(file))).toMatchObject({
      code: 'INVALID_PARAMS',
      message: expect.stringMatching(
        /^The lock file ".*airlock\.lock" is not valid: it is not JSON/,
      ) as unknown,
    });
    expect(await faultOf(changeLock(file, () => []))).toMatchObject({ code: 'INVALID_PARAMS' });
    expect(await readFile(file, 'utf8')).toBe('torn');
    await writeFile(file, Buffer.alloc(9 * 1024 * 1024));
    expect(await faultOf(readLock(file))).toMatchObject({ code: 'INVALID_PARAMS' });
    expect(await faultOf(readLock(folder))).toMatchObject({ code: 'INVALID_PARAMS' });
    expect(await faultOf(readLock(join(folder, 'nothing')))).toMatchObject({ code: 'NOT_FOUND' });
  });
});
