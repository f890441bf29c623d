import { errorCode } from '../../shared/api/fault.ts';
import { describe, expect, it } from 'vitest';

import { nodeDisk } from '../../agent/disk/node-disk.ts';
import type { Disk } from '../../agent/disk/port.ts';
import { putRecord, readText, removeTree } from '../../agent/disk/record.ts';
import { FaultyDisk, failOnce, never } from '../_kit/faulty-disk.ts';
import { photograph, realRoot } from '../_kit/install-room.ts';
import { createMemoryDisk } from '../_kit/memory-disk.ts';

function makeDisk(): Disk & { link: (target: string, path: string) => void } {
  const disk = createMemoryDisk();
  for (const path of ['/staging', '/records']) {
    disk.mkdir(path, 0o755);
  }
  return disk;
}
function put(disk: Disk, path: string, text: string): void {
  const fd = disk.create(path, 0o644);
  disk.write(fd, Buffer.from(text));
  disk.close(fd);
}

describe('a record', () => {
  it('is there whole, in place of the one before, and nothing beside it', () => {
    const disk = makeDisk();
    putRecord(disk, '/staging', 'lint', '/records/a.json', { n: 1 });
    putRecord(disk, '/staging', 'lint', '/records/a.json', { n: 2 });
    expect(photograph(disk, '/records')).toEqual({ '': 'directory 755', '/a.json': 'file 644 {"n":2}\n' });
    expect(disk.list('/staging')).toEqual([]);
  });

  // Was a bug: a temporary file stayed where it could not be written to its end, one for each try on a full disk.
  it('is the old one or the new one whichever call fails, and leaves nothing beside it', () => {
    for (let n = 1; ; n += 1) {
      const disk = makeDisk();
      putRecord(disk, '/staging', 'lint', '/records/a.json', { n: 1 });
      const faulty = new FaultyDisk(disk);
      faulty.arm(failOnce(n, 'ENOSPC'));
      let code: string | undefined;
      try {
        putRecord(faulty.disk, '/staging', 'lint', '/records/a.json', { n: 2 });
      } catch (error) {
        code = errorCode(error);
      }
      if (faulty.failed.length === 0) {
        expect(n).toBeGreaterThan(8);
        return;
      }
      expect(code).toBe('ENOSPC');
      expect(readText(disk, '/records/a.json', 100)).toMatchObject({
        text: expect.stringMatching(/^\{"n":[12]\}\n$/),
      });
      expect([disk.list('/staging'), faulty.leaked]).toEqual([[], []]);
    }
  });

  // Was a bug: the command that wrote it ended with INTERNAL.
  it('of the root is written again where an agent that starts has removed its temporary file', () => {
    const disk = makeDisk();
    let tries = 0;
    const shared: Disk = {
      ...disk,
      rename: (from, to) => {
        tries += 1;
        if (tries <= 2) removeTree(disk, from);
        disk.rename(from, to);
      },
    };
    putRecord(shared, '/staging', '', '/records/a.json', { n: 1 });
    expect([tries, disk.list('/staging')]).toEqual([3, []]);
    expect(photograph(disk, '/records')).toMatchObject({ '/a.json': 'file 644 {"n":1}\n' });
    expect(() => putRecord(shared, '/staging', '', '/nowhere/a.json', { n: 1 })).toThrow('ENOENT');
  });

  it('that cannot be put in place fails with that, though its clean-up fails too', () => {
    const disk = makeDisk();
    const faulty = new FaultyDisk(disk);
    faulty.arm(({ kind }) => (kind === 'rename' ? 'EROFS' : kind === 'unlink' ? 'EIO' : undefined));
    expect(() => putRecord(faulty.disk, '/staging', 'lint', '/records/a.json', {})).toThrow(/^EROFS/);
  });
});

describe('reading a small text', () => {
  it('answers with it, or that there is none', () => {
    const disk = makeDisk();
    put(disk, '/a', 'text');
    put(disk, '/empty', '');
    expect(readText(disk, '/a', 4)).toEqual({ kind: 'text', text: 'text' });
    expect(readText(disk, '/empty', 4)).toEqual({ kind: 'text', text: '' });
    expect(readText(disk, '/no', 4)).toEqual({ kind: 'absent' });
    expect(readText(disk, '/a/below', 4)).toEqual({ kind: 'absent' });
  });

  it('answers why it cannot be read: too long, a directory, a link', () => {
    const disk = makeDisk();
    put(disk, '/a', 'text!');
    disk.link('/a', '/link');
    expect(readText(disk, '/a', 4)).toMatchObject({
      kind: 'unreadable',
      why: expect.stringContaining('5 bytes'),
    });
    expect(readText(disk, '/records', 4)).toMatchObject({
      kind: 'unreadable',
      why: 'it is not a regular file',
    });
    expect(readText(disk, '/link', 4)).toMatchObject({ kind: 'unreadable', why: 'it is a symbolic link' });
  });

  it('never throws, whichever call fails, and never takes a failure for absence', () => {
    for (const code of ['EIO', 'EMFILE', 'EACCES']) {
      for (let n = 1; n <= 5; n += 1) {
        const disk = makeDisk();
        put(disk, '/a', 'text');
        const faulty = new FaultyDisk(disk);
        faulty.arm(failOnce(n, code));
        const reading = readText(faulty.disk, '/a', 100);
        // What a close says changes nothing about what was read.
        const isClose = faulty.failed[0]?.kind === 'close';
        expect(reading).toEqual(
          isClose ? { kind: 'text', text: 'text' } : { kind: 'unreadable', why: code, code },
        );
        expect(faulty.leaked).toEqual([]);
      }
    }
  });
});

function realDisk(): { disk: Disk; above: string } {
  const above = realRoot();
  nodeDisk.mkdir(above, 0o755);
  return { disk: nodeDisk, above };
}

describe('removing a tree', () => {
  it('removes all of it and follows no link', () => {
    const disk = makeDisk();
    disk.mkdir('/tree', 0o755);
    disk.mkdir('/tree/deep', 0o755);
    put(disk, '/tree/deep/a', 'x');
    put(disk, '/records/kept', 'x');
    disk.link('/records', '/tree/link');
    disk.link('/nowhere', '/tree/deep/dangling');
    removeTree(disk, '/tree');
    expect([disk.stat('/tree'), disk.list('/records')]).toEqual([
      undefined,
      [{ name: 'kept', kind: 'file' }],
    ]);
  });

  it('removes the marker before anything else, so that who holds the tree open can tell', () => {
    const faulty = new FaultyDisk(makeDisk());
    faulty.arm(never);
    faulty.disk.mkdir('/tree', 0o755);
    for (const path of ['/tree/.a', '/tree/.complete', '/tree/a']) put(faulty.disk, path, 'x');
    removeTree(faulty.disk, '/tree');
    expect(faulty.calls.find(({ kind }) => kind === 'unlink')?.path).toBe('/tree/.complete');
    expect(faulty.disk.stat('/tree')).toBeUndefined();
  });

  it.each<[string, () => { disk: Disk; above: string }]>([
    ['in memory', () => ({ disk: makeDisk(), above: '/records' })],
    ['that is real', realDisk],
  ])('is content on a disk %s if another process removes the same tree at any moment', (_name, make) => {
    for (let n = 1, isOver = false; !isOver; n += 1) {
      const { disk, above } = make();
      const tree = `${above}/tree`;
      disk.mkdir(tree, 0o755);
      disk.mkdir(`${tree}/deep`, 0o755);
      for (const path of ['.complete', 'a', 'deep/b']) put(disk, `${tree}/${path}`, 'x');
      const faulty = new FaultyDisk(disk);
      faulty.arm((call) => {
        if (call.n === n) removeTree(disk, tree);
        return undefined;
      });
      removeTree(faulty.disk, tree);
      isOver = faulty.calls.length < n;
      expect([disk.stat(tree), faulty.leaked]).toEqual([undefined, []]);
    }
  });

  it('removes a file or a link, and is content with nothing', () => {
    const faulty = new FaultyDisk(makeDisk());
    faulty.arm(never);
    put(faulty.disk, '/a', 'x');
    removeTree(faulty.disk, '/a');
    removeTree(faulty.disk, '/no');
    expect([faulty.disk.stat('/a'), faulty.count('unlink'), faulty.count('rmdir')]).toEqual([
      undefined,
      1,
      0,
    ]);
  });
});
