/** Which files of an old version are read before it is removed, with the clock of the real disk. */
import { appendFileSync, chmodSync, renameSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { describe, expect, it } from 'vitest';

import { Install } from '../../agent/change/install.ts';
import type { Disk } from '../../agent/disk/port.ts';
import {
  bundleOf,
  makeRoom,
  namesIn,
  paramsOf,
  plainDisk,
  type Room,
  rollBack,
} from '../_kit/install-room.ts';

/** More than a file system's clock lags behind. */
const LAG_MILLIS = 40;

/** A room in real time that notes which files are opened. */
function makeWatchedRoom(): Room & { opened: string[] } {
  const opened: string[] = [];
  const disk: Disk = {
    ...plainDisk,
    open: (path) => {
      opened.push(path);
      return plainDisk.open(path);
    },
  };
  const room = makeRoom({ keep: 0 }, disk);
  return { ...room, context: { ...room.context, now: Date.now }, opened };
}

/** Installs a version of which no file is written just before its marker, and does the house-keeping. */
async function install({ context }: Room, version: string): Promise<string> {
  const bytes = bundleOf({ 'rules/a.md': version, 'rules/b.md': version }, version);
  const begun = new Install(context, paramsOf(bytes), 'tester');
  begun.begin();
  await begun.write(bytes);
  await begun.validate();
  await pause(LAG_MILLIS);
  const { installId } = begun.install();
  begun.collect();
  return installId;
}

const kept = (room: Room): string[] => namesIn(room, room.layout.previous);
/** The files of old versions that were opened. */
const readIn = (opened: string[]): string[] =>
  opened.filter((path) => path.includes('/.previous/') && path.endsWith('.md'));

describe('an old version is removed', () => {
  it('without reading files that only the agent could write to', async () => {
    const room = makeWatchedRoom();
    await install(room, '1');
    room.opened.length = 0;
    await install(room, '2');
    expect([kept(room), readIn(room.opened)]).toEqual([[], []]);
  });

  it('after reading files that have changed since, if they are as they were installed', async () => {
    const room = makeWatchedRoom();
    await install(room, '1');
    const path = join(room.layout.live('lint'), 'rules/a.md');
    await pause(LAG_MILLIS);
    writeFileSync(path, '1');
    room.opened.length = 0;
    await install(room, '2');
    expect(kept(room)).toEqual([]);
    expect(readIn(room.opened)).toEqual([expect.stringMatching(/rules\/a\.md$/)]);
  });

  it('also after a rollback to it, but then each of its files is read', async () => {
    const room = makeWatchedRoom();
    const kept1 = { ...room, context: { ...room.context, policy: { ...room.context.policy, keep: 1 } } };
    await install(kept1, '1');
    await install(kept1, '2');
    rollBack(kept1);
    room.opened.length = 0;
    await install(room, '3');
    expect(kept(room)).toEqual([]);
    expect(readIn(room.opened)).toHaveLength(2);
  });
});

describe('an old version is kept if a file was edited in place', () => {
  it.each<[what: string, edit: (path: string) => void]>([
    [
      'and has the size and time that it had',
      (path) => {
        const { atime, mtime } = statSync(path);
        writeFileSync(path, '!');
        utimesSync(path, atime, mtime);
      },
    ],
    [
      'and its marker was touched after that',
      (path) => {
        writeFileSync(path, '!');
        const marker = join(path, '../../.complete');
        utimesSync(marker, new Date(), new Date());
      },
    ],
    [
      'by another file that was put in its place',
      (path) => {
        writeFileSync(`${path}.new`, '!');
        renameSync(`${path}.new`, path);
      },
    ],
    ['by bytes at its end', (path) => appendFileSync(path, '!')],
    ['and is executable now', (path) => chmodSync(path, 0o755)],
  ])('%s', async (_what, edit) => {
    const room = makeWatchedRoom();
    await install(room, '1');
    await pause(LAG_MILLIS);
    edit(join(room.layout.live('lint'), 'rules/a.md'));
    const second = await install(room, '2');
    expect(kept(room)).toEqual([`lint.${second}`]);
    expect(room.complaints).toEqual([]);
  });
});
