/** What must be true of an install of which one call on the disk has failed, whichever it was. */
import { describe, expect, it } from 'vitest';

import type { Disk } from '../../agent/disk/port.ts';
import { verifyPlugin } from '../../agent/store/inspect.ts';
import { Fault } from '../../shared/api/fault.ts';
import { DISKS, NEW, type OnDisk, type Run, SCENES, part, runScene, sweep } from '../_kit/fault-scenes.ts';
import { CHANGES, sweepChange } from '../_kit/change-scenes.ts';
import { canaryBroke, promisesHeld } from '../_kit/family.ts';
import { type Rule, failOnce, never } from '../_kit/faulty-disk.ts';
import { brokenHistory } from '../_kit/history.ts';
import { deliver, namesIn } from '../_kit/install-room.ts';

const CODES = ['EIO', 'ENOSPC', 'EACCES', 'EXDEV', 'EMFILE'];
/** An install makes more calls than this (130, 236 and 141 when this was written), each of which is made to fail. */
const POINTS: Record<string, number> = {
  'a first install': 100,
  'an update': 180,
  'the replacing of what was half-copied': 110,
};

/**
 * The calls whose failure leaves something behind, which recovery removes. All of them remove something themselves,
 * after the answer: the intent, which comes last, and the snapshot that is one too many.
 */
const MAY_LITTER = /^(?:stat|unlink) \.staging\/lint\.S\.json$|^\w+ \.previous(?:\/lint\.S\.trash.*)?$/;

/**
 * Every call of every scene fails once.
 *
 * @param turns `each`: with every code; `in turn`: the n-th call with one of them, which takes a fifth of the time.
 */
export function describeFaults(disk: keyof typeof DISKS, turns: 'each' | 'in turn'): void {
  const on = DISKS[disk] as OnDisk;
  const ways = CODES.map((code) => ({ name: code, codes: [code] }));
  const inTurn = [{ name: 'each code in turn', codes: CODES }];
  describe.each(Object.keys(SCENES))(`on ${disk}, %s of which any one call fails`, (scene) => {
    it.for(turns === 'each' ? ways : inTurn)(
      'with $name leaves the old version or the new one, whole, and no litter',
      { timeout: 300_000 },
      async ({ codes }, ctx) => {
        const good = await on((port, root) => runScene(scene, port, root, never));
        expect([good.answer?.status, good.litter]).toEqual(['installed', []]);
        const littering = new Set<string>();
        const broken: string[] = [];
        const ruleOf = (n: number): Rule => failOnce(n, codes[n % codes.length] ?? 'EIO');
        const points = await sweep(on, scene, ruleOf, async (run, what) => {
          try {
            await checkRun(run, good);
          } catch (error) {
            broken.push(`${scene}, ${what}: ${error instanceof Error ? error.message : String(error)}`);
          }
          if (run.litter.length > 0) {
            littering.add(what);
          }
        });
        promisesHeld(ctx, 'a', points, broken);
        expect(points).toBeGreaterThan(POINTS[scene] ?? Infinity);
        expect([...littering].filter((what) => !MAY_LITTER.test(what))).toEqual([]);
        expect([...littering]).toContain('unlink .staging/lint.S.json');
      },
    );
  });
}

/**
 * The same for rollbacks, removals, recoveries and copies: the promises are checked at once and again after a recovery.
 *
 * @param turns as above. @param names of the changes; all by default.
 */
export function describeChangeFaults(
  disk: keyof typeof DISKS,
  turns: 'each' | 'in turn',
  names: readonly string[] = Object.keys(CHANGES),
): void {
  const on = DISKS[disk] as OnDisk;
  describe(`on ${disk}, any one call fails once`, () => {
    it.for(names)('during %s', { timeout: 300_000 }, async (name, ctx) => {
      const all = turns === 'each' ? CODES.map((code) => [code]) : [CODES];
      const broken: string[] = [];
      let tried = 0;
      for (const codes of all) {
        const swept = await sweepChange(on, name, (n) => failOnce(n, codes[n % codes.length] ?? 'EIO'));
        tried += swept.tried;
        broken.push(...swept.broken.map((what) => `${codes.join(' or ')}: ${what}`));
      }
      promisesHeld(ctx, 'a', tried, broken);
    });
  });
}

/** A disk on which nothing goes back: no live version to its slot, no snapshot to the live place. */
function withoutWayBack(disk: Disk, root: string): Disk {
  const live = `${root}/lint`;
  return {
    ...disk,
    rename: (from, to) => {
      const isBack =
        (from === live && to.includes('/.staging/')) || (to === live && from.includes('/.previous/'));
      if (!isBack) disk.rename(from, to);
    },
  };
}

/** Shows that the sweeps would see it if a swap that failed were not taken back. */
export function describeFaultCanary(disk: keyof typeof DISKS): void {
  const on = DISKS[disk] as OnDisk;
  it(`on ${disk}, promises break where nothing is taken back`, async (ctx) => {
    const broken: string[] = [];
    let tried = 0;
    for (const name of ['a rollback', 'a removal']) {
      const without: OnDisk = (run) => on((port, root) => run(withoutWayBack(port, root), root));
      const swept = await sweepChange(without, name, (n) => failOnce(n, 'EIO'));
      tried += swept.tried;
      broken.push(...swept.broken);
    }
    canaryBroke(ctx, 'a', 'the way back of a swap', tried, broken);
  });
}

async function checkRun(run: Run, good: Run): Promise<void> {
  const { room, answer, error, before, after, judged, litter } = run;
  expect(run.faulty.leaked).toEqual([]);
  if (answer === undefined) {
    expect(error).toBeInstanceOf(Fault);
    expect((error as Fault).executed).toBe('no');
    // Live byte for byte, and staging, snapshots, receipts and state with it.
    expect(after).toEqual(before);
    expect(judged.after).toBe(judged.before);
    expect(room.complaints).toEqual([]);
    // What failed once can be asked again.
    const again = await deliver(room, NEW);
    expect([again.status, verifyPlugin(room.context, 'lint').verdict]).toEqual(['installed', 'intact']);
    expect(namesIn(room, room.layout.staging)).toEqual([]);
    expect(litter).toEqual([]);
    return;
  }
  if (room.complaints.every(({ message }) => !message.includes('history'))) {
    expect(litter.length > 0 ? [] : brokenHistory(room)).toEqual([]);
  }
  expect(judged.after).toBe('admitted');
  expect(part(after, 'lint')).toEqual(part(good.after, 'lint'));
  expect(part(after, '.receipts')).toMatchObject(part(good.after, '.receipts'));
  // A skill that cannot be read back is a warning more; without the receipt before, a change is still cold.
  expect({ ...answer, warnings: 0, reload: answer.reload.action }).toEqual({
    ...good.answer,
    warnings: 0,
    reload: 'restart',
  });
  // What was displaced is in its snapshot, whatever became of the house-keeping.
  const displaced = Object.entries(part(before, 'lint')).map(([path, what]) => [
    path.replace('/lint', `/.previous/lint.${answer.installId}`),
    what,
  ]);
  expect(after).toMatchObject(Object.fromEntries(displaced));
  if (litter.length > 0) {
    const own = /^(lint\.[^.]+\.json|lint\.[^.]+\.trash)$/;
    expect(litter.filter((name) => !own.test(name))).toEqual([]);
    expect(room.complaints).not.toEqual([]);
  }
}
