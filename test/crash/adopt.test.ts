/** Adoption on request where any call of the disk fails, and where its process is killed at any call. */
import { existsSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, it } from 'vitest';

import { adopt } from '../../agent/change/adopt-request.ts';
import { recover } from '../../agent/change/recover.ts';
import { verifyPlugin } from '../../agent/store/inspect.ts';
import type { Adopted } from '../../shared/api/plugin.ts';
import { MARKER } from '../../shared/format/layout.ts';
import { FaultyDisk, type Rule, crashAt, failOnce } from '../_kit/faulty-disk.ts';
import { nodeDisk } from '../../agent/disk/node-disk.ts';
import {
  type Room,
  bundleOf,
  deliver,
  makeRoom,
  namesIn,
  plainDisk,
  remove,
  through,
} from '../_kit/install-room.ts';
import { needMounts, overlayMount, tmpfsMount } from '../_kit/mounts.ts';
import { snapshotTree } from '../_kit/tree-snapshot.ts';

/** A plugin that somebody has copied there. */
function copied(): Room {
  const room = makeRoom();
  const live = room.layout.live('lint');
  mkdirSync(join(live, 'rules'), { recursive: true });
  writeFileSync(join(live, 'plugin.yaml'), 'name: lint\nversion: 4.5.6\n');
  writeFileSync(join(live, 'rules/a.md'), 'a');
  return room;
}

let operations = 0;
async function ask({ context }: Room): Promise<Adopted> {
  operations += 1;
  return (await adopt(context, { operationId: `adoption-${operations}`, plugin: 'lint' }, 'tester')).answer;
}

/** Adopts with each call of the disk failing in turn, and then without a failure. @returns after how many calls none failed. */
async function withEachFailing(ruleOf: (n: number) => Rule, check: (room: Room) => void): Promise<number> {
  for (let n = 1; ; n += 1) {
    const room = copied();
    const faulty = new FaultyDisk(plainDisk);
    faulty.arm(ruleOf(n));
    const outcome: unknown = await ask(through(room, faulty.disk)).catch((error: unknown) => error);
    if (faulty.failed.length === 0) {
      expect(outcome).toMatchObject({ status: 'adopted' });
      return n;
    }
    check(room);
    recover(room.context, 'lint');
    expect(namesIn(room, room.layout.staging)).toEqual([]);
    expect(await ask(room)).toMatchObject({ status: expect.stringMatching(/adopted|present/) as string });
    expect(verifyPlugin(room.context, 'lint').verdict).toBe('intact');
  }
}

const isMarked = (room: Room): boolean => existsSync(join(room.layout.live('lint'), MARKER));

it('is undone where any one call fails: no marker, no receipt, no slot', async () => {
  const calls = await withEachFailing(
    (n) => failOnce(n, 'EIO'),
    (room) => {
      const left = [namesIn(room, room.layout.receipts).length, namesIn(room, room.layout.staging).length];
      expect(left).toEqual(isMarked(room) ? [1, 0] : [0, 0]);
    },
  );
  expect(calls).toBeGreaterThan(50);
});

it('has a whole marker or none wherever its process is killed, and is adopted when it is asked again', async () => {
  const calls = await withEachFailing(crashAt, (room) => {
    if (isMarked(room)) expect(verifyPlugin(room.context, 'lint').verdict).toBe('intact');
  });
  expect(calls).toBeGreaterThan(50);
});

it('takes a plugin in a lower layer of an overlay, and changes nothing in the image', async (ctx) => {
  needMounts(ctx, 'overlay');
  const layers = tmpfsMount(50);
  const lower = mkdtempSync(join(layers.point, 'image-'));
  const baked = join(lower, 'plugins/lint');
  mkdirSync(join(baked, 'rules'), { recursive: true });
  writeFileSync(join(baked, 'plugin.yaml'), 'name: lint\nversion: 4.5.6\n');
  writeFileSync(join(baked, 'rules/a.md'), 'a');
  const before = await snapshotTree(lower);
  const { point } = overlayMount(lower, layers);
  const room = makeRoom({}, nodeDisk, join(point, 'plugins'));
  const { status, tree } = await ask(room);
  expect(status).toBe('adopted');
  expect(verifyPlugin(room.context, 'lint')).toMatchObject({ verdict: 'intact', tree });
  expect(await snapshotTree(lower)).toEqual(before);
  // From here on it is updated and removed like any other.
  expect((await deliver(room, bundleOf())).status).toBe('installed');
  expect(remove(room).status).toBe('removed');
  expect(await snapshotTree(lower)).toEqual(before);
});
