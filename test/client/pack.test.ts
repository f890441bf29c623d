import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { archive } from '../../client/pack/archive.ts';
import { packDirectory, type Packed, type PackOptions } from '../../client/pack/pack.ts';
import { Fault } from '../../shared/fault.ts';
import { type FileEntry, modeOf, treeDigest } from '../../shared/tree.ts';

const MANIFEST = 'name: lint\nversion: 1.2.3\n';
let base: string;
let plugin: string;

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'airlock-pack-test-'));
  plugin = join(base, 'lint');
  await files({ 'plugin.yaml': MANIFEST });
});
afterEach(() => rm(base, { recursive: true, force: true }));

async function files(contents: Record<string, string>, below = plugin): Promise<void> {
  for (const [path, text] of Object.entries(contents)) {
    await mkdir(dirname(join(below, path)), { recursive: true });
    await writeFile(join(below, path), text);
  }
}

async function packed(options: PackOptions = {}): Promise<Packed> {
  return packDirectory(plugin, { out: join(base, `${Math.random()}.tgz`), ...options });
}

const refused = (options: PackOptions = {}): Promise<Fault> =>
  packed(options).then(
    () => new Fault('INTERNAL', 'nothing was thrown'),
    (error: unknown) => error as Fault,
  );

/** The names in the archive, as GNU tar reads them. */
const listed = ({ file }: Packed): string[] =>
  execFileSync('tar', ['--quoting-style=literal', '-tzf', file], { encoding: 'utf8' })
    .split('\n')
    .filter(Boolean);

/** The file list of what GNU tar makes of the archive. */
async function extracted({ file }: Packed): Promise<FileEntry[]> {
  const into = join(base, 'extracted');
  await mkdir(into);
  execFileSync('tar', ['-xzf', file, '-C', into]);
  const found: FileEntry[] = [];
  for (const entry of await readdir(into, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const place = join(entry.parentPath, entry.name);
    const { size, mode } = await stat(place);
    const sha256 = createHash('sha256')
      .update(await readFile(place))
      .digest('hex');
    found.push({ path: place.slice(into.length + 1), size, mode: modeOf(mode), sha256 });
  }
  return found;
}

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
      [`${'x'.repeat(100)}`]: 'exactly a hundred',
      [`${'y'.repeat(101)}`]: 'one more',
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

describe('what is left out', () => {
  it('is .git, the marker, litter, what the owner adds and what .airlockignore names', async () => {
    await files({
      '.git/config': '',
      'sub/.git': 'gitdir: ../x',
      '.complete': '',
      'sub/.complete': 'kept',
      '__pycache__/a.pyc': '',
      'hooks/b.pyc': '',
      '.DS_Store': '',
      'drafts/x.md': '',
      'notes.txt': '',
      'keep.txt': '',
      'build/out': '',
      '.airlockignore': '*.txt\n!keep.txt\n/build/\n',
    });
    expect(listed(await packed({ ignore: ['drafts'] }))).toEqual([
      '.airlockignore',
      'hooks/',
      'keep.txt',
      'plugin.yaml',
      'sub/',
      'sub/.complete',
    ]);
  });

  it('is a socket and a pipe, and both are named', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(join(plugin, 'a.sock'), resolve));
    execFileSync('mkfifo', [join(plugin, 'b.pipe')]);
    const { skipped, files: count } = await packed();
    server.close();
    expect(skipped).toEqual([
      { path: 'a.sock', why: 'it is a socket' },
      { path: 'b.pipe', why: 'it is a pipe' },
    ]);
    expect(count).toBe(1);
  });

  it('is a file whose name is not UTF-8, and it is named', async () => {
    await writeFile(Buffer.concat([Buffer.from(`${plugin}/`), Buffer.from([0xff, 0x61])]), '');
    expect((await packed()).skipped).toEqual([{ path: '\uFFFDa', why: 'its name is not UTF-8' }]);
  });
});

describe('links', () => {
  it('that point inside are packed as what they point at', async () => {
    await files({ 'shared/a.md': 'A', 'shared/deep/b.md': 'B' });
    await symlink('shared/a.md', join(plugin, 'a-link.md'));
    await symlink('./shared', join(plugin, 'rules'));
    await symlink(join(plugin, 'a-link.md'), join(plugin, 'chain.md'));
    const bundle = await packed();
    expect(bundle.skipped).toEqual([]);
    expect(listed(bundle)).toEqual([
      'a-link.md',
      'chain.md',
      'plugin.yaml',
      'rules/',
      'rules/a.md',
      'rules/deep/',
      'rules/deep/b.md',
      'shared/',
      'shared/a.md',
      'shared/deep/',
      'shared/deep/b.md',
    ]);
    const found = await extracted(bundle);
    expect(treeDigest(found)).toBe(bundle.tree);
  });

  it('that point outside or at nothing are skipped and named', async () => {
    await files({ 'secret.txt': 'no' }, base);
    await symlink('../secret.txt', join(plugin, 'out'));
    await symlink('/etc', join(plugin, 'etc'));
    await symlink('nowhere', join(plugin, 'dangling'));
    await symlink('loop-b', join(plugin, 'loop-a'));
    await symlink('loop-a', join(plugin, 'loop-b'));
    await symlink(`${plugin}-sibling`, join(plugin, 'sibling'));
    await mkdir(`${plugin}-sibling`);
    const { skipped, files: count } = await packed();
    expect(skipped).toEqual([
      { path: 'dangling', why: 'the link points at nothing' },
      { path: 'etc', why: 'the link points out of the plugin' },
      { path: 'loop-a', why: 'the link points at nothing' },
      { path: 'loop-b', why: 'the link points at nothing' },
      { path: 'out', why: 'the link points out of the plugin' },
      { path: 'sibling', why: 'the link points out of the plugin' },
    ]);
    expect(count).toBe(1);
  });

  it('that lead in circles end', async () => {
    await files({ 'a/x': '', 'b/y': '' });
    await symlink('..', join(plugin, 'a/up'));
    await symlink('../b', join(plugin, 'a/b'));
    await symlink('../a', join(plugin, 'b/a'));
    const bundle = await packed();
    expect(bundle.skipped.map(({ path }) => path)).toEqual(['a/b/a', 'a/up', 'b/a/b', 'b/a/up']);
    expect(listed(bundle)).toEqual([
      'a/',
      'a/b/',
      'a/b/y',
      'a/x',
      'b/',
      'b/a/',
      'b/a/x',
      'b/y',
      'plugin.yaml',
    ]);
  });

  it('bring nothing in that is left out under its own name', async () => {
    await files({
      '.git/config': 'token',
      'private/key': 'k',
      '.airlockignore': '/private\n/drafts/own.md\n',
    });
    await files({ 'drafts/own.md': '', 'drafts/ours.md': '' });
    await symlink('.git/config', join(plugin, 'config'));
    await symlink('private', join(plugin, 'public'));
    await symlink('drafts', join(plugin, 'open'));
    const bundle = await packed();
    expect(bundle.skipped).toEqual([
      { path: 'config', why: 'the link points at ".git/config", which is left out' },
      { path: 'public', why: 'the link points at "private", which is left out' },
    ]);
    expect(listed(bundle).filter((path) => path.includes('own.md'))).toEqual([]);
  });

  it('do not hide a secret under another name', async () => {
    await files({ 'keys/.env': 'S=1' });
    await symlink('keys/.env', join(plugin, 'settings.txt'));
    const error = await refused();
    expect(error.message).toContain('"keys/.env", "settings.txt"');
  });

  it('to the plugin itself are followed', async () => {
    await symlink(plugin, join(base, 'alias'));
    const bundle = await packDirectory(join(base, 'alias'), { out: join(base, 'alias.tgz') });
    expect(bundle.sha256).toBe((await packed()).sha256);
  });
});

describe('secrets', () => {
  it.each(['.env', '.env.local', 'deep/.ENV', 'server.pem', 'id_rsa', 'keys/id_ed25519'])(
    'under the name %s are refused, unless they are allowed',
    async (path) => {
      await files({ [path]: 'secret' });
      const error = await refused();
      expect(error.code).toBe('INVALID_PARAMS');
      expect(error.message).toContain(`"${path}"`);
      expect((await packed({ allowSecrets: true })).files).toBe(2);
    },
  );

  it.each(['.env.example', 'id_rsa.pub', 'environment', 'pem.md', 'my_id_rsa'])(
    'are not seen in %s',
    async (path) => {
      await files({ [path]: 'public' });
      expect((await packed()).files).toBe(2);
    },
  );

  it('are no reason to refuse where .airlockignore leaves them out', async () => {
    await files({ '.env': 'secret', '.airlockignore': '.env\n' });
    expect(listed(await packed())).toEqual(['.airlockignore', 'plugin.yaml']);
  });
});

describe('the manifest', () => {
  it('must be there, unless that is not asked', async () => {
    await rm(join(plugin, 'plugin.yaml'));
    await files({ 'rules/a.md': '' });
    expect((await refused()).code).toBe('MANIFEST_MISSING');
    expect(await packed({ manifest: 'optional' })).toMatchObject({ plugin: 'lint', manifest: undefined });
    expect(await packed({ manifest: 'optional', name: 'other' })).toMatchObject({ plugin: 'other' });
  });

  it('must be readable and name the plugin by a plugin name', async () => {
    await files({ 'plugin.yaml': 'name: [' });
    expect((await refused()).code).toBe('MANIFEST_INVALID');
    await files({ 'plugin.yaml': 'name: Not A Name' });
    expect(await refused()).toMatchObject({ code: 'MANIFEST_INVALID' });
    await files({ 'plugin.yaml': 'name: other' });
    expect((await refused({ name: 'lint' })).code).toBe('MANIFEST_MISMATCH');
  });

  it('does not count where it is left out', async () => {
    await files({ '.airlockignore': 'plugin.yaml\n' });
    expect((await refused()).code).toBe('MANIFEST_MISSING');
  });
});

describe('a file that changes while it is packed', () => {
  const pull = async (change: () => Promise<void>): Promise<void> => {
    const source = join(plugin, 'big.bin');
    const blocks = archive([{ kind: 'file', path: 'big.bin', source }], () => {});
    await blocks.next();
    await change();
    for await (const _ of blocks);
  };

  it.each([
    ['shorter', 'x'],
    ['longer', 'x'.repeat(2_000_000)],
    ['other', 'y'.repeat(1_000_000)],
  ])('is refused by name: %s', async (_, text) => {
    await files({ 'big.bin': 'x'.repeat(1_000_000) });
    const change = async (): Promise<void> => {
      await writeFile(join(plugin, 'big.bin'), text);
      await utimes(join(plugin, 'big.bin'), 1, 1);
    };
    await expect(pull(change)).rejects.toMatchObject({
      code: 'INVALID_PARAMS',
      message: expect.stringContaining('big.bin'),
    });
  });

  it('is not read through a link that was put in its place', async () => {
    await files({ 'big.bin': '' });
    await rm(join(plugin, 'big.bin'));
    await symlink('/etc/passwd', join(plugin, 'big.bin'));
    const blocks = archive([{ kind: 'file', path: 'big.bin', source: join(plugin, 'big.bin') }], () => {});
    await expect(blocks.next()).rejects.toMatchObject({ code: 'INVALID_PARAMS' });
  });
});

it('says what is wrong with a directory that is none', async () => {
  expect(await packDirectory(join(base, 'nothing')).catch((error: unknown) => error)).toMatchObject({
    code: 'INVALID_PARAMS',
  });
  const file = join(plugin, 'plugin.yaml');
  expect(await packDirectory(file).catch((error: unknown) => error)).toMatchObject({
    code: 'INVALID_PARAMS',
  });
});
