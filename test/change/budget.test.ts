/** What an install asks of the disk, counted: no time is measured, so a machine that is slow changes nothing. */
import { describe, expect, it } from 'vitest';

import { Install } from '../../agent/change/install.ts';
import type { Disk } from '../../agent/disk/port.ts';
import { bundleOf, deliver, makeRoom, paramsOf, plainDisk } from '../_kit/install-room.ts';

const FILES = 32;

/** A disk that exchanges and syncs everything at once, or neither, and counts its calls. */
function counting(fast: boolean): { disk: Disk; calls: Map<string, number> } {
  const calls = new Map<string, number>();
  const counted =
    <A extends unknown[], R>(name: string, call: (...values: A) => R) =>
    (...values: A): R => {
      calls.set(name, (calls.get(name) ?? 0) + 1);
      return call(...values);
    };
  const exchange = (a: string, b: string): void => {
    plainDisk.rename(a, `${a}.x`);
    plainDisk.rename(b, a);
    plainDisk.rename(`${a}.x`, b);
  };
  const disk: Disk = {
    mkdir: counted('mkdir', plainDisk.mkdir),
    create: counted('create', plainDisk.create),
    append: counted('append', plainDisk.append),
    open: counted('open', plainDisk.open),
    read: counted('read', plainDisk.read),
    write: counted('write', plainDisk.write),
    sync: counted('sync', plainDisk.sync),
    close: counted('close', plainDisk.close),
    rename: counted('rename', plainDisk.rename),
    exchange: fast ? counted('exchange', exchange) : undefined,
    unlink: counted('unlink', plainDisk.unlink),
    rmdir: counted('rmdir', plainDisk.rmdir),
    list: counted('list', plainDisk.list),
    stat: counted('stat', plainDisk.stat),
    changedAt: counted('changedAt', plainDisk.changedAt),
    clone: undefined,
    within: plainDisk.within,
    statOpen: counted('statOpen', plainDisk.statOpen),
    chown: counted('chown', plainDisk.chown),
    sameOverlay: plainDisk.sameOverlay,
    isHeldOpen: counted('isHeldOpen', plainDisk.isHeldOpen),
    space: counted('space', plainDisk.space),
    spread: counted('spread', () => undefined),
    syncAll: fast ? counted('syncAll', () => undefined) : undefined,
    canSyncAll: () => fast,
  };
  return { disk, calls };
}

const bundle = (version: string): Buffer =>
  bundleOf(
    Object.fromEntries(Array.from({ length: FILES - 1 }, (_, i) => [`rules/${i}.md`, `${version} ${i}`])),
    version,
  );

/** The third version of a plugin: the calls until the answer, and those after it, in which the first one is removed. */
async function costs(fast: boolean): Promise<[Record<string, number>, Record<string, number>]> {
  const { disk, calls } = counting(fast);
  const room = makeRoom({}, disk);
  // Files that are older than their install need no reading.
  room.clock.now = Date.now() + 60_000;
  await deliver(room, bundle('1'));
  await deliver(room, bundle('2'));
  const bytes = bundle('3');
  calls.clear();
  const operation = new Install(room.context, paramsOf(bytes), 'tester');
  operation.begin();
  await operation.write(bytes);
  await operation.validate();
  const { files } = operation.install();
  expect(files).toBe(FILES);
  const before = Object.fromEntries(calls);
  calls.clear();
  operation.collect();
  return [before, Object.fromEntries(calls)];
}

const sum = (calls: Record<string, number>): number =>
  Object.values(calls).reduce((total, count) => total + count, 0);

describe(`an update of ${FILES} files`, () => {
  it('waits for six syncs where one call syncs everything, and for no other', async () => {
    const [before, after] = await costs(true);
    // The intent and its name; everything; the name of the sealed intent; the two directories of the exchange.
    expect({ sync: before['sync'], syncAll: before['syncAll'] }).toEqual({ sync: 5, syncAll: 1 });
    // The answer, the line of history, the snapshot, the end of the intent, the trash: each with its names.
    expect(after['sync']).toBe(9);
    expect(after['syncAll']).toBeUndefined();
  });

  it('syncs each file once, and few more, where no call syncs everything', async () => {
    const [before, after] = await costs(false);
    expect(before['sync']).toBe(FILES + 14);
    expect(after['sync']).toBe(7);
  });

  it('makes few calls for each file', async () => {
    const [before, after] = await costs(true);
    // Each file is created, written, closed, read by the rules for plugins and looked at; each live one is looked at.
    expect([before, sum(before) <= 14 * FILES]).toEqual([before, true]);
    // Each file of the version that goes is read, compared and removed.
    expect([after, sum(after) <= 11 * FILES]).toEqual([after, true]);
  });
});
