import { describe, expect, it } from 'vitest';

import { nodeDisk } from '../../agent/disk/node-disk.ts';
import type { Disk } from '../../agent/disk/port.ts';
import {
  bundleOf,
  deliver,
  faultOf,
  makeRoom,
  namesIn,
  photograph,
  plainDisk,
} from '../_kit/install-room.ts';

/** A disk that syncs everything at once and exchanges, and what of an install it was asked to do, in order. */
function recording(failure?: string): { disk: Disk; calls: string[]; fail: { now: boolean } } {
  const calls: string[] = [];
  const fail = { now: false };
  const short = (path: string): string =>
    path
      .replace(/^.*\/plugins(?=\/|$)/, 'root')
      .replace(/\/\.$/, '')
      .replace(/\.\d{8}T\d{9}Z-[0-9a-f]{8}/, '.S');
  const paths = new Map<number, string>();
  const disk: Disk = {
    ...plainDisk,
    open: (path) => {
      const fd = plainDisk.open(path);
      paths.set(fd, path);
      return fd;
    },
    create: (path, mode) => {
      const fd = plainDisk.create(path, mode);
      paths.set(fd, path);
      if (!path.includes('.tmp-')) calls.push(`create ${short(path)}`);
      return fd;
    },
    sync: (fd) => {
      if (plainDisk.statOpen(fd).kind === 'directory') calls.push(`sync ${short(paths.get(fd) ?? '')}`);
      plainDisk.sync(fd);
    },
    exchange: (a, b) => {
      calls.push(`exchange ${short(a)} ${short(b)}`);
      // Exchanges as it can be done everywhere: nobody looks meanwhile.
      plainDisk.rename(a, `${a}.x`);
      plainDisk.rename(b, a);
      plainDisk.rename(`${a}.x`, b);
    },
    syncAll: () => {
      calls.push('sync all');
      if (fail.now) throw Object.assign(new Error(`${failure ?? 'EIO'}: syncfs`), { code: failure ?? 'EIO' });
    },
    canSyncAll: () => true,
  };
  return { disk, calls, fail };
}

describe('where everything can be synced at once', () => {
  it('that is done after the marker and before the exchange, whose names are then durable before the answer', async () => {
    const { disk, calls } = recording();
    const room = makeRoom({}, disk);
    await deliver(room, bundleOf({}, '1'));
    calls.length = 0;
    await deliver(room, bundleOf({}, '2'));
    const from = calls.indexOf('create root/.staging/lint.S/.complete');
    const to = calls.indexOf('exchange root/.staging/lint.S root/lint');
    expect(calls.slice(from, to + 3)).toEqual([
      'create root/.staging/lint.S/.complete',
      'sync all',
      // The intent has got its name.
      'sync root/.staging',
      'exchange root/.staging/lint.S root/lint',
      'sync root/.staging',
      'sync root',
    ]);
    expect(calls.filter((call) => call === 'sync all')).toHaveLength(1);
  });

  it('a failure is final: the install is refused at once, never synced again, and live is what it was', async () => {
    const { disk, calls, fail } = recording('EIO');
    const room = makeRoom({}, disk);
    await deliver(room, bundleOf({}, '1'));
    const before = photograph(nodeDisk, room.layout.live('lint'));
    calls.length = 0;
    fail.now = true;
    const { code, executed } = await faultOf(() => deliver(room, bundleOf({}, '2')));
    expect([code, executed]).toEqual(['MARKER_FAILED', 'no']);
    expect(calls.filter((call) => call === 'sync all')).toHaveLength(1);
    expect(calls.filter((call) => call.startsWith('exchange'))).toEqual([]);
    expect(photograph(nodeDisk, room.layout.live('lint'))).toEqual(before);
    expect(namesIn(room, room.layout.staging)).toEqual([]);
  });
});
