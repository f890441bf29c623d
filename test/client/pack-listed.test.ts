import { mkdir, readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { asListed } from '../../client/pack/marketplace.ts';
import { packDirectory } from '../../client/pack/pack.ts';
import { base, extracted, files, listed, packsInScratch } from './packing.ts';
import { snapshotTree } from '../_kit/tree-snapshot.ts';

packsInScratch();

const MADE = '.claude-plugin/plugin.json';
const LIST = '.claude-plugin/marketplace.json';

/** Writes a marketplace below the scratch directory. */
async function market(plugins: readonly object[], contents: Record<string, string> = {}): Promise<string> {
  const directory = join(base, 'market');
  await files({ [LIST]: JSON.stringify({ name: 'tools', plugins }), ...contents }, directory);
  return directory;
}

const server = { name: 'gopls', version: '1.0.0', lspServers: { go: { command: 'gopls' } } };
const skill = (name: string): string => `---\nname: ${name}\ndescription: d\n---\n`;

// Was a bug: each file was compared with each path, which took minutes.
it('an entry may name its paths as often as it likes', () => {
  const skills = Array.from({ length: 100_000 }, () => './p');
  const entry = { name: 'documents', source: './', strict: false, skills };
  const paths = ['p', 'p/SKILL.md', 'p/a/b.md', ...Array.from({ length: 20_000 }, (_, i) => `other/${i}.md`)];
  const entries = paths.map((path) => ({ kind: 'file' as const, path, source: path }));
  const walked = { entries, skipped: [], secrets: [] };
  const part = asListed({ file: LIST, entry, shared: true }, walked, undefined);
  expect(part.entries.map(({ path }) => path)).toEqual([
    '.claude-plugin',
    MADE,
    'p',
    'p/SKILL.md',
    'p/a/b.md',
  ]);
});

it('no marketplace around the repository of a plugin says anything of it', async () => {
  const directory = await market([{ name: 'one', source: './one' }], { 'one/a.md': '', 'one/.git/HEAD': '' });
  const fault = await packDirectory(join(directory, 'one')).catch((error: unknown) => error);
  expect(fault).toMatchObject({ code: 'MANIFEST_MISSING', message: 'The directory holds no manifest' });
});

describe('a directory without a manifest in a marketplace', () => {
  it('gets the manifest that its entry is, in the bundle alone', async () => {
    const directory = await market([{ ...server, source: './plugins/gopls', strict: false }], {
      'plugins/gopls/README.md': 'x',
    });
    const before = await snapshotTree(directory);
    const packed = await packDirectory(join(directory, 'plugins/gopls'), { out: join(base, 'a.tgz') });
    expect(packed).toMatchObject({
      plugin: 'gopls',
      manifest: { file: MADE, name: 'gopls', version: '1.0.0' },
      manifestFrom: join(directory, LIST),
      files: 2,
    });
    expect(listed(packed)).toEqual(['.claude-plugin/', MADE, 'README.md']);
    expect((await extracted(packed)).map(({ path }) => path).toSorted()).toEqual([MADE, 'README.md']);
    expect(JSON.parse(await readFile(join(base, 'extracted', MADE), 'utf8'))).toEqual(server);
    expect(await snapshotTree(directory)).toEqual(before);
  });

  it('gives the same bytes again, and in another place', async () => {
    const directory = await market([{ ...server, source: './gopls' }], { 'gopls/README.md': 'x' });
    const first = await packDirectory(join(directory, 'gopls'), { out: join(base, 'a.tgz') });
    const other = join(base, 'elsewhere');
    await files({ [LIST]: await readFile(join(directory, LIST), 'utf8'), 'gopls/README.md': 'x' }, other);
    const second = await packDirectory(join(other, 'gopls'), { out: join(base, 'b.tgz') });
    expect(second).toMatchObject({ sha256: first.sha256, tree: first.tree });
  });

  it('keeps a manifest of its own', async () => {
    const directory = await market([{ name: 'lint', source: './lint', version: '9.9.9' }], {
      'lint/plugin.yaml': 'name: lint\nversion: 1.0.0\n',
    });
    const packed = await packDirectory(join(directory, 'lint'), { out: join(base, 'a.tgz') });
    expect(packed).toMatchObject({ manifest: { version: '1.0.0' }, manifestFrom: undefined });
  });

  it('that no entry lists has none, also beside a marketplace of another repository', async () => {
    const directory = await market([{ ...server, source: './gopls' }], {
      'gopls/x.md': '',
      'other/x.md': '',
      'inner/.git/HEAD': '',
      'inner/gopls/x.md': '',
    });
    await expect(packDirectory(join(directory, 'other'))).rejects.toMatchObject({ code: 'MANIFEST_MISSING' });
    await expect(packDirectory(join(directory, 'inner/gopls'))).rejects.toMatchObject({
      code: 'MANIFEST_MISSING',
    });
  });

  it('is told which marketplace.json cannot be read, and where', async () => {
    const directory = await market([]);
    await files({ [LIST]: '{"plugins": [}', 'gopls/x.md': '' }, directory);
    await expect(packDirectory(join(directory, 'gopls'))).rejects.toMatchObject({
      code: 'MANIFEST_INVALID',
      message: expect.stringContaining(`"${join(directory, LIST)}" cannot be read: it is no JSON`),
    });
  });

  it('is found below pluginRoot, by its plain name and by its path', async () => {
    const directory = join(base, 'market');
    const plugins = [
      { name: 'a', source: 'a' },
      { name: 'b', source: './plugins/b' },
      { name: 'c', source: './c' },
    ];
    await files(
      {
        [LIST]: JSON.stringify({ metadata: { pluginRoot: './plugins' }, plugins }),
        'plugins/a/x.md': '',
        'plugins/b/x.md': '',
        'plugins/c/x.md': '',
      },
      directory,
    );
    for (const name of ['a', 'b', 'c']) {
      const packed = await packDirectory(join(directory, 'plugins', name), {
        out: join(base, `${name}.tgz`),
      });
      expect(packed.plugin).toBe(name);
    }
  });
});

describe('a directory that several plugins share', () => {
  const entries = [
    { name: 'documents', source: './', strict: false, skills: ['./skills/pdf', './skills/doc/'] },
    { name: 'pictures', source: './', strict: false, skills: ['./skills/gif'] },
  ];
  const contents = {
    'README.md': '',
    '.env': 'A=1',
    'skills/pdf/SKILL.md': skill('pdf'),
    'skills/pdf/a/b.py': '',
    'skills/doc/SKILL.md': skill('doc'),
    'skills/gif/SKILL.md': skill('gif'),
  };

  it('is packed under the name that is asked for, with what its entry names', async () => {
    const directory = await market(entries, contents);
    await symlink('../../README.md', join(directory, 'skills/pdf/README.md'));
    const packed = await packDirectory(directory, { name: 'documents', out: join(base, 'a.tgz') });
    expect(packed).toMatchObject({ plugin: 'documents', manifestFrom: join(directory, LIST) });
    expect(listed(packed)).toEqual([
      '.claude-plugin/',
      MADE,
      'skills/',
      'skills/doc/',
      'skills/doc/SKILL.md',
      'skills/pdf/',
      'skills/pdf/README.md',
      'skills/pdf/SKILL.md',
      'skills/pdf/a/',
      'skills/pdf/a/b.py',
    ]);
  });

  it('names its plugins when none is asked for', async () => {
    const directory = await market(entries, contents);
    await expect(packDirectory(directory)).rejects.toMatchObject({
      code: 'MANIFEST_MISSING',
      message: 'The directory is that of 2 plugins of a marketplace: "documents", "pictures"',
      hint: expect.stringContaining('--all'),
    });
  });

  it('is refused if an entry lists what is not there', async () => {
    const directory = await market(
      [...entries, { name: 'more', source: '.', skills: ['./skills/x'] }],
      contents,
    );
    await expect(packDirectory(directory, { name: 'more' })).rejects.toMatchObject({
      code: 'MANIFEST_INVALID',
      message: expect.stringContaining('"./skills/x"'),
    });
  });
});

describe('the root of a marketplace', () => {
  it('is no plugin: its plugins are named, and how to push all', async () => {
    const plugins = [1, 2, 3, 4, 5, 6].map((n) => ({ name: `p${n}`, source: `./plugins/p${n}` }));
    const directory = await market(plugins);
    await expect(packDirectory(directory)).rejects.toMatchObject({
      code: 'MANIFEST_MISSING',
      message:
        'The directory is no plugin but a marketplace that lists 6: "p1", "p2", "p3", "p4", "p5" and 1 more',
      hint: expect.stringContaining('airlock push --all'),
    });
  });

  it('that is a plugin too is packed as one', async () => {
    const directory = await market([{ name: 'lint', source: './' }], { [MADE]: '{"name":"lint"}' });
    expect((await packDirectory(directory, { out: join(base, 'a.tgz') })).plugin).toBe('lint');
  });
});

describe('a directory whose manifest is further down', () => {
  it('is told where it is', async () => {
    const directory = join(base, 'deep');
    await mkdir(directory);
    await files({ 'a/b/c/plugin.yaml': 'name: lint\n', 'README.md': '' }, directory);
    await expect(packDirectory(directory)).rejects.toMatchObject({
      code: 'MANIFEST_MISSING',
      message: 'The directory has no manifest at its top; it is at "a/b/c/plugin.yaml"',
      hint: 'Push the directory "a/b/c", or pack it from there',
    });
  });
});
