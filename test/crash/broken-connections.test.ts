/**
 * Connections are cut at bytes by chance, agents killed and drained, and a crowd comes at once: nothing is lost or done twice.
 * CUTS and KILLS say how often, for a longer run.
 */

import { afterEach, beforeEach, expect, it, onTestFinished } from 'vitest';

import { openSession } from '../../client/connect.ts';
import { follow } from '../../client/follow.ts';
import { push } from '../../client/push.ts';
import { Cable } from '../_kit/cable.ts';
import { pushCrowd } from '../_kit/crowd.ts';
import { Lane, cutMany } from '../_kit/cut-pushes.ts';
import { drainBelow, killMany } from '../_kit/ending-agents.ts';
import { promisesHeld } from '../_kit/family.ts';
import { Program, addressOf } from '../_kit/program.ts';

const MINUTES = 900_000;
const cuts = Number(process.env['CUTS'] ?? 60);
const kills = Number(process.env['KILLS'] ?? 20);
let agent: Program;

beforeEach(async () => {
  agent = await Program.open();
});
afterEach(() => agent.close());

it(
  `${cuts} pushes that are cut by chance end in one install and one answer each`,
  { timeout: MINUTES },
  async (ctx) => {
    await agent.serve();
    const seed = process.env['AIRLOCK_TEST_SEED'] ?? 'cuts';
    const { broken, done } = await cutMany(agent, {
      seed,
      count: cuts,
      lanes: 4,
      ends: ['closed', 'reset', 'dead'],
    });
    console.log(`seed "${seed}", cuts by way and end: ${JSON.stringify(done)}`);
    promisesHeld(ctx, 'e', cuts, broken);
  },
);

it(`an agent that is killed ${kills} times gives one answer each time`, { timeout: MINUTES }, async (ctx) => {
  await agent.serve();
  const { broken, done } = await killMany(agent, process.env['AIRLOCK_TEST_SEED'] ?? 'kills', kills);
  promisesHeld(ctx, 'c', done, broken);
});

it('an agent that ends below 24 pushes loses no answer', { timeout: MINUTES }, async (ctx) => {
  await agent.serve();
  const { broken, drained } = await drainBelow(agent, 24);
  console.log(`${drained} of 24 were told that the agent drains`);
  promisesHeld(ctx, 'e', 24, broken);
});

it(
  '64 clients with a plugin each, beside 64 with the same one, all end well',
  { timeout: MINUTES },
  async (ctx) => {
    await agent.serve();
    const { broken, same, told, lost, millis, peakMib } = await pushCrowd(agent, 64);
    console.log(`128 pushes in ${millis} ms; ${told} times told to come later; ${peakMib} MiB at most`);
    promisesHeld(ctx, 'e', 128, broken);
    expect({ same, lost }).toEqual({ same: { installed: 1, present: 63 }, lost: 0 });
    // More than 64 connections are refused, so some were told.
    expect(told).toBeGreaterThan(0);
  },
);

it(
  'a proxy that cuts who is idle for 20 s cuts nobody, also while a commit takes long',
  { timeout: MINUTES },
  async () => {
    await agent.serve({ AIRLOCK_PROBE_COMMAND: 'sleep 25' });
    const cable = await Cable.lay(addressOf(agent).port, { idleMillis: 20_000 });
    onTestFinished(() => cable.close());
    const { token } = agent;
    const over = new AbortController();
    const lost: string[] = [];
    const following = follow(
      (more) => openSession({ url: cable.url, token, client: 'follower', events: 'all', ...more }),
      {
        signal: over.signal,
        onEvent: () => undefined,
        onLost: ({ message }) => lost.push(message),
      },
    );
    const bundle = await new Lane(agent, 'slow').next();
    const open = (signal: AbortSignal | undefined) =>
      openSession({ url: cable.url, token, client: 'push', signal });
    const onReconnect = ({ message }: Error): void => void lost.push(message);
    // Twice, so that it takes longer than two turns of the pings.
    expect(await push(open, bundle, { onReconnect })).toMatchObject({ status: 'installed' });
    expect(await push(open, bundle, { onReconnect, force: true })).toMatchObject({ status: 'installed' });
    over.abort();
    await following;
    expect(lost).toEqual([]);
    expect(cable.passages.map(({ ended }) => ended)).toEqual([undefined, undefined, undefined]);
  },
);
