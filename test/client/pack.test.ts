import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';

import { describe, expect, it } from 'vitest';

import { packDirectory } from '../../client/pack/pack.ts';
import { treeDigest } from '../../shared/format/tree.ts';
import {
  MANIFEST,
  base,
  extracted,
  files,
  listed,
  packed,
  plugin,
  refused,
  packsInScratch,
} from './packing.ts';

packsInScratch();

describe('a bundle', () => {
  it('is the same bytes whenever, wherever and under whatever umask it is packed', async () => {
    const contents = {
      'plugin.yaml': MANIFEST,
      'hooks/run.sh': '#!/bin/sh\n',
      'rules/é.md': 'é',
      'a-b': '',
      'a/b': 'b',
    };
    await files(contents);
    await chmod(join(plugin, 'hooks/run.sh'), 0o755);
    const first = await packed();
    const before = process.umask(0o077);
    const other = join(base, 'elsewhere');
    await files(Object.fromEntries(Object.entries(contents).toReversed()), other);
    await chmod(join(other, 'hooks/run.sh'), 0o711);
    await utimes(join(other, 'plugin.yaml'), 1e9, 1e9);
    if (process.getuid?.() === 0) execFileSync('chown', ['-R', '1234:1234', other]);
    const second = await packDirectory(other, { out: join(base, 'second.tgz') });
    process.umask(before);
    expect((await readFile(second.file)).equals(await readFile(first.file))).toBe(true);
    expect(second).toMatchObject({ sha256: first.sha256, tree: first.tree, size: first.size });
  });

  it('says of itself what is true', async () => {
    await files({ 'rules/a.md': 'rule' });
    const bundle = await packed();
    const bytes = await readFile(bundle.file);
    expect(bundle).toMatchObject({
      plugin: 'lint',
      size: bytes.length,
      sha256: createHash('sha256').update(bytes).digest('hex'),
      files: 2,
      bytes: MANIFEST.length + 4,
      skipped: [],
    });
    expect(bundle.manifest).toMatchObject({ name: 'lint', version: '1.2.3' });
  });

  it('has a gzip header without time, name and system, and ends with two blocks of zeros', async () => {
    const bytes = await readFile((await packed()).file);
    expect(bytes.subarray(0, 10).toString('hex')).toBe('1f8b08000000000000ff');
    const tar = gunzipSync(bytes);
    expect(tar.length % 512).toBe(0);
    expect(tar.subarray(-1024).every((byte) => byte === 0)).toBe(true);
    expect(tar.subarray(-1536, -1024).some((byte) => byte !== 0)).toBe(true);
  });

  it('unpacks with GNU tar to the tree that it names', async () => {
    await files({
      'hooks/run.sh': '#!/bin/sh\n',
      [`long/${'d'.repeat(120)}/${'f'.repeat(120)}.md`]: 'long',
      ['x'.repeat(100)]: 'exactly a hundred',
      ['y'.repeat(101)]: 'one more',
      [`ünï/${'é'.repeat(90)}/日本.md`]: 'not ASCII',
      'big.bin': 'b'.repeat(700_000),
      'block.bin': 'b'.repeat(512),
      'empty.md': '',
    });
    await chmod(join(plugin, 'hooks/run.sh'), 0o744);
    const bundle = await packed();
    const found = await extracted(bundle);
    expect(found).toHaveLength(9);
    expect(treeDigest(found)).toBe(bundle.tree);
    expect(found.find(({ path }) => path === 'hooks/run.sh')?.mode).toBe('755');
  });

  it('lists its entries by the bytes of their paths, a directory before what is in it, empty ones too', async () => {
    await files({ 'a/b': '', 'a-b': '', z: '', 'ä/x': '' });
    await mkdir(join(plugin, 'empty'));
    expect(listed(await packed())).toEqual(['a/', 'a-b', 'a/b', 'empty/', 'plugin.yaml', 'z', 'ä/', 'ä/x']);
  });

  it('has a pax header only where a plain one does not fit', async () => {
    await files({ 'rules/a.md': 'rule' });
    const types = (file: Buffer): string[] => {
      const found: string[] = [];
      for (let at = 0; at < file.length && file[at] !== 0;) {
        found.push(String.fromCodePoint(file[at + 156] ?? 0));
        at += 512 + Math.ceil(Number.parseInt(file.toString('latin1', at + 124, at + 135), 8) / 512) * 512;
      }
      return found;
    };
    expect(types(gunzipSync(await readFile((await packed()).file)))).toEqual(['0', '5', '0']);
    await files({ ü: '' });
    expect(types(gunzipSync(await readFile((await packed()).file)))).toEqual(['0', '5', '0', 'x', '0']);
  });

  it('goes into a temporary directory that is removed with it', async () => {
    const bundle = await packDirectory(plugin);
    expect((await stat(bundle.file)).size).toBe(bundle.size);
    await bundle.dispose();
    await expect(stat(dirname(bundle.file))).rejects.toThrow('ENOENT');
  });

  it('replaces nothing unless told, and leaves nothing behind when it fails', async () => {
    const out = join(base, 'out.tgz');
    await writeFile(out, 'precious');
    expect((await refused({ out })).code).toBe('CONFLICT');
    expect(await readFile(out, 'utf8')).toBe('precious');
    expect((await packed({ out, overwrite: true })).size).toBe((await stat(out)).size);
    const before = await readdir(base);
    await files({ '.env': 'S=1' });
    expect((await refused()).code).toBe('INVALID_PARAMS');
    expect(await readdir(base)).toEqual(before);
  });

  it('leaves itself out when it replaces the one that lies in the plugin', async () => {
    const out = join(plugin, 'lint-1.2.3.tgz');
    const first = await packed({ out });
    const second = await packed({ out, overwrite: true });
    expect(second.sha256).toBe(first.sha256);
  });
});

it('says what is wrong with a directory that is none', async () => {
  expect(await packDirectory(join(base, 'nothing')).catch((error: unknown) => error)).toMatchObject({
    code: 'NOT_FOUND',
  });
  const file = join(plugin, 'plugin.yaml');
  expect(await packDirectory(file).catch((error: unknown) => error)).toMatchObject({
    code: 'INVALID_PARAMS',
  });
});
