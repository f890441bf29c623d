/** What every disk must do, whatever it is made of: run over each of them by disk.test.ts. */
import { describe, expect, it } from 'vitest';

import { type Ready, code, dir, put, text } from './ready.ts';

/** Everything but renaming, which has a file of its own. */
export function describeDisk(name: string, make: () => Ready): void {
  describe(`${name}: files`, () => {
    it('gives back what was written, from where the last read ended, and 0 at the end', () => {
      const ready = make();
      const { disk } = ready;
      const path = put(ready, 'a', 'hello');
      const fd = disk.open(path);
      const into = Buffer.alloc(3);
      expect([disk.read(fd, into), into.toString()]).toEqual([3, 'hel']);
      expect([disk.read(fd, into), into.toString('utf8', 0, 2)]).toEqual([2, 'lo']);
      expect(disk.read(fd, into)).toBe(0);
      disk.close(fd);
    });

    it('appends each write to the one before', () => {
      const { disk, base } = make();
      const fd = disk.create(`${base}/a`, 0o644);
      disk.write(fd, Buffer.from('one'));
      disk.write(fd, Buffer.from('two'));
      disk.sync(fd);
      disk.close(fd);
      expect(text(disk, `${base}/a`)).toBe('onetwo');
    });

    it('opens a file to add to its end, and makes none', () => {
      const ready = make();
      const { disk, base, link } = ready;
      const path = put(ready, 'a', 'one');
      link(path, `${base}/link`);
      dir(ready, 'dir');
      for (const more of ['two', 'three']) {
        const fd = disk.append(path);
        disk.write(fd, Buffer.from(more));
        disk.sync(fd);
        disk.close(fd);
      }
      expect(text(disk, path)).toBe('onetwothree');
      expect(code(() => disk.append(`${base}/none`))).toBe('ENOENT');
      expect(code(() => disk.append(`${base}/link`))).toBe('ELOOP');
      expect(code(() => disk.append(`${base}/dir`))).toBe('EISDIR');
    });

    it('creates only what was not there, a dangling link included', () => {
      const ready = make();
      const { disk, base, link } = ready;
      put(ready, 'file', 'x');
      dir(ready, 'dir');
      link(`${base}/nowhere`, `${base}/link`);
      for (const there of ['file', 'dir', 'link']) {
        expect(code(() => disk.create(`${base}/${there}`, 0o644))).toBe('EEXIST');
      }
      expect(disk.stat(`${base}/nowhere`)).toBeUndefined();
    });

    it('refuses to create below nothing and below a file', () => {
      const ready = make();
      put(ready, 'file', 'x');
      expect(code(() => ready.disk.create(`${ready.base}/no/a`, 0o644))).toBe('ENOENT');
      expect(code(() => ready.disk.create(`${ready.base}/file/a`, 0o644))).toBe('ENOTDIR');
    });

    it('refuses a name of more than 255 bytes', () => {
      const { disk, base } = make();
      const long = `${base}/${'é'.repeat(128)}`;
      expect(code(() => disk.create(long, 0o644))).toBe('ENAMETOOLONG');
      expect(code(() => disk.mkdir(long, 0o755))).toBe('ENAMETOOLONG');
      expect(code(() => disk.close(disk.create(`${base}/${'a'.repeat(255)}`, 0o644)))).toBeUndefined();
    });

    it('gives the modes that were asked for', () => {
      const { disk, base } = make();
      disk.close(disk.create(`${base}/x`, 0o755));
      disk.close(disk.create(`${base}/y`, 0o644));
      disk.mkdir(`${base}/z`, 0o700);
      expect(['x', 'y', 'z'].map((path) => disk.stat(`${base}/${path}`)?.mode)).toEqual([
        0o755, 0o644, 0o700,
      ]);
    });

    it('does not open a link, and not what is not there', () => {
      const ready = make();
      ready.link(put(ready, 'file', 'x'), `${ready.base}/link`);
      expect(code(() => ready.disk.open(`${ready.base}/link`))).toBe('ELOOP');
      expect(code(() => ready.disk.open(`${ready.base}/no`))).toBe('ENOENT');
      expect(code(() => ready.disk.open(`${ready.base}/file/a`))).toBe('ENOTDIR');
    });

    it('does not write through a descriptor that was opened for reading', () => {
      const ready = make();
      const fd = ready.disk.open(put(ready, 'a', 'x'));
      expect(code(() => ready.disk.write(fd, Buffer.from('y')))).toBe('EBADF');
      ready.disk.close(fd);
    });

    it('refuses a descriptor that is closed', () => {
      const ready = make();
      const fd = ready.disk.open(put(ready, 'a', 'x'));
      ready.disk.close(fd);
      expect(code(() => ready.disk.sync(fd))).toBe('EBADF');
      expect(code(() => ready.disk.close(fd))).toBe('EBADF');
    });

    it('goes on reading an open file that has been renamed and unlinked', () => {
      const ready = make();
      const { disk, base } = ready;
      const fd = disk.open(put(ready, 'a', 'still'));
      disk.rename(`${base}/a`, `${base}/b`);
      disk.unlink(`${base}/b`);
      const into = Buffer.alloc(8);
      expect(into.toString('utf8', 0, disk.read(fd, into))).toBe('still');
      disk.close(fd);
    });
  });

  describe(`${name}: directories`, () => {
    it('opens and syncs a directory, and does not read it as a file', () => {
      const ready = make();
      const fd = ready.disk.open(dir(ready, 'a'));
      ready.disk.sync(fd);
      expect(ready.disk.statOpen(fd).kind).toBe('directory');
      expect(code(() => ready.disk.read(fd, Buffer.alloc(1)))).toBe('EISDIR');
      ready.disk.close(fd);
    });

    it('makes only what was not there, and only one level', () => {
      const ready = make();
      const { disk, base } = ready;
      put(ready, 'file', 'x');
      dir(ready, 'dir');
      expect(code(() => disk.mkdir(`${base}/file`, 0o755))).toBe('EEXIST');
      expect(code(() => disk.mkdir(`${base}/dir`, 0o755))).toBe('EEXIST');
      expect(code(() => disk.mkdir(`${base}/no/a`, 0o755))).toBe('ENOENT');
      expect(code(() => disk.mkdir(`${base}/file/a`, 0o755))).toBe('ENOTDIR');
    });

    it('lists names with their kinds, and links as links', () => {
      const ready = make();
      put(ready, 'file', 'x');
      ready.link(dir(ready, 'dir'), `${ready.base}/link`);
      const listed = ready.disk.list(ready.base).toSorted((a, b) => (a.name < b.name ? -1 : 1));
      expect(listed).toEqual([
        { name: 'dir', kind: 'directory' },
        { name: 'file', kind: 'file' },
        { name: 'link', kind: 'symlink' },
      ]);
    });

    it('does not list a file or nothing', () => {
      const ready = make();
      const path = put(ready, 'file', 'x');
      expect(code(() => ready.disk.list(path))).toBe('ENOTDIR');
      expect(code(() => ready.disk.list(`${ready.base}/no`))).toBe('ENOENT');
    });

    it('removes an empty directory only', () => {
      const ready = make();
      const { disk, base } = ready;
      dir(ready, 'full');
      const path = put(ready, 'full/a', 'x');
      expect(code(() => disk.rmdir(`${base}/full`))).toBe('ENOTEMPTY');
      expect(code(() => disk.rmdir(path))).toBe('ENOTDIR');
      expect(code(() => disk.rmdir(`${base}/no`))).toBe('ENOENT');
      disk.unlink(path);
      disk.rmdir(`${base}/full`);
      expect(disk.list(base)).toEqual([]);
    });

    it('unlinks files and links, not directories and not what a link leads to', () => {
      const ready = make();
      const { disk, base, link } = ready;
      link(dir(ready, 'dir'), `${base}/link`);
      expect(code(() => disk.unlink(`${base}/dir`))).toBe('EISDIR');
      expect(code(() => disk.unlink(`${base}/no`))).toBe('ENOENT');
      disk.unlink(`${base}/link`);
      expect(disk.list(base)).toEqual([{ name: 'dir', kind: 'directory' }]);
    });
  });

  describe(`${name}: looking`, () => {
    it('says of a file, a directory and a link what they are, and nothing of nothing', () => {
      const ready = make();
      const { disk, base, link } = ready;
      link(put(ready, 'file', 'four'), `${base}/link`);
      dir(ready, 'dir');
      expect(disk.stat(`${base}/file`)).toMatchObject({ kind: 'file', size: 4 });
      expect(disk.stat(`${base}/dir`)).toMatchObject({ kind: 'directory' });
      expect(disk.stat(`${base}/link`)).toMatchObject({ kind: 'symlink' });
      expect(disk.stat(`${base}/no`)).toBeUndefined();
      expect(disk.stat(`${base}/no/a`)).toBeUndefined();
    });

    it('throws for a path that leads through a file: that is no answer', () => {
      const ready = make();
      put(ready, 'file', 'x');
      expect(code(() => ready.disk.stat(`${ready.base}/file/a`))).toBe('ENOTDIR');
    });

    it('gives two files two inodes, and a renamed one its own', () => {
      const ready = make();
      const { disk, base } = ready;
      const [a, b] = [put(ready, 'a', 'x'), put(ready, 'b', 'x')].map((path) => disk.stat(path)?.ino);
      expect(a).not.toBe(b);
      disk.rename(`${base}/a`, `${base}/c`);
      expect(disk.stat(`${base}/c`)?.ino).toBe(a);
    });

    it('says how much room there is', () => {
      const { disk, base } = make();
      expect(disk.space(base)).toBeGreaterThan(0);
    });

    it('gives a file to somebody else', (ctx) => {
      if (process.getuid?.() !== 0) {
        ctx.skip('only root may give files away');
      }
      const ready = make();
      const path = put(ready, 'a', 'x');
      ready.disk.chown(path, 1234, 4321);
      expect(ready.disk.stat(path)).toMatchObject({ uid: 1234, gid: 4321 });
      expect(code(() => ready.disk.chown(`${ready.base}/no`, 1, 1))).toBe('ENOENT');
    });
  });
}
