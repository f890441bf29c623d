import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';

import { expect, it } from 'vitest';

import { nodeDisk } from '../../agent/disk/node-disk.ts';
import { bundleOf, deliver, makeRoom } from '../_kit/install-room.ts';
import { loopMount, needMounts, tmpfsMount, tool } from '../_kit/mounts.ts';

const flagsOf = (path: string): string => tool('lsattr', '-d', path);

it('on ext4 an install lets staged trees go where there is room, and not beside what was removed', async (ctx) => {
  needMounts(ctx, 'ext4');
  const { point } = loopMount('ext4');
  const room = makeRoom({}, nodeDisk, join(point, 'plugins'));
  expect(flagsOf(room.layout.staging)).not.toMatch(/^\S*T/);
  await deliver(room, bundleOf({}, '1'));
  expect(flagsOf(room.layout.staging)).toMatch(/^\S*T/);
  // The trees themselves stay together.
  expect(flagsOf(room.layout.live('lint'))).not.toMatch(/^\S*T/);
  await deliver(room, bundleOf({}, '2'));
  expect(flagsOf(room.layout.staging)).toMatch(/^\S*T/);
});

it('elsewhere it does nothing', (ctx) => {
  needMounts(ctx, 'tmpfs');
  const { point } = tmpfsMount(8);
  const fd = openSync(point, 'r');
  try {
    expect(() => nodeDisk.spread(point, fd)).not.toThrow();
  } finally {
    closeSync(fd);
  }
});
