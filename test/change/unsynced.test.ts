import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { beforeEach, describe, expect, it } from 'vitest';

import { inspect } from '../../agent/store/inspect.ts';
import { stateOf } from '../../agent/store/records.ts';
import { recover } from '../../agent/change/recover.ts';
import { noteUnsynced, settleUnsynced } from '../../agent/change/sweep.ts';
import { MARKER } from '../../shared/format/layout.ts';
import { FaultyDisk } from '../_kit/faulty-disk.ts';
import {
  type Room,
  bundleOf,
  deliver,
  faultOf,
  makeRoom,
  namesIn,
  plainDisk,
  rollBack,
  through,
} from '../_kit/install-room.ts';

let room: Room;
beforeEach(async () => {
  room = makeRoom();
  await deliver(room, bundleOf({ 'rules/a.md': '1' }, '1'));
  await deliver(room, bundleOf({ 'rules/a.md': '2' }, '2'));
});

const note = (): unknown => JSON.parse(readFileSync(room.layout.unsynced, 'utf8'));
const restarted = (): void => writeFileSync(room.layout.unsynced, '{"version":1,"bootId":"another"}');
const file = (directory: string): string => join(directory, 'rules/a.md');
const hasMarker = (directory: string): boolean => existsSync(join(directory, MARKER));
const live = (): string => room.layout.live('lint');
const snapshot = (): string => join(room.layout.previous, namesIn(room, room.layout.previous)[0] ?? '');
const empty = (plugin: string): void => {
  mkdirSync(room.layout.live(plugin));
  writeFileSync(join(room.layout.live(plugin), 'plugin.yaml'), `name: ${plugin}\nversion: 1.0.0\n`);
  writeFileSync(join(room.layout.live(plugin), MARKER), '');
};

describe('a start', () => {
  it('notes durably that nothing is synced, and takes the note away when it syncs', () => {
    expect(settleUnsynced(room.context, 'none')).toEqual([]);
    expect(note()).toEqual({ version: 1, bootId: 'boot' });
    expect(settleUnsynced(room.context, 'full')).toEqual([]);
    expect(existsSync(room.layout.unsynced)).toBe(false);
  });

  it.each(['full', 'none'] as const)(
    'after a restart unmarks what was lost and keeps the rest (%s)',
    (how) => {
      restarted();
      writeFileSync(file(live()), '');
      empty('touched');
      expect(settleUnsynced(room.context, how)).toEqual(['lint', 'touched']);
      expect([hasMarker(live()), hasMarker(snapshot())]).toEqual([false, true]);
      expect(stateOf(room.context, 'lint')?.trouble?.what).toContain('restarted');
      expect(existsSync(room.layout.unsynced) ? note() : 'gone').toEqual(
        how === 'none' ? { version: 1, bootId: 'boot' } : 'gone',
      );
    },
  );

  it('compares although something has noted its own boot before: the older note says more', () => {
    restarted();
    writeFileSync(file(live()), '');
    noteUnsynced(room.context);
    expect(settleUnsynced(room.context, 'none')).toEqual(['lint']);
  });

  it('leaves a plugin that is disabled, and whole, its marker', () => {
    restarted();
    writeFileSync(room.layout.stateOf('lint'), '{"version":1,"disabled":true}');
    expect([settleUnsynced(room.context, 'full'), hasMarker(live())]).toEqual([[], true]);
  });

  it('unmarks snapshots that lost something, so that they come back by force only', async () => {
    restarted();
    writeFileSync(file(snapshot()), '');
    expect(settleUnsynced(room.context, 'full')).toEqual([]);
    expect((await faultOf(() => rollBack(room))).code).toBe('CONFLICT');
  });

  it('keeps the note as long as there is a plugin that cannot be compared', () => {
    restarted();
    writeFileSync(file(live()), '');
    const faulty = new FaultyDisk(plainDisk);
    faulty.arm(({ kind, path }) => (kind === 'unlink' && path.endsWith(MARKER) ? 'EACCES' : undefined));
    expect(settleUnsynced(through(room, faulty.disk).context, 'none')).toEqual(['lint']);
    expect([note(), room.complaints.length]).toEqual([{ version: 1, bootId: 'another' }, 1]);
    expect(settleUnsynced(room.context, 'none')).toEqual(['lint']);
  });
});

it('what an operation left half-way is recovered before it is compared, and the version before comes back', async () => {
  const exchange = (a: string, b: string): void => {
    plainDisk.rename(a, `${a}.x`);
    plainDisk.rename(b, a);
    plainDisk.rename(`${a}.x`, b);
  };
  const faulty = new FaultyDisk({ ...plainDisk, exchange });
  let isSwapped = false;
  faulty.arm(({ kind }) => {
    const isDead = isSwapped;
    isSwapped ||= kind === 'exchange';
    return isDead ? 'ECRASHED' : undefined;
  });
  await faultOf(() => deliver(through(room, faulty.disk), bundleOf({ 'rules/a.md': '3' }, '3')));
  restarted();
  // The new version has lost a file, the one before waits in the slot.
  writeFileSync(file(live()), '');
  const { context } = through(room, { ...plainDisk, exchange });
  expect(settleUnsynced(context, 'full')).toEqual([]);
  recover(context, undefined);
  expect([readFileSync(file(live()), 'utf8'), hasMarker(live())]).toEqual(['2', true]);
  settleUnsynced(context, 'full');
  expect(existsSync(room.layout.unsynced)).toBe(false);
});

describe('what is live with an empty marker', () => {
  it('is refused after a restart, with what to do, until a start has sorted things out', () => {
    empty('touched');
    expect(inspect(room.context, 'touched')?.admitted).toBe(true);
    restarted();
    expect(inspect(room.context, 'touched')).toMatchObject({
      admitted: false,
      reason: 'marker-invalid',
      detail: expect.stringContaining('without syncs') as string,
      hint: expect.stringContaining('touch touched/.complete') as string,
    });
    settleUnsynced(room.context, 'full');
    writeFileSync(join(room.layout.live('touched'), MARKER), '');
    expect(inspect(room.context, 'touched')?.admitted).toBe(true);
  });
});
