import { execFileSync } from 'node:child_process';
import { mkdir, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { openBundle } from '../../client/bundle.ts';
import { validateDirectory } from '../../client/pack/validate.ts';
import { findPlugins } from '../../client/plugins.ts';
import { isZip } from '../../client/zip/unpack.ts';
import type { Fault } from '../../shared/api/fault.ts';
import { base, files, packed, packsInScratch, plugin, refused } from './packing.ts';

packsInScratch();

const LIST = '.claude-plugin/marketplace.json';
const LIMITS = { maxUnpacked: Number.MAX_SAFE_INTEGER, maxEntries: 1000, maxDepth: 32 };

const pipe = (path: string): void => {
  execFileSync('mkfifo', [path]);
};
const listFault = (): Promise<Fault> =>
  findPlugins(plugin).then(
    () => expect.fail(),
    (error: unknown) => error as Fault,
  );

describe('a list of plugins', () => {
  it.each([
    ['a pipe', async (path: string) => pipe(path)],
    ['a device without an end', (path: string) => symlink('/dev/zero', path)],
    ['a directory', (path: string) => mkdir(path)],
  ])('that is %s is refused, and not waited for', async (_what, make) => {
    await mkdir(join(plugin, '.claude-plugin'));
    await make(join(plugin, LIST));
    expect(await listFault()).toMatchObject({
      code: 'MANIFEST_INVALID',
      message: expect.stringMatching(
        /cannot be read: it is (?:not a regular file|a link out of the directory)$/,
      ),
    });
  });

  it('that is a link out of the directory is refused, and nothing of it is told', async () => {
    await writeFile(join(base, 'private.txt'), 'word of somebody else\n');
    await mkdir(join(plugin, '.claude-plugin'));
    await symlink(join(base, 'private.txt'), join(plugin, LIST));
    const { message } = await listFault();
    expect(message).toContain('it is a link out of the directory');
    expect(message).not.toContain('word');
  });

  it('may be a link in the directory', async () => {
    await files({
      'list.json': '{"plugins":[{"name":"one","source":"./one"}]}',
      'one/plugin.yaml': 'name: one\n',
    });
    await mkdir(join(plugin, '.claude-plugin'));
    await symlink('../list.json', join(plugin, LIST));
    expect(await findPlugins(plugin)).toMatchObject([{ name: 'one', place: 'one' }]);
  });

  it('with an entry that is nested too deeply for a manifest says so', async () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    await files({ [LIST]: `{"plugins":[{"name":"one","source":"./one","x":${deep}}]}`, 'one/a.md': '' });
    await rm(join(plugin, 'plugin.yaml'));
    await rename(plugin, join(base, 'market'));
    await expect(
      validateDirectory(join(base, 'market/one'), { limits: LIMITS, isUnpacked: false }),
    ).resolves.toMatchObject({
      findings: [{ rule: 'manifest-invalid', message: expect.stringContaining('it is nested too deeply') }],
    });
  });
});

describe('an .airlockignore', () => {
  it('that is a pipe is refused, and not waited for', async () => {
    pipe(join(plugin, '.airlockignore'));
    expect((await refused()).message).toBe('.airlockignore cannot be used: it is not a regular file');
  });

  it('may be a link to patterns that several plugins share', async () => {
    await files({ 'a.log': '', b: '' });
    await writeFile(join(base, 'shared'), '*.log\n');
    await symlink(join(base, 'shared'), join(plugin, '.airlockignore'));
    expect((await packed()).files).toBe(2);
  });

  // Was a bug: such a pattern took minutes for one path.
  it('with a pattern that takes too long is refused, and the pattern is named', async () => {
    await files({ '.airlockignore': `*.log\n${'**/a/'.repeat(20)}z\n`, [`${'a/'.repeat(200)}a`]: '' });
    expect(await refused()).toMatchObject({
      code: 'INVALID_PARAMS',
      message: expect.stringMatching(
        /^\.airlockignore cannot be used: "\*\*\/a\/.*" has "\*\*\/" more than 2 times$/,
      ),
    });
  });
});

it('a pipe is no bundle and no zip, and is not waited for', async () => {
  const path = join(base, 'pipe.tgz');
  pipe(path);
  expect(await isZip(path)).toBe(false);
  await expect(openBundle(path)).rejects.toMatchObject({
    code: 'INVALID_PARAMS',
    message: expect.stringContaining('is not a file'),
  });
});

it('validating ends in the middle of a file when it is stopped', async () => {
  await files({ large: '' });
  // It has holes only, and more of them than can be read in a day.
  await truncate(join(plugin, 'large'), 8 * 1024 ** 4);
  let looks = 0;
  const { signal } = new AbortController();
  // The walk looks once for each entry.
  Object.defineProperty(signal, 'aborted', { get: () => (looks += 1) > 20 });
  const report = validateDirectory(plugin, { limits: LIMITS, isUnpacked: false, signal });
  await expect(report).rejects.toMatchObject({ code: 'CANCELLED' });
});
