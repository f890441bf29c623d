import { execFileSync } from 'node:child_process';
import { mkdir, readdir, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { archive } from '../../client/pack/archive.ts';
import { listDirectory, packDirectory } from '../../client/pack/pack.ts';
import { treeDigest } from '../../shared/format/tree.ts';
import { base, extracted, files, listed, packed, plugin, refused, packsInScratch } from './packing.ts';

packsInScratch();

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

  it.each(['skills/a/SKILL.md', 'skills/a/skill.md', 'SKILL.md'])(
    'that are left out are refused where the plugin cannot do without them: %s',
    async (path) => {
      await mkdir(join(plugin, path, '..'), { recursive: true });
      await symlink('/etc/hostname', join(plugin, path));
      const { code, message } = await refused();
      expect([code, message]).toEqual([
        'INVALID_PARAMS',
        expect.stringContaining(`"${path}" cannot be packed`),
      ]);
    },
  );

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

  it('bring no attributes of macOS in under another name', async () => {
    await writeFile(join(plugin, '._x'), Buffer.from([0x00, 0x05, 0x16, 0x07]));
    await symlink('._x', join(plugin, 'x'));
    const bundle = await packed();
    expect(listed(bundle)).toEqual(['plugin.yaml']);
    expect(bundle.skipped).toEqual([
      { path: 'x', why: 'the link points at "._x", in which macOS keeps attributes' },
    ]);
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

describe('the manifest', () => {
  it('must be there, unless that is not asked', async () => {
    await rm(join(plugin, 'plugin.yaml'));
    await files({ 'rules/a.md': '' });
    expect((await refused()).code).toBe('MANIFEST_MISSING');
    expect(await packed({ manifest: 'optional' })).toMatchObject({ plugin: 'lint', manifest: undefined });
    expect(await packed({ manifest: 'optional', name: 'other' })).toMatchObject({ plugin: 'other' });
  });

  it('of plugins below the directory is named where the directory has none', async () => {
    await rm(join(plugin, 'plugin.yaml'));
    const paths = Array.from({ length: 6 }, (_, i) => `plugins/p${i}`);
    await files(
      Object.fromEntries(paths.map((path) => [`${path}/.claude-plugin/plugin.json`, '{"name":"x"}'])),
    );
    await files({ 'plugins/p0/skills/a/SKILL.md': 'x' });
    const error = await refused();
    expect(error.code).toBe('MANIFEST_MISSING');
    expect(error.message).toContain('"plugins/p0", "plugins/p1"');
    expect(error.message).toContain(' and 1 more');
    expect(error.message).not.toContain('skills');
  });

  it('must be readable and name the plugin by a plugin name', async () => {
    await files({ 'plugin.yaml': 'name: [' });
    expect((await refused()).code).toBe('MANIFEST_INVALID');
    await files({ 'plugin.yaml': 'name: Not A Name' });
    expect(await refused()).toMatchObject({ code: 'MANIFEST_INVALID' });
    await files({ 'plugin.yaml': 'name: other' });
    expect((await refused({ name: 'lint' })).code).toBe('MANIFEST_MISMATCH');
  });

  it('may begin with a byte order mark, and is not UTF-16', async () => {
    await files({
      'plugin.yaml': '\uFEFFname: lint\n',
      '.airlockignore': '\uFEFFnotes.md\n',
      'notes.md': '',
    });
    const one = await packed();
    expect([one.plugin, one.files]).toEqual(['lint', 2]);
    await writeFile(join(plugin, 'plugin.yaml'), Buffer.from('\uFEFFname: lint\n', 'utf16le'));
    expect(await refused()).toMatchObject({
      code: 'MANIFEST_INVALID',
      message: expect.stringContaining('UTF-16'),
    });
  });

  it('may be a SKILL.md with a name for people if the caller names the plugin', async () => {
    await rm(join(plugin, 'plugin.yaml'));
    await files({ 'SKILL.md': '---\nname: Lint My Code\ndescription: d\n---\n' });
    expect(await refused()).toMatchObject({
      code: 'MANIFEST_INVALID',
      hint: expect.stringContaining('--name lint-my-code'),
    });
    expect((await packed({ name: 'lint' })).plugin).toBe('lint');
    expect((await listDirectory(plugin, { name: 'lint' })).plugin).toBe('lint');
  });

  it('may be a plugin.json that says it is one of Agent Plugins, and is no other plugin.json', async () => {
    await rm(join(plugin, 'plugin.yaml'));
    await files({ 'plugin.json': '{"name":"lint"}' });
    expect(await refused()).toMatchObject({
      code: 'MANIFEST_MISSING',
      hint: expect.stringContaining('$schema'),
    });
    await files({
      'plugin.json':
        '{"$schema":"https://agent-plugins.org/schemas/1.0.0/plugin.schema.json","name":"lint","version":"3.0.0"}',
    });
    const { manifest } = await packed();
    expect([manifest?.file, manifest?.version]).toEqual(['plugin.json', '3.0.0']);
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

describe('packing that is stopped', () => {
  it.each([0, 1, 20])('ends, and leaves nothing behind (after %i ms)', async (millis) => {
    await files(
      Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`rules/${i}.md`, 'x'.repeat(50_000)])),
    );
    const controller = new AbortController();
    const { signal } = controller;
    const temporary = process.env['TMPDIR'];
    process.env['TMPDIR'] = base;
    try {
      setTimeout(() => controller.abort(), millis);
      expect((await refused({ out: join(base, 'out.tgz'), signal })).code).toBe('CANCELLED');
      expect((await refused({ signal })).code).toBe('CANCELLED');
    } finally {
      if (temporary === undefined) delete process.env['TMPDIR'];
      else process.env['TMPDIR'] = temporary;
    }
    expect(await readdir(base)).toEqual(['lint']);
  });
});
