/** Copies that share their data, where the file system of the temporary directory has them; nothing is made elsewhere. */
import {
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect, it, onTestFinished } from 'vitest';

import { nodeDisk } from '../../agent/disk/node-disk.ts';

function cloned(to: string): { base: string; answer: boolean | undefined } {
  const base = mkdtempSync(join(tmpdir(), 'airlock-clone-'));
  onTestFinished(() => rmSync(base, { recursive: true, force: true }));
  writeFileSync(join(base, 'source'), 'content', { mode: 0o755 });
  symlinkSync('source', join(base, 'link'));
  const fd = nodeDisk.open(join(base, 'source'));
  try {
    return { base, answer: nodeDisk.clone?.(fd, join(base, to)) };
  } finally {
    nodeDisk.close(fd);
  }
}

it('a clone has content and mode of its source, and keeps its content when the source is edited', () => {
  const { base, answer } = cloned('clone');
  if (answer !== true) {
    expect(readdirSync(base).toSorted()).toEqual(['link', 'source']);
    return;
  }
  writeFileSync(join(base, 'source'), 'edited in place');
  expect(readFileSync(join(base, 'clone'), 'utf8')).toBe('content');
  expect(statSync(join(base, 'clone')).mode & 0o7777).toBe(0o755);
});

it('a clone takes the place of nothing, and follows no link', () => {
  if (nodeDisk.clone === undefined) return;
  expect(() => cloned('source')).toThrow('EEXIST');
  expect(() => cloned('link')).toThrow('EEXIST');
});
