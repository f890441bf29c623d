/** Adoption on request where any call of the disk fails, and where its process is killed at any call. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, it } from 'vitest';

import { adopt } from '../../agent/change/adopt-request.ts';
import { recover } from '../../agent/change/recover.ts';
import { verifyPlugin } from '../../agent/store/inspect.ts';
import type { Adopted } from '../../shared/api/plugin.ts';
import { MARKER } from '../../shared/format/layout.ts';
import { FaultyDisk, type Rule, crashAt, failOnce } from '../_kit/faulty-disk.ts';
import { type Room, makeRoom, namesIn, plainDisk, through } from '../_kit/install-room.ts';

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
  return (await adopt(context, { operationId: `operation-${operations}`, plugin: 'lint' }, 'tester')).answer;
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
