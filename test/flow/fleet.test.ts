/** A few agents of a fleet; many are in test/crash/fleet.test.ts. */
import { expect, it } from 'vitest';

import { runFleet } from '../_kit/fleet.ts';

it('a push to all agents that have dialled in loses none, while connections are cut and the platform is killed', async () => {
  const { cuts } = await runFleet({ agents: 6, processes: 2, cutEach: 5 });
  expect(cuts).toBeGreaterThan(0);
});
