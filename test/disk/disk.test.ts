import { existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect, it, onTestFinished } from 'vitest';

import { nodeDisk } from '../../agent/disk/node-disk.ts';
import { LosingDisk } from '../_kit/losing-disk.ts';
import { createMemoryDisk } from '../_kit/memory-disk.ts';
import { describeRename } from './contract-rename.ts';
import { describeDisk } from './contract.ts';
import type { Ready } from './ready.ts';

function realDisk(): Ready {
  const base = mkdtempSync(join(tmpdir(), 'airlock-disk-'));
  onTestFinished(() => rmSync(base, { recursive: true, force: true }));
  return { disk: nodeDisk, base, link: (target, path) => symlinkSync(target, path) };
}

function memoryDisk(): Ready {
  const disk = createMemoryDisk();
  disk.mkdir('/base', 0o755);
  return { disk, base: '/base', link: disk.link };
}

function losingDisk(): Ready {
  const losing = new LosingDisk();
  losing.disk.mkdir('/base', 0o755);
  return { disk: losing.disk, base: '/base', link: (target, path) => losing.link(target, path) };
}

for (const [name, make] of [
  ['the disk of this machine', realDisk],
  ['the disk in memory', memoryDisk],
  ['the disk that can be cut', losingDisk],
] as const) {
  describeDisk(name, make);
  describeRename(name, make);
}

it.runIf(nodeDisk.clone !== undefined)('what cannot be cloned for a reason of its own is no failure', () => {
  const { base } = realDisk();
  // The system answers EISDIR, which stands for all the codes that nobody knows.
  const fd = nodeDisk.open(base);
  onTestFinished(() => nodeDisk.close(fd));
  expect(nodeDisk.clone?.(fd, `${base}/clone`)).toBe(false);
  expect(existsSync(`${base}/clone`)).toBe(false);
});
