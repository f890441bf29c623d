/** What a rename must do and must refuse: what the install's commit point stands on. */
import { describe, expect, it } from 'vitest';

import { type Ready, code, dir, put, text } from './ready.ts';

export function describeRename(name: string, make: () => Ready): void {
  describe(`${name}: renaming`, () => {
    it('moves a directory with all that is in it', () => {
      const ready = make();
      const { disk, base } = ready;
      dir(ready, 'a');
      dir(ready, 'a/b');
      put(ready, 'a/b/c', 'deep');
      disk.rename(`${base}/a`, `${base}/z`);
      expect(text(disk, `${base}/z/b/c`)).toBe('deep');
      expect(disk.stat(`${base}/a`)).toBeUndefined();
    });

    it('replaces a file by a file and an empty directory by a directory', () => {
      const ready = make();
      const { disk, base } = ready;
      disk.rename(put(ready, 'a', 'new'), put(ready, 'b', 'old'));
      expect(text(disk, `${base}/b`)).toBe('new');
      dir(ready, 'full');
      put(ready, 'full/x', 'x');
      disk.rename(`${base}/full`, dir(ready, 'empty'));
      expect(text(disk, `${base}/empty/x`)).toBe('x');
      expect(disk.list(`${base}/empty`)).toHaveLength(1);
    });

    it('never replaces a directory that holds something, and changes nothing then', () => {
      const ready = make();
      const { disk, base } = ready;
      for (const path of ['a', 'b']) {
        dir(ready, path);
        put(ready, `${path}/x`, path);
      }
      expect(code(() => disk.rename(`${base}/a`, `${base}/b`))).toMatch(/^(ENOTEMPTY|EEXIST)$/);
      expect([text(disk, `${base}/a/x`), text(disk, `${base}/b/x`)]).toEqual(['a', 'b']);
    });

    it('never moves a directory into itself', () => {
      const ready = make();
      dir(ready, 'a');
      dir(ready, 'a/b');
      expect(code(() => ready.disk.rename(`${ready.base}/a`, `${ready.base}/a/b/c`))).toBe('EINVAL');
    });

    it('never puts a file over a directory, or a directory over a file or a link', () => {
      const ready = make();
      const { disk, base, link } = ready;
      dir(ready, 'dir');
      put(ready, 'file', 'x');
      link(`${base}/dir`, `${base}/link`);
      expect(code(() => disk.rename(`${base}/file`, `${base}/dir`))).toBe('EISDIR');
      expect(code(() => disk.rename(`${base}/dir`, `${base}/file`))).toBe('ENOTDIR');
      expect(code(() => disk.rename(`${base}/dir`, `${base}/link`))).toBe('ENOTDIR');
    });

    it('replaces a link by a file, and leaves alone what the link led to', () => {
      const ready = make();
      const { disk, base, link } = ready;
      link(put(ready, 'target', 'kept'), `${base}/link`);
      disk.rename(put(ready, 'file', 'new'), `${base}/link`);
      expect([text(disk, `${base}/link`), text(disk, `${base}/target`)]).toEqual(['new', 'kept']);
    });

    it('does nothing when a name is renamed to itself', () => {
      const ready = make();
      const { disk, base } = ready;
      dir(ready, 'a');
      put(ready, 'a/x', 'x');
      disk.rename(`${base}/a`, `${base}/a`);
      expect(text(disk, `${base}/a/x`)).toBe('x');
    });

    it('never replaces a directory above the one that is moved', () => {
      const ready = make();
      dir(ready, 'a');
      dir(ready, 'a/b');
      expect(code(() => ready.disk.rename(`${ready.base}/a/b`, `${ready.base}/a`))).toMatch(
        /^(ENOTEMPTY|EEXIST)$/,
      );
    });

    it('refuses to move nothing, or to nowhere', () => {
      const ready = make();
      put(ready, 'file', 'x');
      expect(code(() => ready.disk.rename(`${ready.base}/no`, `${ready.base}/a`))).toBe('ENOENT');
      expect(code(() => ready.disk.rename(`${ready.base}/file`, `${ready.base}/no/a`))).toBe('ENOENT');
    });

    it('moves a link itself, not what it leads to', () => {
      const ready = make();
      const { disk, base, link } = ready;
      link(dir(ready, 'dir'), `${base}/link`);
      disk.rename(`${base}/link`, `${base}/moved`);
      expect(disk.stat(`${base}/moved`)?.kind).toBe('symlink');
      expect(disk.stat(`${base}/dir`)?.kind).toBe('directory');
    });
  });
}
