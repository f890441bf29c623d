/** Zips as people have them: the same files give the same bundle as their directory. */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmod, mkdir, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';

import { describe, expect, it, onTestFinished, vi } from 'vitest';

import { openBundle } from '../../client/bundle.ts';
import { listDirectory, packDirectory, type Packed, type PackOptions } from '../../client/pack/pack.ts';
import { isZip, unpackZip } from '../../client/zip/unpack.ts';
import { type ZipPart, zipOf } from '../_kit/zip-builder.ts';
import { base, files, listed, MANIFEST, packed, packsInScratch, plugin } from './packing.ts';

packsInScratch();

const manifest: ZipPart = { name: 'plugin.yaml', body: MANIFEST };
const LINK = 0o120777;

const packedFile = (name: string, options: PackOptions = {}): Promise<Packed> =>
  packDirectory(join(base, name), { out: join(base, `${Math.random()}.tgz`), ...options });

async function packedZip(bytes: Buffer, options: PackOptions = {}): Promise<Packed> {
  await writeFile(join(base, 'lint.zip'), bytes);
  return packedFile('lint.zip', options);
}

/** An empty directory for temporary files. */
async function ownTemporary(): Promise<string> {
  const temporary = join(base, 'tmp');
  await mkdir(temporary);
  vi.stubEnv('TMPDIR', temporary);
  onTestFinished(() => void vi.unstubAllEnvs());
  return temporary;
}

/** A plugin with all that a zip must keep. */
async function fill(): Promise<void> {
  await files({ 'hooks/run.sh': '#!/bin/sh\n', 'rules/ä.md': 'x'.repeat(100_000), 'rules/empty.md': '' });
  await chmod(join(plugin, 'hooks/run.sh'), 0o755);
  await mkdir(join(plugin, 'void'));
  await symlink('hooks/run.sh', join(plugin, 'run'));
  await symlink('../rules', join(plugin, 'hooks/rules'));
}

describe('a zip that a tool has made gives the bundle of its directory', () => {
  it('with Info-ZIP, links kept and followed', async (ctx) => {
    if (spawnSync('zip', ['-v']).error !== undefined) ctx.skip('zip is not installed');
    await fill();
    const expected = await packed();
    execFileSync('zip', ['-qry', join(base, 'kept.zip'), '.'], { cwd: plugin });
    execFileSync('zip', ['-qr', join(base, 'followed.skill'), 'lint'], { cwd: base });
    expect((await packedFile('kept.zip')).sha256).toBe(expected.sha256);
    expect((await packedFile('followed.skill')).sha256).toBe(expected.sha256);
  });

  it('with Info-ZIP writing to a pipe, which cannot know sizes before it has written', async (ctx) => {
    if (spawnSync('zip', ['-v']).error !== undefined) ctx.skip('zip is not installed');
    await fill();
    const bytes = execFileSync('zip', ['-qr', '-', '.'], { cwd: plugin });
    expect((await packedZip(bytes)).sha256).toBe((await packed()).sha256);
  });

  it('with Python, stored and deflated', async (ctx) => {
    if (spawnSync('python3', ['-m', 'zipfile', '-h']).status !== 0) ctx.skip('python3 is not installed');
    await files({ 'hooks/run.sh': '#!/bin/sh\n', 'rules/ä.md': 'x'.repeat(100_000) });
    await chmod(join(plugin, 'hooks/run.sh'), 0o755);
    const expected = await packed();
    execFileSync('python3', ['-m', 'zipfile', '-c', join(base, 'a.zip'), 'lint/'], { cwd: base });
    expect((await packedFile('a.zip')).sha256).toBe(expected.sha256);
    const script =
      'import sys, zipfile; z = zipfile.ZipFile("b.zip", "w"); [z.write("lint/" + f) for f in sys.argv[1:]]; z.close()';
    execFileSync('python3', ['-c', script, 'plugin.yaml', 'hooks/run.sh', 'rules/ä.md'], { cwd: base });
    expect((await packedFile('b.zip')).tree).toBe(expected.tree);
  });

  it('with git archive', async (ctx) => {
    if (spawnSync('git', ['--version']).error !== undefined) ctx.skip('git is not installed');
    await fill();
    const git = (...args: string[]): Buffer =>
      execFileSync('git', ['-C', plugin, '-c', 'user.name=a', '-c', 'user.email=a@b', ...args]);
    git('init', '-q');
    git('add', '.');
    git('commit', '-qm', 'one');
    const bytes = git('archive', '--format=zip', '--prefix=lint-1/', 'HEAD');
    const { tree } = await packedZip(bytes);
    expect(tree).toBe((await packed()).tree);
  });
});

describe('a zip', () => {
  it('is known by its content, whatever its name', async () => {
    const file = join(base, 'lint.tgz');
    await writeFile(file, zipOf([manifest]));
    expect(await isZip(file)).toBe(true);
    expect(await isZip(plugin)).toBe(false);
    expect(await isZip(join(base, 'nothing'))).toBe(false);
    expect(await packedFile(basename(file))).toMatchObject({ plugin: 'lint', files: 1 });
    expect((await listDirectory(file)).list).toEqual([expect.objectContaining({ path: 'plugin.yaml' })]);
    expect(await openBundle(file).catch((error: unknown) => error)).toMatchObject({
      code: 'ARCHIVE_CORRUPT',
      hint: 'Make a .tgz of it with "airlock pack"; "airlock push" does so itself',
    });
  });

  it('keeps the execute bit of the owner, and no other', async () => {
    const { file } = await packedZip(
      zipOf([
        manifest,
        { name: 'a', mode: 0o100700 },
        { name: 'b', mode: 0o100677 },
        { name: 'c', mode: 0 },
        { name: 'd', mode: 0o755, host: 0 },
      ]),
    );
    const lines = execFileSync('tar', ['-tvzf', file], { encoding: 'utf8' });
    expect(lines.match(/^\S+/gm)).toEqual([
      '-rwxr-xr-x',
      '-rw-r--r--',
      '-rw-r--r--',
      '-rwxr-xr-x',
      '-rw-r--r--',
    ]);
  });

  it.each(['signed', 'plain', 'large'] as const)('may have descriptors (%s)', async (descriptor) => {
    const parts = [
      { ...manifest, descriptor },
      { name: 'a', body: 'abc', descriptor, method: 0 },
      { name: 'b', descriptor, large: descriptor === 'large' },
    ];
    expect(listed(await packedZip(zipOf(parts)))).toEqual(['a', 'b', 'plugin.yaml']);
  });

  it('may be a zip64 throughout', async () => {
    const bytes = zipOf(
      [
        { ...manifest, large: true },
        { name: 'a/', large: true, method: 0 },
      ],
      { large: true },
    );
    expect(listed(await packedZip(bytes))).toEqual(['a/', 'plugin.yaml']);
  });

  it('may have comments', async () => {
    const bytes = zipOf([{ ...manifest, comment: 'PK\x01\x02' }], { comment: 'signed by PK' });
    expect((await packedZip(bytes)).files).toBe(1);
  });

  it('has names in UTF-8 by its flag, by its Unicode field and by its system, else in CP437', async () => {
    const unicode = Buffer.concat([
      Buffer.from([0x75, 0x70, 11, 0, 1]),
      Buffer.from([0x43, 0xbe, 0xb7, 0xe8]),
      Buffer.from('xyz€'),
    ]);
    const bytes = zipOf([
      manifest,
      { name: 'ä1' },
      { name: Buffer.from('ä2'), flags: 0 },
      { name: Buffer.from([0x84, 0x33]), host: 0 },
      { name: 'a', extra: unicode, host: 0 },
    ]);
    expect(listed(await packedZip(bytes))).toEqual(['plugin.yaml', 'xyz€', 'ä1', 'ä2', 'ä3']);
  });

  it('may have one or two directories around the plugin, and what macOS adds', async () => {
    const parts: ZipPart[] = [
      { name: 'plugins/lint/plugin.yaml', body: MANIFEST },
      { name: 'plugins/lint/._a', body: Buffer.from([0, 5, 0x16, 7, 0]) },
      { name: 'plugins/lint/.DS_Store', body: 'x' },
      { name: '__MACOSX/', method: 0 },
      { name: '__MACOSX/plugins/._lint', body: Buffer.from([0, 5, 0x16, 7, 0]) },
      { name: '._plugins', body: Buffer.from([0, 5, 0x16, 7, 0]) },
    ];
    expect(listed(await packedZip(zipOf(parts)))).toEqual(['plugin.yaml']);
  });

  it('names a plugin without a manifest by its top directory, or by its file', async () => {
    const options = { manifest: 'optional' } as const;
    expect((await packedZip(zipOf([{ name: 'a' }]), options)).plugin).toBe('lint');
    expect((await packedZip(zipOf([{ name: 'rules/a' }, { name: 'rules/b' }]), options)).plugin).toBe('lint');
  });

  it('is read with its .airlockignore, and its secrets are refused', async () => {
    const ignored = zipOf([manifest, { name: '.airlockignore', body: '*.log\n' }, { name: 'a.log' }]);
    expect(listed(await packedZip(ignored))).toEqual(['.airlockignore', 'plugin.yaml']);
    const secret = zipOf([manifest, { name: '.env', body: 'A=1' }]);
    await expect(packedZip(secret)).rejects.toThrow(/look like secrets: ".env"/);
  });

  it('has links as a tar has them: what leads out, to nothing or in a circle is left out and named', async () => {
    const link = (name: string, body: string): ZipPart => ({ name, body, mode: LINK, method: 0 });
    const { file, skipped } = await packedZip(
      zipOf([
        { name: 'lint/plugin.yaml', body: MANIFEST },
        { name: 'lint/rules/a.md', body: 'a' },
        link('lint/inner', 'rules/a.md'),
        link('lint/tree', 'rules'),
        link('lint/through', 'tree/../rules/a.md'),
        link('lint/absolute', '/etc/passwd'),
        link('lint/drive', 'C:\\x'),
        link('lint/out', '../../x'),
        link('lint/nothing', 'absent'),
        link('lint/zero', 'rules\0/a.md'),
        link('lint/long', './'.repeat(100_000) + 'rules'),
        link('lint/self', 'self'),
        link('lint/here', '.'),
        link('lint/chain', 'here/here/here/../../../../etc/passwd'),
      ]),
    );
    const names = execFileSync('tar', ['-tzf', file], { encoding: 'utf8' }).trim().split('\n');
    expect(names).toEqual(['inner', 'plugin.yaml', 'rules/', 'rules/a.md', 'through', 'tree/', 'tree/a.md']);
    expect(skipped).toEqual([
      { path: 'absolute', why: 'the link points out of the plugin' },
      { path: 'chain', why: 'the link points out of the plugin' },
      { path: 'drive', why: 'the link points out of the plugin' },
      { path: 'here', why: 'the link points at a directory above it' },
      { path: 'long', why: 'the link points at nothing' },
      { path: 'nothing', why: 'the link points at nothing' },
      { path: 'out', why: 'the link points out of the plugin' },
      { path: 'self', why: 'the link leads in a circle' },
      { path: 'zero', why: 'the link points at nothing' },
    ]);
  });

  it('can be given up in the middle of a file', async () => {
    const temporary = await ownTemporary();
    const file = join(base, 'lint.zip');
    await writeFile(file, zipOf([manifest, { name: 'x', method: 0, body: Buffer.alloc(1_000_000) }]));
    let calls = 0;
    const unpacked = unpackZip(file, [], () => {
      calls += 1;
      if (calls === 10) throw new Error('given up');
    });
    await expect(unpacked).rejects.toThrow('given up');
    expect(await readdir(temporary)).toEqual([]);
  });

  it('is not looked for in a pipe, which may never say a byte', async () => {
    const pipe = join(base, 'pipe');
    execFileSync('mkfifo', [pipe]);
    await expect(packDirectory(pipe)).rejects.toThrow(/neither a directory nor a zip/);
    await expect(openBundle(pipe)).rejects.toThrow(/is not a file/);
  });

  it('that cannot be unpacked says where, and what to do', async () => {
    vi.stubEnv('TMPDIR', join(base, 'absent'));
    onTestFinished(() => void vi.unstubAllEnvs());
    await expect(packedZip(zipOf([manifest]))).rejects.toMatchObject({
      code: 'INVALID_PARAMS',
      message: expect.stringMatching(/^Making a directory in ".*absent" failed: ENOENT/),
      hint: expect.stringContaining('TMPDIR'),
    });
  });

  it('leaves nothing behind, whether it is packed or refused', async () => {
    const temporary = await ownTemporary();
    await packedZip(zipOf([manifest]));
    await expect(packedZip(zipOf([{ name: '../x' }]))).rejects.toThrow();
    await expect(packedZip(zipOf([manifest]), { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'CANCELLED',
    });
    expect(await readdir(temporary)).toEqual([]);
    expect((await stat(join(base, 'lint.zip'))).isFile()).toBe(true);
  });
});
