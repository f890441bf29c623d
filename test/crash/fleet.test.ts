/** Agents that have dialled in to one process: 200, or as many as FLEET_AGENTS says. docs/performance.md has the figures of a thousand. */
import { expect, it } from 'vitest';

import { runFleet } from '../_kit/fleet.ts';

/** On a machine that is busy with other things, each of many agents takes its time to start. */
const PATIENCE_MILLIS = 60 * 60 * 1000;
const agents = Number(process.env['FLEET_AGENTS'] ?? 200);

it(
  `${agents} agents take at most 300 MB of their platform, and a push to all of them loses none`,
  async () => {
    const { cuts, peak } = await runFleet({ agents, processes: 4, cutEach: 50, tell: console.log });
    expect(peak).toBeLessThan(300 * 1000 * 1000);
    expect(cuts).toBeGreaterThan(0);
  },
  PATIENCE_MILLIS,
);
