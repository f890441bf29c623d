/**
 * Connections are cut at bytes by chance, agents killed and drained, and a crowd comes at once: nothing is lost or done twice.
 * CUTS and KILLS say how often, for a longer run.
 */

import { afterEach, beforeEach, expect, it } from 'vitest';

import { pushCrowd } from '../_kit/crowd.ts';
import { cutMany } from '../_kit/cut-pushes.ts';
import { drainBelow, killMany } from '../_kit/ending-agents.ts';
import { promisesHeld } from '../_kit/family.ts';
import { Program } from '../_kit/program.ts';

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
