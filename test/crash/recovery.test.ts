/** An install is killed at every call on the disk; then recovery runs, and is killed as well; then it runs to its end. */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { nodeDisk } from '../../agent/disk/node-disk.ts';
import type { Disk } from '../../agent/disk/port.ts';
import { verifyPlugin } from '../../agent/store/inspect.ts';
import { recover } from '../../agent/change/recover.ts';
import { NEW, SCENES, part } from '../_kit/fault-scenes.ts';
import { FaultyDisk, crashAt, never } from '../_kit/faulty-disk.ts';
import { memoryFolder } from '../_kit/in-memory.ts';
import { brokenHistory, linesOf } from '../_kit/history.ts';
import {
  type Room,
  deliver,
  makeRoom,
  namesIn,
  photograph,
  plainDisk,
  through,
} from '../_kit/install-room.ts';

/** Without real syncs: a killed process leaves all that it has written, and thousands of syncs would take minutes. */
const quick = { sync: (fd: number): void => void nodeDisk.statOpen(fd) };
const DISKS: Record<string, Disk> = {
  'plain renames': { ...plainDisk, ...quick },
  'an exchange': { ...plainDisk, ...quick, exchange: nodeDisk.exchange },
};

type Killed = {
  room: Room;
  old: Record<string, string>;
  answered: boolean;
  crashed: boolean;
  /** It was killed when it had an intent: what it did must have one line in the history. */
  begun: boolean;
  lines: number;
};

async function kill(scene: string, disk: Disk, root: string, n: number): Promise<Killed> {
  const room = makeRoom({}, disk, root);
  await SCENES[scene]?.(room);
  const old = part(photograph(disk, root), 'lint');
  const lines = linesOf(room).length;
  const faulty = new FaultyDisk(disk);
  faulty.arm(crashAt(n));
  let answered = false;
  try {
    await deliver(through(room, faulty.disk), NEW);
    answered = true;
  } catch {
    // Killed before the answer.
  }
  const begun = namesIn(room, room.layout.staging).some((name) => /^lint\..*\.json$/.test(name));
  return { room, old, answered, crashed: faulty.failed.length > 0, begun, lines };
}

async function inScratch<T>(run: (root: string) => Promise<T>): Promise<T> {
  const parent = mkdtempSync(join(memoryFolder(), 'airlock-recovery-'));
  try {
    return await run(join(parent, 'plugins'));
  } finally {
    rmSync(parent, { recursive: true, force: true });
  }
}

/** Old complete or new complete; after an answer, new; nothing left in staging; every snapshot whole. */
async function checkRecovered(
  { room, old, answered, begun, lines }: Killed,
  disk: Disk,
): Promise<'old' | 'new'> {
  expect(recover(room.context, undefined).filter(({ held }) => held !== undefined)).toEqual([]);
  const staging = namesIn(room, room.layout.staging);
  expect(staging).toEqual([]);
  const live = part(photograph(disk, room.layout.root), 'lint');
  const isOld = JSON.stringify(live) === JSON.stringify(old);
  if (!isOld) {
    expect(verifyPlugin(room.context, 'lint')).toMatchObject({ verdict: 'intact' });
    expect(live['/lint/plugin.yaml']).toContain('version: 3');
    expect(live['/lint/hooks/deep/run.sh']).toContain('3'.repeat(700));
  }
  expect(isOld && answered).toBe(false);
  expect(namesIn(room, room.layout.previous).filter((name) => /\.(trash|old)$/.test(name))).toEqual([]);
  expect(brokenHistory(room)).toEqual([]);
  if (begun) {
    expect(
      linesOf(room)
        .slice(lines)
        .map(({ outcome }) => outcome),
    ).toEqual([isOld ? 'undone' : 'done']);
  }
  // And it goes on: the next install works.
  expect(await deliver(room, NEW)).toMatchObject({ plugin: 'lint' });
  return isOld ? 'old' : 'new';
}

describe.each(Object.keys(DISKS))('recovery on a disk with %s', (name) => {
  const disk = DISKS[name] as Disk;
  const isMissing = name === 'an exchange' && nodeDisk.exchange === undefined;
  it.for(Object.keys(SCENES))(
    'brings %s that was killed at any call to the old version or the new one',
    async (scene, ctx) => {
      if (isMissing) ctx.skip('this machine has no exchange');
      const seen = { old: 0, new: 0 };
      for (let n = 1; ; n += 1) {
        const killed = await inScratch(async (root) => {
          const state = await kill(scene, disk, root, n);
          if (state.crashed) seen[await checkRecovered(state, disk)] += 1;
          return state;
        });
        if (!killed.crashed) break;
      }
      expect(seen.old).toBeGreaterThan(50);
      expect(seen.new).toBeGreaterThan(5);
    },
  );

  it('survives being killed itself, up to three times', async (ctx) => {
    if (isMissing) ctx.skip('this machine has no exchange');
    let nested = 0;
    for (let n = 100; n < 260; n += 7) {
      for (let m = 1; m < 60; m += 4) {
        await inScratch(async (root) => {
          const state = await kill('an update', disk, root, n);
          if (!state.crashed) return;
          for (let again = 0; again < 3; again += 1) {
            const faulty = new FaultyDisk(disk);
            faulty.arm(crashAt(m + again * 5));
            try {
              recover(through(state.room, faulty.disk).context, undefined);
            } catch {
              // Killed in the middle of it.
            }
            nested += faulty.failed.length > 0 ? 1 : 0;
            faulty.arm(never);
          }
          await checkRecovered(state, disk);
        });
      }
    }
    expect(nested).toBeGreaterThan(100);
  });
});
