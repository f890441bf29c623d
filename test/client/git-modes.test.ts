/** Execute bits come from git where the file system keeps none. */
import { execFileSync, spawnSync } from 'node:child_process';
import { access, chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { beforeEach, describe, expect, it } from 'vitest';

import { packDirectory } from '../../client/pack/pack.ts';
import { base, files, packed, packsInScratch, plugin } from './packing.ts';

packsInScratch();

const git = (...words: string[]): string =>
  execFileSync('git', ['-C', base, ...words], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/** The paths in a bundle that may be executed. */
async function executable(): Promise<string[]> {
  const { file } = await packed();
  const lines = execFileSync('tar', ['-tvzf', file], { encoding: 'utf8' }).split('\n');
  return lines.flatMap((line) => (line.startsWith('-rwx') ? [line.slice(line.lastIndexOf(' ') + 1)] : []));
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** A repository around the plugin. Git has the bit of `run.sh` only, and the file system that of `open.sh` only. */
beforeEach(async (ctx) => {
  if (spawnSync('git', ['--version']).error !== undefined) ctx.skip('git is not installed');
  await files({ 'hooks/run.sh': '#!/bin/sh\n', 'open.sh': '#!/bin/sh\n' });
  git('init', '-q');
  git('add', '.');
  git('update-index', '--chmod=+x', 'lint/hooks/run.sh');
  await chmod(join(plugin, 'open.sh'), 0o755);
});

describe('the execute bit of a tracked file', () => {
  it('is that of the file system where git says that it keeps them', async () => {
    expect(await executable()).toEqual(['open.sh']);
  });

  it('is that of the index where core.fileMode is false, also behind a link', async () => {
    git('config', 'core.fileMode', 'false');
    await symlink('hooks/run.sh', join(plugin, 'link'));
    expect(await executable()).toEqual(['hooks/run.sh', 'link']);
  });

  it('is that of the file system where git does not know the file', async () => {
    git('config', 'core.fileMode', 'false');
    git('rm', '-q', '--cached', 'lint/open.sh');
    expect(await executable()).toEqual(['hooks/run.sh', 'open.sh']);
  });

  it('gives the tree that a file system with bits gives', async () => {
    git('config', 'core.fileMode', 'false');
    const { tree } = await packed();
    git('config', 'core.fileMode', 'true');
    await chmod(join(plugin, 'open.sh'), 0o644);
    await chmod(join(plugin, 'hooks/run.sh'), 0o755);
    expect((await packed()).tree).toBe(tree);
  });

  it('is that of the file system where the repository is broken', async () => {
    git('config', 'core.fileMode', 'false');
    await writeFile(join(base, '.git/index'), 'no index');
    expect(await executable()).toEqual(['open.sh']);
  });
});

describe('a hostile repository runs nothing', () => {
  it('by a monitor of files, a hook, a pager or an alias', async () => {
    const trap = join(base, 'trap.sh');
    await writeFile(trap, `#!/bin/sh\ntouch '${join(base, 'sprung')}'\n`, { mode: 0o755 });
    git('config', 'core.fileMode', 'false');
    git('config', 'core.fsmonitor', trap);
    // Git itself falls into it.
    git('status', '--short');
    expect(await exists(join(base, 'sprung'))).toBe(true);
    execFileSync('rm', [join(base, 'sprung')]);
    git('config', 'core.pager', trap);
    git('config', 'pager.ls-files', 'true');
    git('config', 'alias.ls-files', `!${trap}`);
    await mkdir(join(base, 'hooks'));
    await writeFile(join(base, '.git/hooks/post-index-change'), `#!/bin/sh\n${trap}\n`, { mode: 0o755 });
    expect(await executable()).toEqual(['hooks/run.sh']);
    expect(await exists(join(base, 'sprung'))).toBe(false);
  });

  it('by the fetch of what a partial clone with a sparse index lacks', async () => {
    const trap = join(base, 'trap.sh');
    await writeFile(trap, `#!/bin/sh\ntouch '${join(base, 'sprung')}'\n`, { mode: 0o755 });
    git('config', 'core.fileMode', 'false');
    git('-c', 'user.name=a', '-c', 'user.email=a@example.test', 'commit', '-qm', 'one');
    git('sparse-checkout', 'set', '--cone', '--sparse-index', 'other');
    await files({ 'plugin.yaml': 'name: lint\nversion: 1.2.3\n' });
    const tree = git('rev-parse', 'HEAD:lint').trim();
    execFileSync('rm', ['-f', join(base, '.git/objects', tree.slice(0, 2), tree.slice(2))]);
    git('config', 'core.repositoryFormatVersion', '1');
    git('config', 'extensions.partialClone', 'origin');
    git('config', 'remote.origin.url', base);
    git('config', 'remote.origin.promisor', 'true');
    git('config', 'remote.origin.uploadpack', trap);
    // What a repository says of one transport counts more than what is said of all.
    git('config', 'protocol.file.allow', 'always');
    // Git itself falls into it.
    spawnSync('git', ['-C', base, 'ls-files', '-s']);
    expect(await exists(join(base, 'sprung'))).toBe(true);
    execFileSync('rm', [join(base, 'sprung')]);
    await packDirectory(plugin, { out: join(base, 'lint.tgz') });
    expect(await exists(join(base, 'sprung'))).toBe(false);
  });
});
