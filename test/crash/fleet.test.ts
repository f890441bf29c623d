/** A thousand agents that have dialled in to one process. */
import { expect, it } from 'vitest';

import { runFleet } from '../_kit/fleet.ts';

/** On a machine that is busy with other things, each of a thousand agents takes its time to start. */
const PATIENCE_MILLIS = 60 * 60 * 1000;

it(
  'a thousand agents take at most 300 MB of their platform, and a push to all of them loses none',
  async () => {
    const { cuts, peak } = await runFleet({ agents: 1000, processes: 4, cutEach: 50, tell: console.log });
    expect(peak).toBeLessThan(300 * 1000 * 1000);
    expect(cuts).toBeGreaterThan(0);
  },
  PATIENCE_MILLIS,
);
