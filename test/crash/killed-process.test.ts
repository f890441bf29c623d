/** The real agent is killed before each call that changes the disk: old or new is live, before a restart and after it. */
import { type TestContext, describe, it } from 'vitest';

import { canaryBroke, promisesHeld } from '../_kit/family.ts';
import { FLOWS, type Stage, hitAll, inGap, prepareStage } from '../_kit/killed-process.ts';
import { type Mutilated, mutilate } from '../_kit/mutilated.ts';
import { type Call, needStrace } from '../_kit/strace.ts';

const KILL = 'signal=SIGKILL';
const MINUTES = 240_000;
/** For one flow; what does not come to its turn is left out, and the line that is printed says so. */
const LIMIT_MILLIS = 25_000;
const SHORT_MILLIS = 15_000;

async function onStage(
  flow: string,
  file: string | undefined,
  run: (stage: Stage) => Promise<void>,
): Promise<void> {
  const found = FLOWS[flow];
  if (found === undefined) throw new Error(`There is no flow "${flow}"`);
  const stage = await prepareStage(found, file);
  try {
    await run(stage);
  } finally {
    await stage.close();
  }
}

describe('an agent that is killed', () => {
  it.for(Object.keys(FLOWS))(
    'during %s leaves the old version or the new one',
    { timeout: MINUTES },
    async (flow, ctx) => {
      needStrace(ctx);
      await onStage(flow, undefined, async (stage) => {
        const points = stage.calls.map(({ call, nth }) => ({ call, nth, what: KILL }));
        const { tried, missed, broken } = await hitAll(stage, points, LIMIT_MILLIS);
        console.log(`${flow}: killed at ${tried} of ${points.length} calls; ${missed} did not come again`);
        promisesHeld(ctx, 'c', tried, broken);
        ctx.expect(missed).toBeLessThan(points.length / 5);
      });
    },
  );
});

/** Calls of recovery; those that it does not come to are left out. */
const AGAIN = [
  'rename 1',
  'rename 2',
  'fsync 1',
  'fsync 3',
  'fsync 6',
  'fsync 9',
  'unlink 1',
  'unlink 4',
  'rmdir 2',
].map((name) => ({ call: name.split(' ')[0] ?? '', nth: Number(name.split(' ')[1]) }));

describe('recovery that is killed as well', () => {
  it('goes on with it at the next start', { timeout: MINUTES }, async (ctx) => {
    needStrace(ctx);
    await onStage('an update', undefined, async (stage) => {
      const firsts = stage.calls.filter(({ call }, i) => call === 'renameat2' || i % 8 === 7);
      const points = firsts.flatMap(({ call, nth }) =>
        AGAIN.map((again) => ({ call, nth, what: KILL, again })),
      );
      const { tried, missed, broken } = await hitAll(stage, points, SHORT_MILLIS);
      console.log(
        `killed twice ${tried} of ${points.length} times; ${missed} times the second call did not come`,
      );
      promisesHeld(ctx, 'c', tried, broken);
    });
  });
});

describe('the check sees it when there is', () => {
  const without = async (
    ctx: TestContext,
    what: string,
    program: Promise<Mutilated>,
    pointsOf: (stage: Stage) => Call[],
  ): Promise<void> => {
    needStrace(ctx);
    const { file, close } = await program;
    try {
      await onStage('an update', file, async (stage) => {
        const points = pointsOf(stage).map(({ call, nth }) => ({ call, nth, what: KILL }));
        const { tried, broken } = await hitAll(stage, points, SHORT_MILLIS);
        canaryBroke(ctx, 'c', what, tried, broken);
      });
    } finally {
      await close();
    }
  };

  it('no recovery', { timeout: MINUTES }, async (ctx) =>
    without(ctx, 'recovery', mutilate({ recover: '[]' }), ({ calls }) =>
      calls.filter(({ call }) => /^rename|rmdir/.test(call)),
    ),
  );
  it('no exchange', { timeout: MINUTES }, async (ctx) =>
    without(ctx, 'the exchange', mutilate({}, false), inGap),
  );
});
