/** The agent's watcher among what goes wrong around it: what it asks fails, and operations go on beside it. */
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';

import { expect, it, onTestFinished } from 'vitest';

import type { WorkerClient } from '../../agent/worker/client.ts';
import type { HandlerName } from '../../agent/worker/handlers.ts';
import { type Deferred, deferred } from '../../agent/worker/deferred.ts';
import { openWatchBridge } from '../../agent/service/watch-bridge.ts';
import type { EventBody } from '../../shared/api/events.ts';
import type { PluginInfo } from '../../shared/api/plugin.ts';
import { createIgnore } from '../../shared/format/tree.ts';
import { truncate } from '../../shared/truncate.ts';
import type { Admission } from '../../watch/ports.ts';
import { scratch } from '../_kit/agent.ts';
import { FakeClock } from '../_kit/clock.ts';
import { until as patiently } from '../_kit/until.ts';

const STAMP = '20260508T141530123Z-9f86d081';
const LATER = '20260509T141530123Z-0a1b2c3d';
const SKILL = 'skills/a/SKILL.md';

async function begin(admission: (path: string) => Promise<Admission>) {
  const root = join(await scratch(), 'plugins');
  const live = join(root, 'lint');
  await mkdir(join(live, 'skills/a'), { recursive: true });
  await writeFile(join(live, SKILL), 'one');
  const clock = new FakeClock();
  /** How long (milliseconds) each time before it is started again. */
  const pauses: unknown[] = [];
  const told: EventBody[] = [];
  const errors: object[] = [];
  const shelf: { list: () => Promise<PluginInfo[]> } = { list: async () => [] };
  /** What the agent itself is doing. */
  let doing = Promise.resolve();
  /** What the watcher does in turn with the agent. */
  const turns = { waiting: 0, over: 0 };
  const log = () => undefined;
  const error = (fields: object): void => {
    errors.push(fields);
    if ('againMillis' in fields) pauses.push(fields.againMillis);
  };
  const call = async (name: HandlerName, params: Record<string, unknown>): Promise<unknown> => {
    if (name === 'watch.admission') return admission(live);
    if (name === 'watch.installed') return undefined;
    if (name === 'plugin.list') {
      return { answer: { plugins: truncate(await shelf.list()) }, lines: undefined };
    }
    if (name !== 'watch.known') throw new Error(`Nobody expects "${name}"`);
    const { stamp, generation } = params;
    return stamp === generation ? undefined : { stamp: generation, loaded: 'live' };
  };
  const watching = openWatchBridge({
    root,
    ignore: createIgnore(),
    polling: false,
    givesAway: false,
    worker: { call: call as WorkerClient['call'] },
    turn: async (_plugin, task) => {
      turns.waiting += 1;
      await doing;
      turns.waiting -= 1;
      await task();
      turns.over += 1;
    },
    tell: (event) => told.push(event),
    clock,
    log: { info: log, warn: log, error },
  });
  onTestFinished(() => watching.close());
  /** Lets bursts settle until something is so. */
  const until = (look: () => void): Promise<void> =>
    patiently(() => {
      clock.advance(100);
      look();
    });
  const isOn = (): void => expect(watching.status().mode).toBe('on');
  const during = (work: Promise<void>): void => {
    doing = work;
  };
  return { root, live, clock, told, errors, shelf, watching, pauses, turns, until, isOn, during };
}

const admitted = (path: string, installId = STAMP): Admission => ({
  status: 'admitted',
  path,
  generation: installId,
  installId,
  hotReload: undefined,
});

const swapped = (installId: string): EventBody => ({
  type: 'install.swapped',
  data: { operationId: 'operation-1', plugin: 'lint', installId, replaced: null },
});

it('a watcher that cannot begin is started again after growing pauses, and tells so', async () => {
  let works = false;
  const { clock, watching, pauses, isOn } = await begin(async (path) => {
    if (!works) throw new Error('no thread');
    return admitted(path);
  });
  const growing = [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000];
  for (const [i, millis] of growing.entries()) {
    await patiently(() => expect(pauses).toEqual(growing.slice(0, i + 1)));
    expect(watching.status().mode).toBe('failed');
    clock.advance(millis - 1);
    // The timer still runs, so nothing was started.
    expect([clock.running, pauses.length]).toEqual([1, i + 1]);
    works = i === growing.length - 1;
    clock.advance(1);
  }
  await patiently(isOn);
  const { notices } = watching.status();
  expect(notices).toHaveLength(growing.length);
  expect(new Set(notices)).toEqual(new Set([expect.stringContaining('no thread')]));
});

it('one that breaks whenever something changes is not started again and again in haste', async () => {
  let works = true;
  const { live, clock, told, watching, pauses, until, isOn } = await begin(async (path) => {
    if (!works) throw new Error('no thread');
    return admitted(path);
  });
  for (const [i, millis] of [1000, 2000, 4000].entries()) {
    await patiently(isOn);
    works = false;
    await writeFile(join(live, SKILL), `change ${i}`);
    await until(() => expect(watching.status().mode).toBe('failed'));
    expect(pauses.at(-1)).toBe(millis);
    works = true;
    clock.advance(millis);
  }
  await patiently(isOn);
  // Each time it runs again how it all is now is told, for nobody knows what was edited meanwhile.
  const snapshot = { type: 'snapshot', data: { plugins: { items: [], total: 0 } } };
  await patiently(() => expect(told).toEqual([snapshot, snapshot, snapshot]));
  // It ran for long: what breaks it now is something new.
  clock.advance(100_000);
  works = false;
  await writeFile(join(live, SKILL), 'much later');
  await until(() => expect(watching.status().mode).toBe('failed'));
  expect(pauses.at(-1)).toBe(1000);
});

/** A watcher that is begun again after it could not begin, and that is just asking how it all is. */
async function asking() {
  let works = false;
  const place = await begin(async (path) => {
    if (!works) throw new Error('no thread');
    return admitted(path);
  });
  await patiently(() => expect(place.pauses).toHaveLength(1));
  const lists: Deferred<PluginInfo[]>[] = [];
  place.shelf.list = () => {
    const list = deferred<PluginInfo[]>();
    lists.push(list);
    return list.promise;
  };
  works = true;
  place.clock.advance(1000);
  await patiently(() => expect(lists).toHaveLength(1));
  return { ...place, lists };
}

const info = (installId: string): PluginInfo => ({ name: 'lint', status: 'admitted', installId });

it('a snapshot never says how things were before an event that it comes behind', async () => {
  const { told, watching, lists, until } = await asking();
  watching.heard(swapped(LATER));
  lists[0]?.resolve([info(STAMP)]);
  // Was a bug: it listed again at once, for as long as events came faster than a list.
  await until(() => expect(lists).toHaveLength(2));
  expect(told).toEqual([]);
  watching.heard({
    type: 'install.progress',
    data: { operationId: 'operation-2', plugin: 'lint', step: 'receive', received: 1, total: 2, entries: 0 },
  });
  lists[1]?.resolve([info(LATER)]);
  await patiently(() => expect(told).toHaveLength(1));
  expect(told).toMatchObject([{ type: 'snapshot', data: { plugins: { items: [{ installId: LATER }] } } }]);
  expect(lists).toHaveLength(2);
});

it('a snapshot that is not there at the end is nothing that went wrong', async () => {
  const { errors, told, watching, lists } = await asking();
  const before = errors.length;
  await watching.close();
  lists[0]?.reject(new Error('the threads have ended'));
  for (let i = 0; i < 10; i += 1) await turn();
  expect([errors.length, told]).toEqual([before, []]);
});

it('it ends, and is not started again, while it waits to be started', async () => {
  let asked = 0;
  const { clock, watching } = await begin(async () => {
    asked += 1;
    throw new Error('no thread');
  });
  await patiently(() => expect(watching.status().mode).toBe('failed'));
  await watching.close();
  const before = asked;
  expect(clock.running).toBe(0);
  clock.advance(1_000_000);
  for (let i = 0; i < 10; i += 1) await turn();
  expect(asked).toBe(before);
});

const TAKEN_BACK: readonly [
  what: string,
  half: (path: string) => Admission,
  make: (live: string) => Promise<void>,
][] = [
  [
    'a swap',
    (path) => admitted(path, LATER),
    async (live) => {
      await mkdir(join(live, 'skills/a'), { recursive: true });
      await writeFile(join(live, SKILL), 'two');
    },
  ],
  ['a removal', () => ({ status: 'absent' }), async () => undefined],
];

it.each(TAKEN_BACK)(
  '%s that its operation takes back is not told, nor is the return',
  async (_, half, make) => {
    let now: (path: string) => Admission = (path) => admitted(path);
    const { root, live, told, turns, until, isOn, during } = await begin(async (path) => now(path));
    await patiently(isOn);
    let end = (): void => undefined;
    during(new Promise((resolve) => (end = resolve)));
    now = half;
    await rename(live, join(root, '.away'));
    await make(live);
    // The watcher has looked in the middle of the operation.
    await until(() => expect(turns.waiting).toBe(1));
    await rm(live, { recursive: true, force: true });
    await rename(join(root, '.away'), live);
    now = (path) => admitted(path);
    end();
    await writeFile(join(live, 'hook'), 'an edit afterwards');
    await until(() => expect(told).not.toEqual([]));
    expect(told).toMatchObject([
      { data: { cause: 'edit', reasons: { items: [{ path: 'hook' }], total: 1 } } },
    ]);
  },
);

it('what is half-way there in the middle of an operation is not told as an edit', async () => {
  let now: (path: string) => Admission = (path) => admitted(path);
  const { root, live, told, watching, turns, until, isOn, during } = await begin(async (path) => now(path));
  await patiently(isOn);
  const before = turns.over;
  let end = (): void => undefined;
  during(new Promise((resolve) => (end = resolve)));
  // As where a version is copied out of an image layer: first its marker goes, then all the rest.
  now = () => ({ status: 'refused', why: 'no-marker' });
  await rm(join(live, SKILL));
  await until(() => expect(turns.waiting).toBe(1));
  await rename(live, join(root, '.away'));
  await mkdir(join(live, 'skills/a'), { recursive: true });
  await writeFile(join(live, SKILL), 'two');
  now = (path) => admitted(path, LATER);
  watching.heard(swapped(LATER));
  end();
  // After the operation it looks again, makes sure of the version that it finds, and hears that it is the agent's own.
  await until(() => expect(turns).toEqual({ waiting: 0, over: before + 3 }));
  expect(told).toEqual([]);
  await writeFile(join(live, 'hook'), 'an edit afterwards');
  await until(() => expect(told).toHaveLength(1));
  expect(told).toMatchObject([{ data: { cause: 'edit', reasons: { items: [{ path: 'hook' }] } } }]);
});

it('a hot edit is not told behind an operation that came after it', async () => {
  const { live, told, watching, turns, until, isOn, during } = await begin(async (path) => admitted(path));
  await patiently(isOn);
  const before = turns.over;
  let end = (): void => undefined;
  during(new Promise((resolve) => (end = resolve)));
  await writeFile(join(live, SKILL), 'edited');
  await until(() => expect(turns.waiting).toBe(1));
  // Cold, say, and nobody restarts for it: whoever then heard that skills can be read again would be misled.
  watching.heard(swapped(LATER));
  end();
  await until(() => expect(turns).toEqual({ waiting: 0, over: before + 1 }));
  expect(told).toEqual([]);
});

it('a removal by hand is not told behind an install that came after it', async () => {
  let now: (path: string) => Admission = (path) => admitted(path);
  const { live, told, watching, turns, until, isOn, during } = await begin(async (path) => now(path));
  await patiently(isOn);
  const before = turns.over;
  let end = (): void => undefined;
  let asked = 0;
  now = () => {
    asked += 1;
    // The install begins when the watcher has made sure of the removal.
    if (asked === 2) during(new Promise((resolve) => (end = resolve)));
    return { status: 'absent' };
  };
  await rm(live, { recursive: true });
  await until(() => expect(turns).toEqual({ waiting: 1, over: before + 1 }));
  watching.heard(swapped(LATER));
  end();
  await until(() => expect(turns).toEqual({ waiting: 0, over: before + 2 }));
  expect(told).toEqual([]);
});

it.each([
  ['removed', { status: 'absent' }],
  ['replaced by something else', { status: 'refused', why: 'symlink' }],
] as const)('a version that is %s by hand before the watcher has seen it is told once', async (_, after) => {
  let now: Admission = { status: 'absent' };
  const { root, live, told, watching, turns, until, isOn, during } = await begin(async () => now);
  await patiently(isOn);
  let end = (): void => undefined;
  during(new Promise((resolve) => (end = resolve)));
  now = after;
  await rename(live, join(root, '.away'));
  // The agent reports its install when the watcher has already looked, or before.
  watching.heard(swapped(STAMP));
  await until(() => expect(turns.waiting).toBe(1));
  end();
  await until(() => expect(told).toHaveLength(1));
  expect(told).toMatchObject([
    { type: 'plugin.changed', data: { plugin: 'lint', kind: 'cold', cause: 'edit' } },
  ]);
  const { over } = turns;
  await mkdir(live);
  await rm(live, { recursive: true });
  await mkdir(live);
  await until(() => expect(turns.over).toBeGreaterThan(over));
  await until(() => expect(turns.waiting).toBe(0));
  expect(told).toHaveLength(1);
});

it('a loss that is seen again before it is told is told once', async () => {
  let now = (): Admission => ({ status: 'absent' });
  const { live, told, watching, turns, until, isOn, during } = await begin(async () => now());
  await patiently(isOn);
  let end = (): void => undefined;
  let asked = 0;
  now = () => {
    asked += 1;
    // The watcher has made sure of the loss: telling it waits behind an operation.
    if (asked === 2) during(new Promise((resolve) => (end = resolve)));
    return { status: 'absent' };
  };
  watching.heard(swapped(STAMP));
  await rm(live, { recursive: true });
  await until(() => expect([asked, turns.waiting]).toEqual([2, 1]));
  await mkdir(live);
  await rm(live, { recursive: true });
  await until(() => expect(asked).toBe(3));
  end();
  await until(() => expect(turns.waiting).toBe(0));
  expect(told).toHaveLength(1);
});

it('an install and a removal by the agent within one burst are no loss', async () => {
  const { live, told, watching, turns, until, isOn } = await begin(async () => ({ status: 'absent' }));
  await patiently(isOn);
  watching.heard(swapped(STAMP));
  watching.heard({
    type: 'plugin.removed',
    data: { operationId: 'operation-2', plugin: 'lint', installId: STAMP, by: 'platform' },
  });
  const { over } = turns;
  await rm(live, { recursive: true });
  await mkdir(live);
  await until(() => expect(turns.over).toBe(over));
  expect(told).toEqual([]);
});
