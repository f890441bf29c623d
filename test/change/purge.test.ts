/** A purge removes the data of one plugin, and nothing else, whatever is in its place. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

import { expect, it } from 'vitest';

import { nodeDisk } from '../../agent/disk/node-disk.ts';
import { type Room, bundleOf, deliver, makeRoom, plainDisk, remove, through } from '../_kit/install-room.ts';
import { mountOver, needMounts, tmpfsMount } from '../_kit/mounts.ts';

const data = ({ layout }: Room): string => layout.data('lint');
const above = (room: Room): string => dirname(data(room));

/** A plugin that has written something, and a place outside that a purge must not touch. */
async function written(): Promise<{ room: Room; outside: string }> {
  const room = makeRoom({}, { ...plainDisk, within: nodeDisk.within });
  await deliver(room, bundleOf());
  const outside = join(room.layout.root, '..', 'outside');
  mkdirSync(join(outside, 'lint'), { recursive: true });
  writeFileSync(join(outside, 'lint/mine'), 'mine');
  return { room, outside };
}
const isMine = (outside: string): boolean => readFileSync(join(outside, 'lint/mine'), 'utf8') === 'mine';

it('removes it whole, with the links in it and not what they lead to, and leaves that of other plugins', async () => {
  const { room, outside } = await written();
  mkdirSync(join(data(room), 'deep/er'), { recursive: true });
  writeFileSync(join(data(room), 'deep/er/notes'), 'notes');
  symlinkSync(outside, join(data(room), 'deep/out'));
  mkdirSync(room.layout.data('other'));
  expect(remove(room, { purge: true })).toMatchObject({ status: 'removed', purged: true });
  expect([readdirSync(above(room)), isMine(outside)]).toEqual([['other'], true]);
  expect(remove(room, { purge: true })).toMatchObject({ status: 'absent', purged: true });
});

it('of data that is a link removes the link, and of data that is a file the file', async () => {
  const { room, outside } = await written();
  mkdirSync(above(room));
  symlinkSync(join(outside, 'lint'), data(room));
  expect(remove(room, { purge: true })).toMatchObject({ purged: true });
  expect([readdirSync(above(room)), isMine(outside)]).toEqual([[], true]);
  writeFileSync(data(room), 'a file');
  expect(remove(room, { purge: true })).toMatchObject({ purged: true });
  expect(readdirSync(above(room))).toEqual([]);
});

it.each([
  ['a link', (room: Room, outside: string) => symlinkSync(outside, above(room)), 'symbolic link'],
  ['a file', (room: Room) => writeFileSync(above(room), ''), 'not a directory'],
])('where the directory of all data is %s, warns and leaves the removal done', async (_, make, why) => {
  const { room, outside } = await written();
  make(room, outside);
  const { status, purged, warnings } = remove(room, { purge: true });
  expect([status, purged, existsSync(room.layout.live('lint'))]).toEqual(['removed', false, false]);
  expect(warnings).toMatchObject({ items: [expect.stringContaining(why)], total: 1 });
  expect(isMine(outside)).toBe(true);
});

it('warns of a disk that fails, with a path that people know, and goes on when it is asked again', async () => {
  const { room } = await written();
  mkdirSync(data(room), { recursive: true });
  writeFileSync(join(data(room), 'notes'), 'notes');
  const unlink = (path: string): void => {
    if (path.endsWith('/notes')) throw Object.assign(new Error(`EIO: unlink '${path}'`), { code: 'EIO' });
    plainDisk.unlink(path);
  };
  const failing = through(room, { ...room.context.disk, unlink });
  const { status, purged, warnings } = remove(failing, { purge: true });
  expect([status, purged, warnings?.total]).toEqual(['removed', false, 1]);
  expect(warnings?.items[0]).toContain(above(room));
  expect(warnings?.items[0]).not.toContain('/proc/');
  // A plugin that comes back finds no half of it.
  expect(existsSync(data(room))).toBe(false);
  expect(remove(room, { purge: true })).toMatchObject({ status: 'absent', purged: true });
  expect(readdirSync(above(room))).toEqual([]);
});

it('syncs what it has done before it answers', async () => {
  const { room } = await written();
  mkdirSync(data(room), { recursive: true });
  const calls: string[] = [];
  const disk = {
    ...room.context.disk,
    rename: (from: string, to: string) => {
      if (to.endsWith('.purged')) calls.push('rename');
      plainDisk.rename(from, to);
    },
    rmdir: (path: string) => {
      if (path.endsWith('.purged')) calls.push('rmdir');
      plainDisk.rmdir(path);
    },
    sync: (fd: number) => {
      if (readlinkSync(`/proc/self/fd/${fd}`) === above(room)) calls.push('sync');
      plainDisk.sync(fd);
    },
  };
  remove(through(room, disk), { purge: true });
  expect(calls).toEqual(['rename', 'sync', 'rmdir', 'sync']);
});

it('works where the data is on another file system than the root, and leaves what is mounted in it', async (ctx) => {
  needMounts(ctx, 'tmpfs');
  const { point } = tmpfsMount(8);
  const room = makeRoom({}, { ...plainDisk, within: nodeDisk.within }, point);
  const inner = join(data(room), 'mounted');
  mkdirSync(inner, { recursive: true });
  const unmount = mountOver(inner, 'tmpfs');
  writeFileSync(join(inner, 'mine'), 'mine');
  const { purged, warnings } = remove(room, { purge: true });
  expect([purged, warnings?.items]).toEqual([false, [expect.stringContaining('another file system')]]);
  expect(readFileSync(join(inner, 'mine'), 'utf8')).toBe('mine');
  await unmount();
  expect(remove(room, { purge: true })).toMatchObject({ purged: true });
  expect(readdirSync(above(room))).toEqual([]);
});
