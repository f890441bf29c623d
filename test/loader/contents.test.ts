import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { type Plugin, createLoader } from '../../loader/index.ts';
import type { Layout } from '../../shared/format/layout.ts';
import { install, makeRoot, writeFiles, yamlOf } from '../_kit/loader-root.ts';

async function load(layout: Layout, ignore: string[] = []): Promise<Plugin> {
  const answer = await createLoader({ roots: [layout.root], ignore }).gate('lint');
  if (!answer.admitted) throw new Error(answer.detail);
  return answer.plugin;
}

test('rules and prompt fragments are listed by absolute path, sorted', async () => {
  const layout = await makeRoot();
  const live = layout.live('lint');
  await install(layout, 'lint', {
    'plugin.yaml': yamlOf('lint'),
    'rules/b.md': '',
    'rules/a.md': '',
    'rules/notes.txt': '',
    'rules/deep/c.md': '',
    'CLAUDE.md': '',
    'AGENTS.md': '',
    'known-issues.md': '',
    'docs/other.md': '',
  });
  const { rules, promptFragments } = await load(layout);
  expect(rules).toEqual([join(live, 'rules/a.md'), join(live, 'rules/b.md')]);
  expect(promptFragments).toEqual(
    ['AGENTS.md', 'CLAUDE.md', 'known-issues.md'].map((name) => join(live, name)),
  );
});

test('what is written for people is no prompt fragment, whatever its case; SKILL.md is the manifest', async () => {
  const layout = await makeRoot();
  const names = [
    'README.md',
    'readme.zh-CN.md',
    'Changelog.md',
    'LICENSE.md',
    'contributing.md',
    '.hidden.md',
  ];
  const files = Object.fromEntries(names.map((name) => [name, '']));
  await install(layout, 'lint', { ...files, 'SKILL.md': '---\nname: lint\n---\n', 'README-FIRST.md': '' });
  expect((await load(layout)).promptFragments).toEqual([join(layout.live('lint'), 'README-FIRST.md')]);
});

test('the directory of skills and the settings are found, and are undefined where there are none', async () => {
  const layout = await makeRoot();
  await install(layout, 'lint');
  expect(await load(layout)).toMatchObject({ skillsDir: undefined, settingsFragment: undefined, rules: [] });
  await writeFiles(layout.live('lint'), { 'skills/a/SKILL.md': '', 'settings-fragment.json': '{}' });
  expect(await load(layout)).toMatchObject({
    skillsDir: join(layout.live('lint'), 'skills'),
    settingsFragment: join(layout.live('lint'), 'settings-fragment.json'),
  });
});

test('only regular files and real directories are listed: links and misfits are not', async () => {
  const layout = await makeRoot();
  const live = layout.live('lint');
  await install(layout, 'lint', { 'plugin.yaml': yamlOf('lint'), skills: 'a file', 'rules/a.md': '' });
  await symlink('/etc/hostname', join(live, 'link.md'));
  await symlink('/etc/hostname', join(live, 'rules/link.md'));
  await symlink('/etc/hostname', join(live, 'settings-fragment.json'));
  await mkdir(join(live, 'directory.md'));
  expect(await load(layout)).toMatchObject({
    promptFragments: [],
    rules: [join(live, 'rules/a.md')],
    skillsDir: undefined,
    settingsFragment: undefined,
  });
});

test('a linked directory of rules or skills leads nowhere', async () => {
  const layout = await makeRoot();
  await writeFiles(layout.root, { 'elsewhere/a.md': '' });
  await install(layout, 'lint');
  for (const name of ['rules', 'skills']) await symlink('../elsewhere', join(layout.live('lint'), name));
  expect(await load(layout)).toMatchObject({ rules: [], skillsDir: undefined });
});

test('names that the owner ignores are not loaded', async () => {
  const layout = await makeRoot();
  const files = { 'plugin.yaml': yamlOf('lint'), 'draft-x.md': '', 'rules/draft-y.md': '', 'rules/a.md': '' };
  await install(layout, 'lint', files);
  expect(await load(layout, ['draft-*'])).toMatchObject({
    promptFragments: [],
    rules: [join(layout.live('lint'), 'rules/a.md')],
  });
});
