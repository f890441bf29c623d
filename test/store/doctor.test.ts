/** The checks of a root that need a disk, a clock or a system that no test machine has. */
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { nodeDisk } from '../../agent/disk/node-disk.ts';
import type { Disk } from '../../agent/disk/port.ts';
import { type System, mountOf, mountsBelow, readMounts, thisSystem } from '../../agent/disk/system.ts';
import { checkOfRoot } from '../../agent/store/doctor/root-checks.ts';
import type { CheckFound, RootCheck } from '../../shared/api/doctor.ts';
import { checkNames, isRootCheck } from '../../shared/api/doctor.ts';
import { checkTls } from '../../agent/transport/own-checks.ts';
import { scratch } from '../_kit/agent.ts';
import { canCertify, makeAuthority, makeCertificate } from '../_kit/certificates.ts';
import { FaultyDisk } from '../_kit/faulty-disk.ts';
import { type Room, bundleOf, deliver, makeRoom, namesIn } from '../_kit/install-room.ts';

const DAY = 24 * 60 * 60 * 1000;

const check = (
  { context }: Room,
  name: RootCheck,
  { system = {}, disk = context.disk }: { system?: Partial<System>; disk?: Disk } = {},
): CheckFound[] =>
  checkOfRoot(
    name,
    { context: { ...context, disk }, system: { ...thisSystem, ...system }, durability: 'full' },
    [],
  );

/** A room whose clock goes right. */
async function roomNow(): Promise<Room> {
  const room = makeRoom({}, nodeDisk);
  room.clock.now = Date.now();
  await deliver(room, bundleOf());
  return room;
}

const failing = (code: string): never => {
  throw Object.assign(new Error(`${code}: a failure of the test`), { code });
};

describe('the clock', () => {
  it('is compared with the newest install, with the file system, and with the age of the program', async () => {
    const room = await roomNow();
    expect(check(room, 'clock')).toMatchObject([{ level: 'ok' }]);
    room.clock.now -= 2 * DAY;
    expect(check(room, 'clock')).toMatchObject(
      [
        {
          level: 'warning',
          found: expect.stringMatching(/and "lint" was installed at 2/),
          fix: /Set the clock/,
        },
        {
          level: 'warning',
          found: expect.stringMatching(/file system of the root is 172\d+ s ahead of the clock/),
        },
      ].map((one) => ({ ...one, ...(one.fix === undefined ? {} : { fix: expect.stringMatching(one.fix) }) })),
    );
    room.clock.now = Date.UTC(1970, 0, 2);
    expect(check(room, 'clock')).toMatchObject([
      { level: 'error', found: expect.stringMatching(/1970-01-02.*before Airlock was made/) },
    ]);
    room.clock.now = Date.now() + DAY;
    expect(check(room, 'clock')).toMatchObject([
      { level: 'warning', found: expect.stringMatching(/s behind the clock/) },
    ]);
    expect(namesIn(room, room.layout.staging)).toEqual([]);
  });
});

describe('file watches', () => {
  it('that the system does not give are told with the limit to raise', async () => {
    const room = await roomNow();
    expect(check(room, 'watches')).toMatchObject([{ level: 'ok' }]);
    for (const [code, limit] of [
      ['ENOSPC', 'fs.inotify.max_user_watches'],
      ['EMFILE', 'fs.inotify.max_user_instances'],
    ] as const) {
      expect(check(room, 'watches', { system: { tryWatch: () => code } })).toMatchObject([
        { level: 'warning', found: expect.stringContaining(code), fix: expect.stringContaining(limit) },
      ]);
    }
    expect(check(room, 'watches', { system: { watchLimit: () => 2 } })).toMatchObject([
      { level: 'warning', found: 'The root has 2 directories, and a user may have 2 file watches in all' },
    ]);
  });
});

describe('what the root can do', () => {
  it('names a file system without exchange, and a system without it', async () => {
    const room = await roomNow();
    const disk: Disk = { ...nodeDisk, exchange: () => failing('EINVAL') };
    expect(check(room, 'exchange', { disk, system: { callsMissing: () => undefined } })).toMatchObject([
      {
        level: 'warning',
        found: expect.stringMatching(/^Directories cannot be exchanged on \S+$/),
        why: expect.stringContaining('absent for a moment'),
        fix: expect.stringContaining('Mount one volume'),
      },
    ]);
    const without: Disk = { ...nodeDisk, exchange: undefined };
    const missing = { callsMissing: () => 'koffi cannot be used: Cannot find module' };
    expect(check(room, 'exchange', { disk: without, system: missing })).toMatchObject([
      { level: 'warning', fix: expect.stringContaining('npm install koffi') },
    ]);
    expect(check(room, 'koffi', { system: { ...missing, platform: 'linux' } })).toMatchObject([
      { level: 'warning', fix: expect.stringContaining('npm install koffi') },
    ]);
    expect(check(room, 'exchange', { disk: without, system: { platform: 'darwin' } })).toMatchObject([
      { level: 'note', why: expect.stringContaining('absent for a moment') },
    ]);
    expect(check(room, 'node', { system: { node: 'v20.18.3' } })).toMatchObject([
      { level: 'error', fix: expect.stringContaining('20.19') },
    ]);
  });

  it('notes files that are synced one by one', async () => {
    const room = await roomNow();
    expect(check(room, 'sync', { disk: { ...nodeDisk, canSyncAll: () => false } })).toMatchObject([
      { level: 'note', found: expect.stringContaining('Each file is synced by itself') },
    ]);
  });

  it('names a full disk by its bytes and by its inodes', async () => {
    const room = await roomNow();
    const space = (free: number, inodes?: number): CheckFound[] =>
      check(room, 'space', { system: { space: () => ({ free, inodes }) } });
    expect(space(2 ** 30, 1e6)).toMatchObject([{ level: 'ok' }]);
    expect(space(2 ** 30)).toMatchObject([{ level: 'ok' }]);
    expect(space(4096, 1e6)).toMatchObject([
      { level: 'error', fix: expect.stringContaining('airlock sweep') },
    ]);
    expect(space(2 ** 30, 3)).toMatchObject([{ level: 'error', found: expect.stringContaining('3 inodes') }]);
    expect(space(2 ** 22, 1e6)).toMatchObject([{ level: 'warning' }]);
    expect(space(2 ** 30, 500)).toMatchObject([{ level: 'warning' }]);
  });

  it('notes a plugin that is older than the upper layer of an overlay', async () => {
    const room = await roomNow();
    const mounts = () => [{ point: '/', kind: 'overlay', options: [] }];
    const later = BigInt(Date.now() + DAY) * 1_000_000n;
    expect(check(room, 'overlay', { system: { mounts, bornAt: () => later } })).toMatchObject([
      { level: 'note', found: expect.stringContaining('on an overlay') },
      {
        level: 'note',
        found: 'In a lower layer of the overlay: "lint"',
        why: expect.stringContaining('absent'),
      },
    ]);
    const earlier = later - BigInt(2 * DAY) * 1_000_000n;
    expect(check(room, 'overlay', { system: { mounts, bornAt: () => earlier } })).toHaveLength(1);
    expect(check(room, 'overlay', { system: { mounts, bornAt: () => undefined } })).toHaveLength(1);
  });
});

describe('a disk that fails', () => {
  it('is a finding of every check that asks it, whatever call fails, and nothing is left behind', async () => {
    const room = await roomNow();
    const faulty = new FaultyDisk(nodeDisk);
    for (const name of checkNames.filter(isRootCheck)) {
      faulty.arm(() => undefined);
      check(room, name, { disk: faulty.disk });
      const calls = faulty.calls.length;
      for (let n = 1; n <= calls; n += 1) {
        faulty.arm((call) => (call.n === n ? 'EIO' : undefined));
        for (const found of check(room, name, { disk: faulty.disk })) {
          expect(found.found.length, `${name}, call ${n}`).toBeGreaterThan(0);
          if (found.level === 'error') expect(found.fix.length).toBeGreaterThan(0);
        }
      }
      faulty.arm(() => 'EIO');
      const found = check(room, name, { disk: faulty.disk });
      expect({ name, says: found.length > 0, leaked: faulty.leaked }).toEqual({
        name,
        says: true,
        leaked: [],
      });
    }
    // A file whose removal failed keeps the name of a temporary file, which the next start of an agent removes.
    const left = namesIn(room, room.layout.staging);
    expect(left.filter((name) => !name.startsWith('.tmp--'))).toEqual([]);
  });
});

describe('mounts', () => {
  const text = [
    '22 27 0:21 / /proc rw,relatime - proc proc rw',
    String.raw`30 1 8:1 / / rw - ext4 /dev/sda rw`,
    String.raw`31 30 8:2 / /configs/my\040plugins rw shared:1 - overlay overlay rw,lowerdir=/a,redirect_dir=on`,
    String.raw`32 31 8:3 /x /configs/my\040plugins/lint rw master:2 - tmpfs tmpfs rw`,
    String.raw`33 31 8:3 /x /configs/my\040plugins/lint rw - tmpfs tmpfs rw`,
    '',
  ].join('\n');

  it('are read as the kernel writes them', () => {
    const mounts = readMounts(text);
    const root = '/configs/my plugins';
    expect(mountOf(mounts, root)).toEqual({
      point: root,
      kind: 'overlay',
      options: ['rw', 'lowerdir=/a', 'redirect_dir=on'],
    });
    expect(mountOf(mounts, '/configs/my plugins-2')?.kind).toBe('ext4');
    expect(mountOf([], root)).toBeUndefined();
    expect(mountsBelow(mounts, root)).toEqual(['lint']);
    expect(mountsBelow(mounts, '/')).toEqual(['proc', 'configs/my plugins', 'configs/my plugins/lint']);
  });

  it('of this machine hold every directory', () => {
    const mounts = thisSystem.mounts();
    if (mounts.length > 0) expect(mountOf(mounts, thisSystem.real('/'))?.point).toBe('/');
  });
});

describe('certificates', () => {
  it('are judged by the clock', async (ctx) => {
    if (!canCertify()) ctx.skip('there is no openssl');
    const folder = await scratch();
    const pair = makeCertificate(folder, 'one', makeAuthority(folder, 'authority'));
    const config = {
      tls: { ...pair, clientCa: undefined },
      dial: undefined,
      listen: { host: '127.0.0.1', port: 0 },
      pullCa: undefined,
      token: undefined,
      tokenFile: undefined,
    };
    const of = async (now: number): Promise<string> =>
      (await checkTls(config, now)).map(({ level, found }) => `${level}: ${found}`).join('\n');
    expect(await of(Date.now() + 3 * DAY)).toMatch(/^error: The certificate of the agent has expired at 2/);
    expect(await of(Date.now() - 3 * DAY)).toMatch(
      /^error: The certificate of the agent counts from 2\S+Z on only/,
    );
    expect(await of(Date.now())).toMatch(/^warning: The certificate of the agent expires at 2/);
    const gone = { ...config, tls: { cert: join(folder, 'nowhere'), key: pair.key, clientCa: undefined } };
    expect((await checkTls(gone, Date.now())).map(({ level }) => level)).toContain('error');
  });
});
