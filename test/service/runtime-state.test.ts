/** What a restart of the agent's own makes up for, with locks and threads that do as the test says. */
import { describe, expect, it } from 'vitest';
import * as z from 'zod';

import { PluginLocks } from '../../agent/service/plugin-locks.ts';
import { Loads } from '../../agent/service/runtime-state.ts';
import { WorkerClient } from '../../agent/worker/client.ts';
import type { FromEngine, ToEngine } from '../../agent/worker/messages.ts';
import type { Listener } from '../../agent/worker/pool.ts';
import { Fault } from '../../shared/api/fault.ts';
import { deferred } from '../../agent/worker/deferred.ts';
import { Lanes } from '../../shared/lanes.ts';
import { FakeClock } from '../_kit/clock.ts';
import { faultOf } from '../_kit/scene.ts';

type World = {
  /** Plugins that wait for a restart. */
  pending: string[];
  /** Those of them for which one was promised. */
  promised: string[];
  /** What fails, as `name plugin`. */
  failing: string[];
  /** The lock of these cannot be made. */
  unlockable: string[];
};

/** What a call asks for, and of which plugin. */
function readCall(task: ToEngine): { name: string; plugin: string; before: number } {
  if (task.kind !== 'call') throw new Error(`Nobody expects "${task.kind}"`);
  const params = z.object({ plugin: z.string().default(''), before: z.number().default(0) });
  return { name: task.name, ...params.parse(task.params ?? {}) };
}

function makeLoads(changes: Partial<World> = {}) {
  const world: World = { pending: [], promised: [], failing: [], unlockable: [], ...changes };
  const clock = new FakeClock();
  const complaints: Fault[] = [];
  /** Restarts that were noted, with whether it was the last try for what was promised. */
  const noted: string[] = [];
  const answerTo = (task: ToEngine): FromEngine => {
    const { name, plugin, before } = readCall(task);
    if (name === 'runtime.pending') return { kind: 'answer', answer: world.pending };
    if (name === 'runtime.promised') return { kind: 'answer', answer: world.promised };
    if (name !== 'runtime.begins') throw new Error(`Nobody expects "${name}"`);
    noted.push(`${plugin}${before > 0 ? ' (last try)' : ''}`);
    return { kind: 'answer', answer: undefined };
  };
  const play = (task: ToEngine, { message }: Listener): void => {
    const { name, plugin } = readCall(task);
    const failed = world.failing.includes(`${name} ${plugin}`.trim());
    const fault = new Fault('NO_SPACE', 'By the test').toData();
    message(failed ? { kind: 'failed', fault, stack: undefined } : answerTo(task));
    message({ kind: 'done' });
  };
  const worker = new WorkerClient(
    {
      lease: (listener: Listener) =>
        Promise.resolve({
          say: (task: ToEngine) => queueMicrotask(() => play(task, listener)),
          release: () => undefined,
        }),
    },
    { tell: () => undefined, complain: (fault) => complaints.push(fault) },
  );
  const locks = new PluginLocks({
    locks: {
      take: async (name) => {
        if (world.unlockable.includes(name)) throw Object.assign(new Error('EROFS'), { code: 'EROFS' });
        return () => Promise.resolve();
      },
      holderOf: () => Promise.resolve(undefined),
    },
    clock,
    wait: 1000,
    recover: (plugin) => loads.noteOwed(plugin),
  });
  const lanes = new Lanes();
  const loads = new Loads(worker, locks, lanes, clock, (fault) => complaints.push(fault));
  const codes = (): string[] => complaints.map(({ code }) => code);
  return { world, loads, locks, lanes, noted, codes };
}

describe('a restart that begins', () => {
  it('notes it of every plugin that waits, and tries what was promised before for the last time', async () => {
    const { loads, noted } = makeLoads({ pending: ['a', 'b', 'c'], promised: ['a', 'b'] });
    expect(await loads.promised()).toBe(true);
    expect(await loads.takeUp()).toBe(true);
    expect(noted).toEqual(['a (last try)', 'b (last try)', 'c']);
    expect(await loads.takeUp()).toBe(true);
    expect(noted.slice(3)).toEqual(['a', 'b', 'c']);
  });

  // Was a bug: an upload holds the lock for as long as it takes, and a restart that failed meanwhile was noted nowhere.
  it('notes it also of a plugin that is uploaded, and waits for a change of it that is being made', async () => {
    const { loads, locks, lanes, noted } = makeLoads({ pending: ['a', 'b'] });
    const releases = [await locks.hold('a'), await locks.hold('b')];
    expect(await loads.takeUp()).toBe(true);
    expect(noted).toEqual(['a', 'b']);
    const change = deferred<void>();
    const made = lanes.run('a', async () => {
      await change.promise;
      noted.push('the change of a');
    });
    const takenUp = loads.takeUp();
    change.resolve();
    await Promise.all([made, takenUp, ...releases.map((release) => release())]);
    expect(noted.slice(2)).toEqual(['the change of a', 'a', 'b']);
  });

  // Was a bug: what was promised for one plugin was forgotten when the lock or the note of another failed.
  it.each([
    ['lock', { unlockable: ['other'] }, 'READ_ONLY'],
    ['note', { failing: ['runtime.begins other'] }, 'NO_SPACE'],
  ])('does so also where the %s of another plugin fails', async (_, changes, code) => {
    const { loads, noted, codes } = makeLoads({ pending: ['other', 'z'], promised: ['z'], ...changes });
    await loads.promised();
    expect(await loads.takeUp()).toBe(true);
    expect([noted, codes()]).toEqual([['z (last try)'], [code]]);
  });

  it('writes down later what could not be noted: before anything else is done to the plugin', async () => {
    const { world, loads, locks, noted, codes } = makeLoads({
      pending: ['other', 'z'],
      promised: ['z'],
      failing: ['runtime.begins other'],
    });
    await loads.promised();
    await loads.takeUp();
    await (
      await locks.hold('other')
    )();
    expect([noted, codes()]).toEqual([['z (last try)'], ['NO_SPACE', 'NO_SPACE']]);
    world.failing = [];
    await (
      await locks.hold('other')
    )();
    await (
      await locks.hold('other')
    )();
    expect(noted).toEqual(['z (last try)', 'other']);
  });

  it('does not begin for a promise alone that cannot be marked as tried: it would run at every start', async () => {
    const { world, loads, noted } = makeLoads({
      pending: ['a', 'other'],
      promised: ['a'],
      failing: ['runtime.begins a'],
    });
    await loads.promised();
    expect(await loads.takeUp()).toBe(false);
    world.failing = [];
    expect(await loads.takeUp()).toBe(true);
    expect(noted).toEqual(['other', 'a (last try)', 'other']);
  });

  it('begins for what was promised since, whatever cannot be marked', async () => {
    const { world, loads } = makeLoads({
      pending: ['a', 'b'],
      promised: ['a'],
      failing: ['runtime.begins a'],
    });
    await loads.promised();
    world.promised = ['a', 'b'];
    expect(await loads.takeUp()).toBe(true);
  });

  it('keeps what was promised where nobody can say what waits', async () => {
    const { world, loads, noted } = makeLoads({
      pending: ['a'],
      promised: ['a'],
      failing: ['runtime.pending'],
    });
    await loads.promised();
    expect((await faultOf(loads.takeUp())).code).toBe('NO_SPACE');
    world.failing = [];
    expect(await loads.takeUp()).toBe(true);
    expect(noted).toEqual(['a (last try)']);
  });
});
