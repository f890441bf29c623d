/** Uploads to the real agent are cut behind any byte, go dead or stall: live is untouched, and nothing is left of them. */
import { setTimeout as sleep } from 'node:timers/promises';

import { type TestContext, describe, it } from 'vitest';

import { packPlugin } from '../_kit/bundle.ts';
import { type Cut, type Marks, Target, cutsOf, pushUntilIn } from '../_kit/cut-uploads.ts';
import { canaryBroke, promisesHeld } from '../_kit/family.ts';
import { mutilate } from '../_kit/mutilated.ts';
import { litterIn } from '../_kit/on-disk.ts';
import { Program, addressOf } from '../_kit/program.ts';
import { Wire } from '../_kit/wire.ts';

const MINUTES = 240_000;
const SIDE_BY_SIDE = 4;
const PATIENCE_MILLIS = 15_000;

/** Both waits as short as they can be, and the deadline as it is: nothing may be left to it. */
const QUICK = { AIRLOCK_STALL_SECONDS: '1', AIRLOCK_RESUME_SECONDS: '1' };

type Scene = { agent: Program; targets: Target[]; marks: Marks };

async function onAgent(file: string | undefined, run: (scene: Scene) => Promise<void>): Promise<void> {
  const agent = await Program.open(file);
  try {
    await agent.serve(QUICK);
    const targets: Target[] = [];
    for (let i = 0; i < SIDE_BY_SIDE; i += 1) targets.push(await Target.prepare(agent, `cut-${i}`));
    const marks = await Promise.all(targets.map((target) => target.measure()));
    await run({ agent, targets, marks: marks[0] as Marks });
  } finally {
    await agent.close();
  }
}

async function cutAll({ targets, marks }: Scene, cuts: readonly Cut[], patience: number): Promise<string[]> {
  const broken: string[] = [];
  const left = cuts.values();
  const work = async (target: Target): Promise<void> => {
    for (const truncate of left) {
      const found = await target.truncate(truncate, marks, patience);
      if (found.length > 0) broken.push(found.join('; '));
    }
  };
  await Promise.all(targets.map(work));
  return broken;
}

/** Somebody else installs something all the while. @returns how often it went well. */
async function beside(agent: Program, broken: string[], run: () => Promise<void>): Promise<number> {
  const bundles = [await packPlugin('other', '1.0.0'), await packPlugin('other', '2.0.0')];
  const wire = await Wire.start(addressOf(agent), { token: agent.token });
  const over = new AbortController();
  let installed = 0;
  const other = async (): Promise<void> => {
    for (let i = 0; !over.signal.aborted; i += 1) {
      const bundle = bundles[i % 2];
      if (bundle !== undefined) await pushUntilIn(wire, 'other', bundle);
      installed += 1;
      await sleep(100);
    }
  };
  const others = other().catch((error: unknown) => void broken.push(`somebody else: ${String(error)}`));
  await run().finally(() => over.abort());
  await others;
  await wire.vanish();
  return installed;
}

async function check(ctx: TestContext, cutsFor: (marks: Marks) => Cut[]): Promise<void> {
  await onAgent(undefined, async (scene) => {
    const broken: string[] = [];
    const cuts = cutsFor(scene.marks);
    const installed = await beside(scene.agent, broken, async () => {
      broken.push(...(await cutAll(scene, cuts, PATIENCE_MILLIS)));
    });
    // What was begun in the moment of a cut, and seen by nobody, goes as well.
    await sleep(1500);
    const end = Date.now() + PATIENCE_MILLIS;
    while (litterIn(scene.agent.root).length > 0 && Date.now() < end) await sleep(20);
    broken.push(...litterIn(scene.agent.root).map((name) => `in the end ${name} is left`));
    console.log(`${cuts.length} cuts; meanwhile somebody else installed ${installed} times`);
    promisesHeld(ctx, 'e', cuts.length, broken);
    ctx.expect(installed).toBeGreaterThan(3);
    ctx.expect(await scene.agent.stop()).toBe(0);
  });
}

describe('an upload', () => {
  it(
    'that is cut behind any byte leaves live as it was, or installs all of it',
    { timeout: MINUTES },
    async (ctx) => check(ctx, (marks) => cutsOf(marks, 60)),
  );

  it('whose cable goes dead is given up', { timeout: MINUTES }, async (ctx) =>
    check(ctx, (marks) =>
      cutsOf(marks, 36).flatMap(({ bytes }) => (bytes < marks.sent ? { bytes, how: 'dead' as const } : [])),
    ),
  );

  it('that stalls is given up', { timeout: MINUTES }, async (ctx) =>
    check(ctx, (marks) =>
      Array.from({ length: 16 }, (_, i) => ({
        bytes: marks.begun + Math.round((i * (marks.sent - marks.begun - 100)) / 16),
        how: 'stall' as const,
      })),
    ),
  );
});

describe('the check sees it when', () => {
  it('nothing removes the slot', { timeout: MINUTES }, async (ctx) => {
    const { file, close } = await mutilate({ discardSlot: 'undefined' });
    try {
      await onAgent(file, async (scene) => {
        const cuts = [0.2, 0.4, 0.6, 0.8].flatMap((part): Cut[] => {
          const bytes = Math.round(scene.marks.begun + part * (scene.marks.sent - scene.marks.begun));
          return [
            { bytes, how: 'closed' },
            { bytes, how: 'dead' },
          ];
        });
        const broken = await cutAll(scene, cuts, 2500);
        canaryBroke(ctx, 'e', 'the removal of the slot', cuts.length, broken);
      });
    } finally {
      await close();
    }
  });
});
