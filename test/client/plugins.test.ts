import { symlink } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { findPlugins } from '../../client/plugins.ts';
import { base, files, packsInScratch } from './packing.ts';

packsInScratch();

const LIST = '.claude-plugin/marketplace.json';
const skill = (name: string): string => `---\nname: ${name}\ndescription: d\n---\n`;

async function found(contents: Record<string, string>): Promise<(readonly [string, string, string])[]> {
  const directory = join(base, 'all');
  await files(contents, directory);
  return seen(directory);
}

/** Of each: the name, the place, and why it is refused. */
const seen = async (directory: string): Promise<(readonly [string, string, string])[]> =>
  (await findPlugins(directory)).map((one) => [
    one.name,
    one.place ?? '',
    'fault' in one ? `${one.fault.code}: ${one.fault.message}` : '',
  ]);

describe('the plugins of a directory without a list', () => {
  it('are those with a manifest, of every kind and depth, and not what is inside of them', async () => {
    const all = await found({
      'README.md': '',
      'plugins/lint/plugin.yaml': 'name: lint\n',
      'plugins/lint/skills/x/SKILL.md': skill('x'),
      'plugins/test/.claude-plugin/plugin.json': '{"name":"test"}',
      'skills/pdf/SKILL.md': skill('pdf'),
      'skills/doc/SKILL.md': skill('Word Documents'),
      'charts/plugin.json': '{"type":"panel"}',
      '.git/hooks/SKILL.md': skill('no'),
    });
    expect(all).toEqual([
      ['lint', 'plugins/lint', ''],
      ['test', 'plugins/test', ''],
      ['doc', 'skills/doc', ''],
      ['pdf', 'skills/pdf', ''],
    ]);
  });

  it('are one if the directory is a plugin', async () => {
    expect(await found({ 'plugin.yaml': 'name: lint\n', 'skills/x/SKILL.md': skill('x') })).toEqual([
      ['lint', '.', ''],
    ]);
  });

  it('are refused one by one: a manifest that cannot be read, a name that is taken, a link that leads out', async () => {
    await files({ 'plugin.yaml': 'name: other\n' }, join(base, 'outside'));
    await files({ 'a.md': '' }, join(base, 'all'));
    await symlink('../outside', join(base, 'all/linked'));
    const all = await found({
      'a/plugin.yaml': 'name: lint\n',
      'b/plugin.yaml': 'name: lint\n',
      'c/plugin.yaml': '{',
      'd/plugin.yaml': 'name: good\n',
    });
    expect(all).toEqual([
      ['lint', 'a', ''],
      ['lint', 'b', 'CONFLICT: The plugin in "a" comes first and has the name "lint" too'],
      ['c', 'c', expect.stringMatching(/^MANIFEST_INVALID/)],
      ['good', 'd', ''],
      ['linked', 'linked', expect.stringMatching(/^INVALID_PARAMS: It is a link/)],
    ]);
  });

  it('are missing where there is none', async () => {
    await expect(found({ 'README.md': '' })).rejects.toMatchObject({ code: 'MANIFEST_MISSING' });
    await expect(findPlugins(join(base, 'nowhere'))).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});

describe('the plugins of a marketplace', () => {
  it('are those of its list, in its order, and each that is not here says why', async () => {
    const plugins = [
      { name: 'z', source: './z' },
      { name: 'a', source: './plugins/a/' },
      { name: 'a', source: './z' },
      { name: 'up', source: '../up' },
      { name: 'round', source: './z/../../up' },
      { name: 'absolute', source: '/etc' },
      { name: 'web', source: 'https://example.com/x.git' },
      { name: 'git', source: { source: 'github', repo: 'owner/repo' } },
      { name: 'gone', source: './gone' },
      { name: 'file', source: './z/README.md' },
      { name: 'link', source: './link' },
      { name: 'Two Words', source: './z' },
      { source: './z' },
    ];
    const directory = join(base, 'all');
    await files({ 'x.md': '' }, join(base, 'up'));
    await files({ 'README.md': '' }, directory);
    await symlink('../up', join(directory, 'link'));
    const all = await found({
      [LIST]: JSON.stringify({ plugins }),
      'z/README.md': '',
      'plugins/a/README.md': '',
      'plugins/not-listed/plugin.yaml': 'name: not-listed\n',
    });
    expect(all).toEqual([
      ['z', 'z', ''],
      ['a', 'plugins/a', ''],
      ['a', 'z', 'CONFLICT: The plugin in "plugins/a" comes first and has the name "a" too'],
      ['up', '', 'INVALID_PARAMS: Its source "../up" is outside the directory'],
      ['round', '', 'INVALID_PARAMS: Its source "./z/../../up" is outside the directory'],
      ['absolute', '', 'INVALID_PARAMS: Its source "/etc" is outside the directory'],
      ['web', '', 'NOT_FOUND: Its source is "https://example.com/x.git", which is not in this directory'],
      ['git', '', 'NOT_FOUND: Its source is "owner/repo" (github), which is not in this directory'],
      ['gone', '', 'NOT_FOUND: Its source "./gone" is no directory here'],
      ['file', '', 'NOT_FOUND: Its source "./z/README.md" is no directory here'],
      ['link', '', 'INVALID_PARAMS: Its source "./link" is a link out of the directory'],
      ['Two Words', 'z', expect.stringContaining('which is not a plugin name')],
      ['plugins[12]', '', expect.stringContaining('is not valid: name: ')],
    ]);
  });

  it('are not guessed where the list cannot be read', async () => {
    await expect(found({ [LIST]: '{"plugins": 1}', 'a/plugin.yaml': 'name: a\n' })).rejects.toMatchObject({
      code: 'MANIFEST_INVALID',
      message: expect.stringContaining('plugins: '),
    });
  });
});

it('a link out of a directory that is inside of a plugin is no plugin', async () => {
  const directory = join(base, 'all');
  await files({ 'one/plugin.yaml': 'name: one\n' }, directory);
  await files({ 'a.md': '' }, join(base, 'elsewhere'));
  await symlink(join(base, 'elsewhere'), join(directory, 'one/link'));
  await symlink(join(base, 'elsewhere'), join(directory, 'link'));
  const all = await seen(directory);
  expect(all.map(([name]) => name)).toEqual(['link', 'one']);
});
