/** Real processes, cables that are cut, agents that end: a small part of test/crash/broken-connections.test.ts. */
import { afterEach, beforeEach, expect, it } from 'vitest';

import { pushCrowd } from '../_kit/crowd.ts';
import { cutMany } from '../_kit/cut-pushes.ts';
import { drainBelow, killMany } from '../_kit/ending-agents.ts';
import { Program } from '../_kit/program.ts';

let agent: Program;

beforeEach(async () => {
  agent = await Program.open();
  await agent.serve();
});
afterEach(() => agent.close());

it('a push that is cut at any byte ends in one install and one answer', async () => {
  const cuts = { seed: 'small', count: 10, lanes: 2, ends: ['closed', 'reset'], large: 500_000 } as const;
  const { broken, done } = await cutMany(agent, cuts);
  expect(broken).toEqual([]);
  expect(Object.values(done).reduce((sum, one) => sum + one, 0)).toBe(10);
});

it('an agent that is killed in the middle gives one answer to whoever asks again', async () => {
  expect(await killMany(agent, 'small', 3)).toEqual({ broken: [], done: 3 });
});

it('an agent that ends in order finishes what is sealed, and the next one gets the rest', async () => {
  const { broken } = await drainBelow(agent, 4);
  expect(broken).toEqual([]);
});

it('many at once end well: one with the same plugin installs it, and the others find it', async () => {
  const { broken, same } = await pushCrowd(agent, 8);
  expect({ broken, same }).toEqual({ broken: [], same: { installed: 1, present: 7 } });
});
