import { expect, it } from 'vitest';

import type { Disk } from '../../agent/disk/port.ts';
import { probeRoot } from '../../agent/store/probe.ts';
import { removeLitter } from '../../agent/store/staging.ts';
import { FaultyDisk, crashAt } from '../_kit/faulty-disk.ts';
import { faultOf, makeRoom, namesIn } from '../_kit/install-room.ts';
import { createMemoryDisk } from '../_kit/memory-disk.ts';

const probe = (change: (disk: Disk) => Partial<Disk> = () => ({}), exchange = true): unknown => {
  const disk = createMemoryDisk({ exchange });
  const room = makeRoom({}, disk, '/plugins');
  try {
    return probeRoot({ ...disk, ...change(disk) }, room.layout);
  } finally {
    expect(namesIn(room, room.layout.staging)).toEqual([]);
  }
};
const refuse = (code: string) => (): never => {
  throw Object.assign(new Error(`${code}: refused`), { code });
};

it('says what a root can do beyond what it must, and leaves nothing', () => {
  expect(probe()).toEqual({ exchange: true, syncAll: false });
  expect(probe(() => ({ canSyncAll: () => true }), false)).toEqual({ exchange: false, syncAll: true });
});

it('does not believe an exchange that fails or does nothing', () => {
  expect(probe(() => ({ exchange: refuse('EINVAL') }))).toMatchObject({ exchange: false });
  expect(probe(() => ({ exchange: () => undefined }))).toMatchObject({ exchange: false });
});

it.each<[what: string, change: (disk: Disk) => Partial<Disk>, message: RegExp]>([
  ['cannot rename', () => ({ rename: refuse('EXDEV') }), /EXDEV/],
  ['renames without effect', () => ({ rename: () => undefined }), /renaming/],
  [
    'makes a directory twice',
    ({ mkdir }) => ({
      mkdir: (path, mode) => {
        try {
          mkdir(path, mode);
        } catch {
          // As if it had been made.
        }
      },
    }),
    /twice/,
  ],
  ['keeps no modes', ({ create }) => ({ create: (path) => create(path, 0o644) }), /modes/],
  ['makes all executable', ({ create }) => ({ create: (path) => create(path, 0o755) }), /modes/],
])('refuses a root that %s', async (_what, change, message) => {
  const fault = await faultOf(() => probe(change));
  expect([fault.code, fault.message]).toEqual(['INTERNAL', expect.stringMatching(message)]);
});

it.each([
  ['EROFS', 'READ_ONLY'],
  ['ENOSPC', 'NO_SPACE'],
])('names a disk that says %s', async (code, expected) => {
  expect((await faultOf(() => probe(() => ({ create: refuse(code) })))).code).toBe(expected);
});

it('killed anywhere, it leaves only what goes like a temporary file', () => {
  let n = 1;
  for (let left = true; left; n += 1) {
    const disk = createMemoryDisk({ exchange: true });
    const room = makeRoom({}, disk, '/plugins');
    const faulty = new FaultyDisk(disk);
    faulty.arm(crashAt(n));
    try {
      probeRoot(faulty.disk, room.layout);
    } catch {
      // It is killed.
    }
    left = faulty.failed.length > 0;
    removeLitter(room.context, '');
    expect(namesIn(room, room.layout.staging)).toEqual([]);
  }
  expect(n).toBeGreaterThan(20);
});
