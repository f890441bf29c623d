/** House-keeping with threads that answer as the test says. */
import { describe, expect, it } from 'vitest';
import * as z from 'zod';

import { WorkerClient } from '../../agent/worker/client.ts';
import { inventoryOf } from '../../agent/service/inventory.ts';
import { Maintenance } from '../../agent/service/maintenance.ts';
import type { Listener } from '../../agent/worker/pool.ts';
import type { FromEngine, ToEngine } from '../../agent/worker/messages.ts';
import { layoutOf } from '../../shared/format/layout.ts';
import { Fault } from '../../shared/api/fault.ts';
import { STAMP } from '../_kit/engines.ts';
import { faultOf } from '../_kit/scene.ts';

type World = {
  unfinished: string[];
  known: string[];
  /** Somebody works on these. */
  busy: string[];
  /** What fails, as `kind plugin`, and with what; `crash` takes the thread with it. */
  failing: Record<string, Fault | 'crash'>;
  /** The lock of these cannot be made. */
  unlockable: string[];
  /** There is nothing to do for these. */
  tidy: string[];
  /** How many answers are remembered. */
  answers: number;
  /** How many reports got no name. */
  drafts: number;
  /** The names of histories, all of them old. */
  histories: string[];
  /** The root cannot be looked at. */
  unreadable: boolean;
};

function makeCare(changes: Partial<World> = {}) {
  const world: World = {
    unfinished: [],
    known: [],
    busy: [],
    failing: {},
    unlockable: [],
    tidy: [],
    answers: 5,
    drafts: 0,
    histories: [],
    unreadable: false,
    ...changes,
  };
  /** What was done, in its order. */
  const done: string[] = [];
  const held = new Set<string>();
  const answersFor = (plugin: string): Record<string, unknown> => ({
    plan: world.tidy.includes(plugin) ? undefined : { expired: [], touched: undefined, receipts: true },
    recover: [{ plugin, stamp: STAMP, rows: [4] }],
    sweep: { snapshots: [`${plugin}.one`], receipts: [`${plugin}.two`], adopted: plugin === 'touched' },
    forget: 3,
    expired: world.histories,
    remove: plugin !== 'back',
  });
  const play = (task: ToEngine, { message, crash }: Listener): void => {
    if (task.kind !== 'call') throw new Error(`Nobody expects "${task.kind}"`);
    const { plugin } = z.object({ plugin: z.string().default('') }).parse(task.params ?? {});
    const kind = task.name.split('.').at(-1) ?? '';
    done.push(`${kind} ${plugin}`.trim() + (held.has(plugin) ? ' (held)' : ''));
    const failure = world.failing[`${kind} ${plugin}`.trim()];
    if (failure === 'crash') return crash(new Fault('INTERNAL', 'Crashed', { executed: 'maybe' }));
    const answer: FromEngine =
      failure === undefined
        ? { kind: 'answer', answer: answersFor(plugin)[kind] }
        : { kind: 'failed', fault: failure.toData(), stack: undefined };
    message(answer);
    message({ kind: 'done' });
  };
  const pool = {
    lease: (listener: Listener) =>
      Promise.resolve({
        say: (task: ToEngine) => queueMicrotask(() => play(task, listener)),
        release: () => undefined,
      }),
  };
  const pluginLocks = {
    tryHold: (plugin: string) => {
      if (world.unlockable.includes(plugin)) return Promise.reject(new Fault('READ_ONLY', 'By the test'));
      if (world.busy.includes(plugin)) return Promise.resolve(undefined);
      held.add(plugin);
      return Promise.resolve(async () => void held.delete(plugin));
    },
  };
  const worker = new WorkerClient(pool, { tell: () => undefined, complain: () => undefined });
  const stock = {
    unfinished: async () => {
      if (world.unreadable) return inventoryOf(layoutOf('/nowhere/at/all')).unfinished();
      return world.unfinished;
    },
    known: async () => world.known,
    answers: async () => world.answers,
    drafts: async () => world.drafts,
    histories: async () => world.histories,
  };
  return { maintenance: new Maintenance(worker, pluginLocks, stock), done, held };
}

const items = <T>(...list: T[]): { items: T[]; total: number } => ({ items: list, total: list.length });

describe('recovery', () => {
  it('goes over every plugin of which something is left, each under its lock', async () => {
    const { maintenance, done, held } = makeCare({ unfinished: ['a', 'b'], known: ['a', 'b', 'c'] });
    expect(await maintenance.recover()).toEqual({
      recovered: items(...['a', 'b'].map((plugin) => ({ plugin, stamp: STAMP, rows: [4] }))),
      busy: items(),
      failed: items(),
    });
    expect(done).toEqual(['recover a (held)', 'recover b (held)']);
    expect(held.size).toBe(0);
  });

  it('of one plugin looks at that one alone, whatever is left of it', async () => {
    const { maintenance, done } = makeCare({ unfinished: ['a'] });
    await maintenance.recover('b');
    expect(done).toEqual(['recover b (held)']);
  });

  it('leaves alone what is being changed, and says so', async () => {
    const { maintenance, done } = makeCare({ unfinished: ['a', 'b'], busy: ['a'] });
    expect(await maintenance.recover()).toMatchObject({ busy: items('a'), recovered: { total: 1 } });
    expect(await maintenance.recover('a')).toMatchObject({ busy: items('a'), recovered: items() });
    expect(done).toEqual(['recover b (held)']);
  });

  it('lists what failed, also a thread that crashed and a lock that cannot be made, and goes on', async () => {
    const { maintenance, done, held } = makeCare({
      unfinished: ['a', 'b', 'c', 'd'],
      failing: { 'recover a': new Fault('NO_SPACE', 'Full'), 'recover b': 'crash' },
      unlockable: ['c'],
    });
    const result = await maintenance.recover();
    expect(result).toMatchObject({
      recovered: { items: [{ plugin: 'd' }], total: 1 },
      busy: items(),
      failed: {
        items: [
          { plugin: 'a', error: { code: 'NO_SPACE' } },
          { plugin: 'b', error: { code: 'INTERNAL' } },
          { plugin: 'c', error: { code: 'READ_ONLY' } },
        ],
        total: 3,
      },
    });
    expect(done.at(-1)).toBe('recover d (held)');
    expect(held.size).toBe(0);
  });

  it('fails where nobody can say what is left', async () => {
    const { maintenance } = makeCare({ unreadable: true });
    const message: unknown = expect.stringMatching(/^Listing the root failed: ENOENT/);
    const said = { code: 'INTERNAL', message };
    expect(await faultOf(maintenance.recover())).toMatchObject(said);
    expect(await faultOf(maintenance.sweep())).toMatchObject(said);
  });
});

describe('a sweep', () => {
  it('recovers what is unfinished, sweeps every plugin, forgets what is old, and says what it did', async () => {
    const { maintenance, done, held } = makeCare({ unfinished: ['gone'], known: ['a', 'touched'] });
    expect(await maintenance.sweep()).toEqual({
      recovered: items({ plugin: 'gone', stamp: STAMP, rows: [4] }),
      snapshots: items('a.one', 'gone.one', 'touched.one'),
      receipts: items('a.two', 'gone.two', 'touched.two'),
      adopted: items('touched'),
      histories: 0,
      operations: 3,
      busy: items(),
      failed: items(),
    });
    expect(done).toEqual([
      'plan a',
      'sweep a (held)',
      'recover gone (held)',
      'plan gone',
      'sweep gone (held)',
      'plan touched',
      'sweep touched (held)',
      'forget',
    ]);
    expect(held.size).toBe(0);
  });

  it('does not sweep what it could not recover, skips what is busy, and does the rest', async () => {
    const { maintenance, done, held } = makeCare({
      unfinished: ['a', 'b'],
      known: ['a', 'b', 'c'],
      busy: ['b'],
      failing: { 'recover a': 'crash' },
    });
    expect(await maintenance.sweep()).toMatchObject({
      busy: items('b'),
      failed: { items: [{ plugin: 'a', error: { code: 'INTERNAL', executed: 'maybe' } }], total: 1 },
      snapshots: items('c.one'),
      operations: 3,
    });
    expect(done).toEqual(['recover a (held)', 'plan c', 'sweep c (held)', 'forget']);
    expect(held.size).toBe(0);
  });

  it('reads what takes long without the lock, and does nothing under it where there is nothing to do', async () => {
    const { maintenance, done } = makeCare({ known: ['a', 'b', 'c'], tidy: ['a'], busy: ['b'] });
    expect(await maintenance.sweep()).toMatchObject({ busy: items('b'), snapshots: items('c.one') });
    expect(done).toEqual(['plan a', 'plan c', 'sweep c (held)', 'forget']);
  });

  // Was a bug: every plugin that was left counted as failed, each with a thread that crashed.
  it('ends where the agent does, and says so', async () => {
    const draining = new Fault('DRAINING', 'The agent is shutting down', { executed: 'maybe' });
    const { maintenance, done, held } = makeCare({ known: ['a', 'b'], failing: { 'sweep a': draining } });
    expect(await faultOf(maintenance.sweep())).toMatchObject({ code: 'DRAINING', executed: 'maybe' });
    expect([done, held.size]).toEqual([['plan a', 'sweep a (held)'], 0]);
  });

  it('starts a thread for what belongs to no plugin only where there is something', async () => {
    const about = async (world: Partial<World>): Promise<string[]> => {
      const { maintenance, done } = makeCare({ answers: 0, ...world });
      await maintenance.sweep();
      return done;
    };
    expect(await about({})).toEqual([]);
    expect(await about({ drafts: 1 })).toEqual(['forget']);
    expect(await about({ answers: 1 })).toEqual(['forget']);
  });

  it('removes old histories of plugins that are gone, under the lock', async () => {
    const { maintenance, done } = makeCare({ histories: ['gone', 'back'], busy: ['busy'], answers: 0 });
    expect(await maintenance.sweep()).toMatchObject({ histories: 1 });
    expect(done).toEqual(['expired', 'remove gone (held)', 'remove back (held)']);
    const known = makeCare({ histories: ['a'], known: ['a'], tidy: ['a'], answers: 0 });
    expect(await known.maintenance.sweep()).toMatchObject({ histories: 0 });
    expect(known.done).toEqual(['plan a']);
  });

  it('cuts long lists and keeps the total', async () => {
    const known = Array.from({ length: 150 }, (_, i) => `plugin-${i}`);
    const { maintenance } = makeCare({ known });
    const { snapshots } = await maintenance.sweep();
    expect([snapshots.items.length, snapshots.total]).toEqual([100, 150]);
  });
});
