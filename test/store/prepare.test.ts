import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import { nodeDisk } from '../../agent/disk/node-disk.ts';
import type { Disk } from '../../agent/disk/port.ts';
import { prepareRoot } from '../../agent/store/prepare.ts';
import { layoutOf } from '../../shared/format/layout.ts';
import { faultOf, photograph } from '../_kit/install-room.ts';

function makeBase(): string {
  const base = mkdtempSync(join(tmpdir(), 'airlock-prepare-'));
  onTestFinished(() => rmSync(base, { recursive: true, force: true }));
  return base;
}
const prepare = (root: string, disk: Disk = nodeDisk): void => prepareRoot(disk, layoutOf(root));

describe('preparing a root', () => {
  it("makes what is missing, closed where it is the agent's alone, and again changes nothing", () => {
    const root = join(makeBase(), 'configs', 'plugins');
    prepare(root);
    const made = photograph(nodeDisk, root);
    expect(made).toEqual({
      '': 'directory 755',
      '/.boot': 'directory 755',
      '/.locks': 'directory 755',
      '/.operations': 'directory 755',
      '/.previous': 'directory 700',
      '/.receipts': 'directory 755',
      '/.staging': 'directory 700',
      '/.state': 'directory 755',
    });
    prepare(root);
    expect(photograph(nodeDisk, root)).toEqual(made);
  });

  // Was a bug: the root's own name was not durable, nor those of the directories above it that were made for it.
  it('makes every name durable that it makes', () => {
    const base = makeBase();
    const opened = new Map<number, string>();
    const synced: string[] = [];
    const disk: Disk = {
      ...nodeDisk,
      open: (path) => {
        const fd = nodeDisk.open(path);
        opened.set(fd, path.replace(/\/\.$/, ''));
        return fd;
      },
      sync: (fd) => {
        synced.push(opened.get(fd) ?? '');
        nodeDisk.sync(fd);
      },
    };
    prepare(join(base, 'configs', 'plugins'), disk);
    expect(synced).toEqual([base, join(base, 'configs'), join(base, 'configs', 'plugins')]);
    synced.length = 0;
    prepare(join(base, 'configs', 'plugins'), disk);
    expect(synced).toEqual([]);
  });

  it('goes through a link that the owner put there for the root, or above it', () => {
    const base = makeBase();
    mkdirSync(join(base, 'volume'));
    symlinkSync('volume', join(base, 'link'));
    prepare(join(base, 'link'));
    prepare(join(base, 'link', 'more', 'plugins'));
    expect(statSync(join(base, 'volume', '.staging')).isDirectory()).toBe(true);
    expect(statSync(join(base, 'volume', 'more', 'plugins', '.staging')).isDirectory()).toBe(true);
  });

  it.each([
    ['a file', (path: string) => writeFileSync(path, 'x')],
    ['a link', (path: string) => symlinkSync('..', path)],
  ])('refuses %s in place of one of its own directories, and follows none', async (_what, make) => {
    for (const name of ['.staging', '.previous', '.receipts', '.state', '.operations']) {
      const root = join(makeBase(), 'plugins');
      mkdirSync(root);
      make(join(root, name));
      const fault = await faultOf(() => prepare(root));
      expect([fault.code, fault.message.includes(name), fault.hint === undefined]).toEqual([
        'INTERNAL',
        true,
        false,
      ]);
    }
  });

  it('refuses a root that is a file, or lies below one, or behind a link to nothing', async () => {
    const base = makeBase();
    writeFileSync(join(base, 'file'), 'x');
    symlinkSync('nowhere', join(base, 'link'));
    for (const root of ['file', 'file/plugins', 'link']) {
      expect((await faultOf(() => prepare(join(base, root)))).code).toBe('INTERNAL');
    }
  });

  it('says so where the disk is read-only or full', async () => {
    for (const [code, expected] of [
      ['EROFS', 'READ_ONLY'],
      ['ENOSPC', 'NO_SPACE'],
    ]) {
      const mkdir = (): never => {
        throw Object.assign(new Error(`${code}: mkdir`), { code });
      };
      const fault = await faultOf(() => prepare(join(makeBase(), 'plugins'), { ...nodeDisk, mkdir }));
      expect([fault.code, fault.hint === undefined]).toEqual([expected, false]);
    }
  });

  it('says so where it may not write', async (ctx) => {
    if (process.getuid?.() === 0) {
      ctx.skip('root may write everywhere');
    }
    const base = makeBase();
    chmodSync(base, 0o555);
    expect((await faultOf(() => prepare(join(base, 'plugins')))).message).toContain('EACCES');
  });

  // Was a bug: of two processes that began on a fresh root at the same moment the slower one failed with EEXIST.
  it('goes on where another process makes the same directory just before', () => {
    const root = join(makeBase(), 'plugins');
    const mkdir: Disk['mkdir'] = (path, mode) => {
      nodeDisk.mkdir(path, mode);
      nodeDisk.mkdir(path, mode);
    };
    prepare(root, { ...nodeDisk, mkdir });
    prepare(root);
    expect(statSync(join(root, '.locks')).isDirectory()).toBe(true);
  });
});
