/** Each call of the real agent that changes the disk fails once: it lives on, and old or new is live, as it has said. */
import { describe, it } from 'vitest';

import { promisesHeld } from '../_kit/family.ts';
import { FLOWS, hitAll, prepareStage } from '../_kit/killed-process.ts';
import { needStrace } from '../_kit/strace.ts';

const ERRORS = ['EIO', 'ENOSPC', 'EACCES'];
/** For one flow; what does not come to its turn is left out, and the line that is printed says so. */
const LIMIT_MILLIS = 25_000;

describe('an agent whose system calls fail', () => {
  it.for(Object.entries(FLOWS))('survives it during %s', { timeout: 240_000 }, async ([name, flow], ctx) => {
    needStrace(ctx);
    const stage = await prepareStage(flow);
    try {
      const points = ERRORS.flatMap((code) =>
        stage.calls.map(({ call, nth }) => ({ call, nth, what: `error=${code}` })),
      );
      const { tried, missed, broken } = await hitAll(stage, points, LIMIT_MILLIS);
      console.log(`${name}: failed ${tried} of ${points.length} times; ${missed} did not come again`);
      promisesHeld(ctx, 'c', tried, broken);
      ctx.expect(missed).toBeLessThan(points.length / 5);
    } finally {
      await stage.close();
    }
  });
});
