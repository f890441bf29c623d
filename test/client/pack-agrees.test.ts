/** The packer and an agent make the same tree of a directory, whoever packed it. */
import { execFileSync } from 'node:child_process';
import { symlink } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, it } from 'vitest';

import { listDirectory } from '../../client/pack/pack.ts';
import { treeDigest } from '../../shared/format/tree.ts';
import { accepted } from '../_kit/staging.ts';
import { files, packsInScratch, plugin } from './packing.ts';

packsInScratch();

// Was a bug: directories with the names of ignored files were left out by the packer, and kept by the agent.
it('names of ignored files do not concern directories, but links to directories', async () => {
  await files({
    'rules/a.md': 'a',
    'kept~/a.md': 'a',
    'kept.pyc/deep/a.md': 'a',
    'file~': 'x',
    '__pycache__/a.md': 'a',
  });
  await symlink('rules', join(plugin, 'link~'));
  await symlink('rules/a.md', join(plugin, 'other~'));
  await symlink('rules', join(plugin, 'copy'));
  await symlink('kept~', join(plugin, 'second'));
  await symlink('file~', join(plugin, 'nothing'));
  const { list, skipped } = await listDirectory(plugin);
  const paths = ['copy/a.md', 'kept.pyc/deep/a.md', 'kept~/a.md', 'plugin.yaml', 'rules/a.md', 'second/a.md'];
  expect(list.map(({ path }) => path).toSorted()).toEqual(paths);
  expect(skipped.map(({ path }) => path)).toEqual(['nothing']);
  const { staged } = accepted(execFileSync('tar', ['-C', plugin, '-c', '.']));
  expect(treeDigest(staged.files)).toBe(treeDigest(list));
});
