/** The checks of power cuts find something: without a sync, or without recovery, promises break. */
import { describe, expect, it } from 'vitest';

import { canaryBroke, promisesHeld } from '../_kit/family.ts';
import { FaultyDisk, crashAt } from '../_kit/faulty-disk.ts';
import { through } from '../_kit/install-room.ts';
import { LosingDisk, type LosingOptions } from '../_kit/losing-disk.ts';
import { stepName } from '../_kit/power-fates.ts';
import { FLOWS, type Flow } from '../_kit/power-flows.ts';
import { type Plan, cutEverywhere, record, roomOn } from '../_kit/power-model.ts';

const UPDATE = FLOWS['an update'] as Flow;
/** A lost record of an answer. A canary must find more than that: what is lost of the plugin itself. */
const isOfRecord = ({ line }: { line: string }): boolean => line.includes('the record operation-');
const plan = (options: Partial<LosingOptions>): Plan => ({ options, random: 2, stride: 1, recovery: true });

describe('the model of power cuts', () => {
  it.for<[string, Partial<LosingOptions>]>([
    ['the syncs of directories', { forgets: 'directories' }],
    ['the syncs of directories, with an exchange', { forgets: 'directories', exchange: true }],
    ['the syncs of files', { forgets: 'files' }],
    ['the syncs of files, with an exchange', { forgets: 'files', exchange: true }],
    ['the one sync of everything', { forgets: 'everything at once', exchange: true, syncAll: true }],
  ])('finds broken promises without %s', async ([without, options], ctx) => {
    const { tried, broken } = await cutEverywhere(without, UPDATE, plan(options));
    const ofPlugin = broken.filter((one) => !isOfRecord(one));
    canaryBroke(
      ctx,
      'b',
      without,
      tried,
      ofPlugin.map(({ line }) => line),
    );
    // The record has syncs of its own.
    expect(broken.some(isOfRecord)).toBe(options.forgets !== 'everything at once');
  });

  it('finds no version live without recovery, where there are only renames', async (ctx) => {
    const without = { ...plan({}), recovery: false };
    const { tried, broken } = await cutEverywhere('no recovery', UPDATE, without);
    // That something lies about without recovery is no wonder: what counts is what is live.
    const notLive = broken.filter(({ promise }) => promise === 1).map(({ line }) => line);
    canaryBroke(ctx, 'b', 'recovery', tried, notLive);
  });

  it('cuts where a crash at any call would: after each step, and nothing is done after it', async (ctx) => {
    const options = { exchange: true };
    const names = ({ steps }: LosingDisk): string[] =>
      steps.map((step) => stepName(step).replace(/\.tmp-\S+/, 'tmp'));
    const whole = names((await record(UPDATE, options)).disk);
    const stage = new LosingDisk(options);
    await UPDATE.scene?.(roomOn(stage, UPDATE), stage);
    const seen = new Set<number>();
    const broken: string[] = [];
    for (let n = 1; ; n += 1) {
      const disk = stage.fork();
      const room = roomOn(disk, UPDATE);
      const faulty = new FaultyDisk(disk.disk);
      faulty.arm(crashAt(n));
      try {
        await UPDATE.run(through(room, faulty.disk), () => undefined);
      } catch {
        // Killed before the answer.
      }
      const made = names(disk).map((name) => name.replace(/operation-\d+/, 'operation'));
      const same = whole.slice(0, made.length).map((name) => name.replace(/operation-\d+/, 'operation'));
      if (JSON.stringify(made) !== JSON.stringify(same)) broken.push(`at call ${n}: ${made.join(', ')}`);
      seen.add(made.length);
      if (faulty.failed.length === 0) break;
    }
    // A write that is cut is made by half, so the step before one is seen only with it.
    const writes = whole.filter((name) => name.startsWith('write')).length;
    expect(seen.size).toBeGreaterThanOrEqual(whole.length + 1 - writes);
    promisesHeld(ctx, 'b', seen.size, broken);
  });
});
