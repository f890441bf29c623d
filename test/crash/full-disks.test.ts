/** File systems that are full before, or become full in the middle of, an install, its undoing and its recovery. */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { describe, it, onTestFinished } from 'vitest';

import { nodeDisk } from '../../agent/disk/node-disk.ts';
import type { Disk } from '../../agent/disk/port.ts';
import { verifyPlugin } from '../../agent/store/inspect.ts';
import { recover } from '../../agent/change/recover.ts';
import { toFault } from '../../shared/api/fault.ts';
import { mutilate } from '../_kit/mutilated.ts';
import { canaryBroke, promisesHeld } from '../_kit/family.ts';
import { NEW, SCENES, part } from '../_kit/fault-scenes.ts';
import { FaultyDisk, type Rule, crashAt } from '../_kit/faulty-disk.ts';
import { Filler } from '../_kit/filler.ts';
import {
  type Room,
  deliver,
  makeRoom,
  namesIn,
  photograph,
  plainDisk,
  through,
} from '../_kit/install-room.ts';
import { type Mount, loopMount, needMounts, tmpfsMount } from '../_kit/mounts.ts';
import { Violations, type Outcome, Station } from '../_kit/station.ts';
import { changedIn, snapshotRoot } from '../_kit/tree-snapshot.ts';
import { type Version, judge, versionOf } from '../_kit/versions.ts';

/** KiB that are left when the upload has been opened: none, and more and more until the install fits in. */
const LEFT = [0, 4, 8, 12, 16, 32, 64, 128, 256, 384, 448, 512, 576, 640, 704, 768, 1024, 2048];

const DISKS = {
  tmpfs: () => tmpfsMount(8),
  // Nothing kept for root, who runs the agent here.
  ext4: () => loopMount('ext4', { mebibytes: 24, mkfs: ['-m', '0'] }),
};

function wrongWith(outcome: Outcome): string | undefined {
  if ('answer' in outcome) return undefined;
  const { code, hint } = outcome.refusal;
  if (code !== 'NO_SPACE') return `refused with ${code}: ${outcome.refusal.detail}`;
  return hint === undefined ? 'refused without a hint' : undefined;
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** What of the root is not what it was. */
function differing(before: Record<string, string>, after: Record<string, string>): string | undefined {
  const found = changedIn(before, after);
  return found.length === 0 ? undefined : `${found.length} entries differ: ${found.slice(0, 3).join(', ')}`;
}

/** Updates a plugin again and again on a disk that becomes full in the middle of it. */
async function fillUp(
  mount: Mount,
  findings: Violations,
  program?: string,
  patience = 10_000,
): Promise<number> {
  const station = await Station.at(join(mount.point, 'plugins'), program === undefined ? {} : { program });
  const filler = new Filler(mount.point);
  const versions: Version[] = [versionOf('lint', 1)];
  const judged = async (number: number): Promise<string | undefined> => {
    const found = await judge(station.root, 'lint', versions);
    return found.kind === 'version' && found.number === number ? undefined : `found ${JSON.stringify(found)}`;
  };
  await station.serve();
  let live = 1;
  let refused = 0;
  await station.put(versions[0] ?? versionOf('lint', 1));
  for (const left of LEFT) {
    const version = versionOf('lint', live + 1);
    versions.push(version);
    await station.settled(patience).catch(() => undefined);
    const before = await snapshotRoot(station.root);
    filler.fill(left);
    const early = left > 4 ? undefined : await station.install(version);
    filler.release();
    const outcome = early ?? (await station.install(version, () => filler.fill(left)));
    refused += 'refusal' in outcome ? 1 : 0;
    await station.settled(patience).catch(() => undefined);
    const differs = 'refusal' in outcome ? differing(before, await snapshotRoot(station.root)) : undefined;
    const answered = await judged('refusal' in outcome ? live : live + 1);
    filler.release();
    // The room is back: the same install works.
    const again = 'answer' in outcome ? outcome : await station.install(version);
    const wrong = 'answer' in again ? undefined : `and then ${again.refusal.code}`;
    live += 1;
    const where = `${left} KiB left${early === undefined ? '' : ' before it begins'}`;
    findings.point(where, wrongWith(outcome), differs, answered, wrong, await judged(live));
  }
  await station.program.stop();
  return refused;
}

const liveOf = (room: Room): Record<string, string> =>
  part(photograph(room.context.disk, room.layout.root), 'lint');

/** Old complete or new complete, nothing left in staging or half-removed; afterwards another install works. */
async function checkRoom(room: Room, old: Record<string, string>): Promise<(string | false)[]> {
  const { layout, context } = room;
  const staging = namesIn(room, layout.staging);
  const halves = namesIn(room, layout.previous).filter((name) => /\.(?:trash|old)$/.test(name));
  const isOld = same(liveOf(room), old);
  return [
    !isOld && verifyPlugin(context, 'lint').verdict !== 'intact' && 'neither old nor new',
    staging.length > 0 && `left in staging: ${staging.join(', ')}`,
    halves.length > 0 && `left in previous: ${halves.join(', ')}`,
  ];
}

const QUICK = { sync: (fd: number): void => void nodeDisk.statOpen(fd) };
const WAYS: Record<string, Disk> = {
  renames: { ...plainDisk, ...QUICK },
  'an exchange': { ...plainDisk, ...QUICK, exchange: nodeDisk.exchange },
};

async function inRoom(mount: Mount, disk: Disk, run: (room: Room) => Promise<boolean>): Promise<boolean> {
  const root = join(mount.point, 'plugins');
  mkdirSync(root);
  try {
    const room = makeRoom({}, disk, root);
    await SCENES['an update']?.(room);
    return await run(room);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

/** Kills an update at every call; the disk is full when recovery begins. */
async function recoverFull(mount: Mount, disk: Disk, findings: Violations): Promise<void> {
  const filler = new Filler(mount.point);
  const attempt = (n: number): Promise<boolean> =>
    inRoom(mount, disk, async (room) => {
      const old = liveOf(room);
      const faulty = new FaultyDisk(disk);
      faulty.arm(crashAt(n));
      await deliver(through(room, faulty.disk), NEW).catch(() => undefined);
      if (faulty.failed.length === 0) return false;
      filler.fill(0);
      const held = recover(room.context, undefined).flatMap((one) => one.held ?? []);
      const wrongs = await checkRoom(room, old);
      filler.release();
      const again = await deliver(room, NEW).then(
        () => undefined,
        (error: unknown) => `then ${toFault(error, 'Installing').message}`,
      );
      findings.point(`killed at call ${n}`, ...held, ...wrongs, again);
      return true;
    });
  for (let n = 1; await attempt(n); n += 1);
}

/** The disk is full when the swap has been made, or half made, and cannot go on: it is taken back. */
async function undoFull(mount: Mount, disk: Disk, findings: Violations): Promise<void> {
  const filler = new Filler(mount.point);
  for (let n = 0; n < 12; n += 1) {
    await inRoom(mount, disk, async (room) => {
      const old = liveOf(room);
      const live = room.layout.live('lint');
      let swapped = 0;
      const rule: Rule = (call) => {
        const isSwap = call.kind === 'exchange' || (call.kind === 'rename' && call.path === live);
        if (swapped === 0 && isSwap) swapped = call.n;
        if (swapped === 0 || call.n !== swapped + 1 + n) return undefined;
        filler.fill(0);
        return 'EIO';
      };
      const faulty = new FaultyDisk(disk);
      faulty.arm(rule);
      const answered = await deliver(through(room, faulty.disk), NEW).then(
        () => true,
        () => false,
      );
      const isOld = same(liveOf(room), old);
      filler.release();
      // What could not be cleared away is for the next start.
      recover(room.context, undefined);
      findings.point(
        `call ${n} after the swap began`,
        !answered && !isOld && 'not taken back',
        ...(await checkRoom(room, old)),
      );
      return true;
    });
  }
}

describe('a disk that is full', () => {
  for (const [name, make] of Object.entries(DISKS)) {
    it(`refuses installs on ${name} with NO_SPACE, and changes nothing`, async (ctx) => {
      needMounts(ctx, name === 'ext4' ? 'ext4' : 'tmpfs');
      const findings = new Violations();
      const refused = await fillUp(make(), findings);
      process.stdout.write(`full ${name}: ${findings.tried} installs, ${refused} refused\n`);
      promisesHeld(ctx, 'f', findings.tried, findings.broken);
      ctx.expect(refused).toBeGreaterThan(5);
      ctx.expect(refused).toBeLessThan(findings.tried);
    });
  }

  it('has litter where a failed install is not cleared away', async (ctx) => {
    needMounts(ctx, 'tmpfs');
    const findings = new Violations();
    const { file, close } = await mutilate({ discardSlot: 'undefined' });
    onTestFinished(close);
    await fillUp(tmpfsMount(12), findings, file, 300);
    canaryBroke(ctx, 'f', 'the removal of a failed slot', findings.tried, findings.broken);
  });

  for (const [way, disk] of Object.entries(WAYS)) {
    it(`lets recovery finish what was killed, by ${way}`, async (ctx) => {
      needMounts(ctx, 'tmpfs');
      if (way !== 'renames' && disk.exchange === undefined) ctx.skip('this machine has no exchange');
      const findings = new Violations();
      await recoverFull(tmpfsMount(2), disk, findings);
      promisesHeld(ctx, 'f', findings.tried, findings.broken);
      ctx.expect(findings.tried).toBeGreaterThan(100);
    });

    it(`lets a swap be taken back, by ${way}`, async (ctx) => {
      needMounts(ctx, 'tmpfs');
      if (way !== 'renames' && disk.exchange === undefined) ctx.skip('this machine has no exchange');
      const findings = new Violations();
      await undoFull(tmpfsMount(2), disk, findings);
      promisesHeld(ctx, 'f', findings.tried, findings.broken);
    });
  }
});
