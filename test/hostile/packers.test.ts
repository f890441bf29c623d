import { spawnSync } from 'node:child_process';
import { linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { packDirectory } from '../../client/pack/pack.ts';
import { Fortress } from '../_kit/fortress.ts';
import { yamlOf } from '../_kit/install-room.ts';

const fortress = Fortress.forAll();
/** Names of more than 100 bytes, which v7 cannot hold, and of another alphabet. */
const LONG = [`rules/${'long-'.repeat(15)}/${'long-'.repeat(8)}.md`, 'rules/長い名前.md'];
let folder = '';

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'airlock-packers-'));
  for (const [name, paths] of Object.entries({ short: ['rules/a.md'], long: ['rules/a.md', ...LONG] })) {
    for (const path of paths) {
      mkdirSync(join(folder, name, path, '..'), { recursive: true });
      writeFileSync(join(folder, name, path), `${path}\n`);
    }
    writeFileSync(join(folder, name, 'plugin.yaml'), yamlOf());
    writeFileSync(join(folder, name, 'package.json'), '{"name":"lint","version":"1.2.3"}');
  }
  const linked = join(folder, 'linked');
  for (const directory of ['skills/a', 'shared', 'hooks', '__pycache__']) {
    mkdirSync(join(linked, directory), { recursive: true });
  }
  writeFileSync(join(linked, 'plugin.yaml'), yamlOf());
  writeFileSync(join(linked, 'AGENTS.md'), 'be brief\n');
  writeFileSync(join(linked, 'skills/a/SKILL.md'), '---\nname: a\ndescription: it is a\n---\n');
  writeFileSync(join(linked, 'shared/notes.md'), 'notes\n');
  writeFileSync(join(linked, 'hooks/a.sh'), '#!/bin/sh\n', { mode: 0o755 });
  writeFileSync(join(linked, '__pycache__/a.pyc'), 'x');
  writeFileSync(join(linked, '.DS_Store'), 'x');
  linkSync(join(linked, 'hooks/a.sh'), join(linked, 'hooks/b.sh'));
  for (const [path, target] of Object.entries({
    'CLAUDE.md': 'AGENTS.md',
    'skills/a/notes.md': '../../shared/notes.md',
    'skills/b': 'a',
    'hooks/c.sh': 'b.sh',
    gone: 'nowhere',
  })) {
    symlinkSync(target, join(linked, path));
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const PYTHON = (format: string): string =>
  `import tarfile; t = tarfile.open('out.tar', 'w', format=tarfile.${format}); t.add('.', 'top', filter=lambda i: None if i.name.endswith('out.tar') else i); t.close()`;
const GIT = [
  'git init -q .',
  'git -c core.excludesFile= add .',
  'git -c user.name=t -c user.email=t@localhost commit -q -m t',
  'git archive --prefix=lint-0a1b2c3/ HEAD > out.tar',
].join(' && ');

const PACKERS: [what: string, tool: string, tree: 'short' | 'long', command: string][] = [
  ...['v7', 'ustar', 'oldgnu', 'gnu', 'pax'].map((format): [string, string, 'short' | 'long', string] => [
    `GNU tar, ${format}`,
    'tar --version | grep -q GNU',
    format === 'v7' ? 'short' : 'long',
    `tar --format=${format} --exclude=out.tar -cf out.tar .`,
  ]),
  ...['v7', 'ustar', 'gnutar', 'pax'].map((format): [string, string, 'short' | 'long', string] => [
    `bsdtar, ${format}`,
    'bsdtar --version',
    format === 'v7' ? 'short' : 'long',
    `LC_ALL=C.UTF-8 bsdtar --format=${format} --exclude out.tar -cf out.tar .`,
  ]),
  ...['USTAR_FORMAT', 'GNU_FORMAT', 'PAX_FORMAT'].map(
    (format): [string, string, 'short' | 'long', string] => [
      `Python tarfile, ${format}`,
      'python3 --version',
      'long',
      `python3 -c "${PYTHON(format)}"`,
    ],
  ),
  ['git archive', 'git --version', 'long', GIT],
  ['npm pack', 'npm --version', 'long', 'npm pack --silent --ignore-scripts && mv lint-1.2.3.tgz out.tar'],
];

/** The tree digest of what our own packer makes of a directory. */
async function digestOf(directory: string): Promise<string> {
  const { tree, dispose } = await packDirectory(directory);
  await dispose();
  return tree;
}

const shell = (command: string, cwd: string): { status: number | null; stderr: string } =>
  spawnSync('sh', ['-c', command], { cwd, encoding: 'utf8' });

describe('what others pack is accepted', () => {
  it.for(PACKERS)('%s', async ([what, tool, tree, command], ctx) => {
    if (shell(tool, folder).status !== 0) ctx.skip(`there is no ${what} here`);
    const cwd = join(folder, tree);
    const made = shell(command, cwd);
    expect([made.status, made.stderr]).toEqual([0, expect.anything()]);
    const bytes = readFileSync(join(cwd, 'out.tar'));
    shell('rm -rf .git out.tar', cwd);
    const { live, tree: digest } = await fortress.accepted(bytes);
    expect(digest).toBe(await digestOf(cwd));
    const paths = ['package.json', 'plugin.yaml', 'rules/a.md', ...(tree === 'long' ? LONG : [])];
    expect(live.toSorted()).toEqual(paths.toSorted());
    await fortress.quiet();
  });
});

describe('a plugin with links is the same tree, whoever packs it', () => {
  // npm leaves links out, and says nothing.
  it.for(PACKERS.filter(([what]) => what !== 'npm pack'))('%s', async ([what, tool, , command], ctx) => {
    if (shell(tool, folder).status !== 0) ctx.skip(`there is no ${what} here`);
    const cwd = join(folder, 'linked');
    expect(shell(command, cwd).status).toBe(0);
    const bytes = readFileSync(join(cwd, 'out.tar'));
    shell('rm -rf .git out.tar', cwd);
    const { live, tree, skipped } = await fortress.accepted(bytes);
    expect([tree, skipped]).toEqual([await digestOf(cwd), 1]);
    expect(live).toEqual(
      expect.arrayContaining(['CLAUDE.md', 'skills/b/SKILL.md', 'skills/b/notes.md', 'hooks/c.sh']),
    );
    await fortress.quiet();
  });
});
