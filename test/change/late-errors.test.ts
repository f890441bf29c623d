import { describe, expect, it } from 'vitest';

import { nodeDisk } from '../../agent/disk/node-disk.ts';
import type { Disk } from '../../agent/disk/port.ts';
import { inspect } from '../../agent/store/inspect.ts';
import {
  bundleOf,
  deliver,
  faultOf,
  makeRoom,
  namesIn,
  photograph,
  plainDisk,
  through,
} from '../_kit/install-room.ts';

/** Calls that move a tree to a place and then say that they failed, as on a network whose answer was lost. */
function lateErrors(base: Disk, isLate: (to: string) => boolean): Disk {
  const late = (to: string): void => {
    if (isLate(to)) throw Object.assign(new Error('EIO: the answer was lost'), { code: 'EIO' });
  };
  const { exchange } = base;
  return {
    ...base,
    rename: (from, to) => {
      base.rename(from, to);
      late(to);
    },
    exchange:
      exchange &&
      ((a, b) => {
        exchange(a, b);
        late(b);
      }),
  };
}

const once = (matches: RegExp): ((to: string) => boolean) => {
  let left = 1;
  return (to) => matches.test(to) && left-- > 0;
};

describe('a move that takes effect and then fails', () => {
  it.each([
    ['to the snapshot', plainDisk, /\.previous\/lint\./],
    ['to the live place', plainDisk, /\/plugins\/lint$/],
    ['by an exchange', { ...plainDisk, exchange: nodeDisk.exchange }, /\/plugins\/lint$/],
  ])('%s is taken back, and live is what it was', async (_, base, matches) => {
    const room = makeRoom({}, base);
    await deliver(room, bundleOf({}, '1'));
    const before = photograph(base, room.layout.live('lint'));
    const disk = lateErrors(base, once(matches));
    const fault = await faultOf(() => deliver(through(room, disk), bundleOf({}, '2')));
    expect([fault.code, fault.executed]).toEqual(['SWAP_FAILED', 'no']);
    expect(photograph(base, room.layout.live('lint'))).toEqual(before);
    expect(inspect(room.context, 'lint')).toMatchObject({ admitted: true });
    expect(namesIn(room, room.layout.staging)).toEqual([]);
  });

  it('is taken back also where the sync after an exchange says EINVAL, which is no word on the exchange', async () => {
    const calls: string[] = [];
    let failing = false;
    const base: Disk = {
      ...plainDisk,
      exchange: (a, b) => {
        calls.push('exchange');
        plainDisk.rename(a, `${a}.x`);
        plainDisk.rename(b, a);
        plainDisk.rename(`${a}.x`, b);
        failing = calls.length === 1;
      },
      sync: (fd) => {
        if (failing) {
          failing = false;
          throw Object.assign(new Error('EINVAL: fsync'), { code: 'EINVAL' });
        }
        plainDisk.sync(fd);
      },
    };
    const room = makeRoom({}, base);
    await deliver(room, bundleOf({}, '1'));
    const before = photograph(base, room.layout.live('lint'));
    const fault = await faultOf(() => deliver(room, bundleOf({}, '2')));
    expect([fault.code, fault.executed]).toEqual(['SWAP_FAILED', 'no']);
    expect(fault.message).toContain('Making durable the move of both versions');
    expect(calls).toEqual(['exchange', 'exchange']);
    expect(photograph(base, room.layout.live('lint'))).toEqual(before);
    expect(namesIn(room, room.layout.previous)).toEqual([]);
  });
});
