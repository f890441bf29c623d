import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { describe, expect, test } from 'vitest';

import { ask, createGate } from '../../loader/gate.ts';
import { type GateAnswer, createLoader } from '../../loader/index.ts';
import { createMemory } from '../../loader/memory.ts';
import { readOptions } from '../../loader/settings.ts';
import { PAUSES } from '../../loader/transition.ts';
import { type Pause, pause as realPause } from '../../shared/clock.ts';
import type { Intent } from '../../shared/format/intent.ts';
import type { Layout } from '../../shared/format/layout.ts';
import { LATER, STAMP, install, makeRoot, writeIntent } from '../_kit/loader-root.ts';

/** A plugin that has just been renamed away. */
async function away(intent?: Partial<Intent>): Promise<{ layout: Layout; intentPath: string }> {
  const layout = await makeRoot();
  await install(layout, 'lint');
  await rename(layout.live('lint'), layout.snapshot('lint', LATER));
  return { layout, intentPath: await writeIntent(layout, 'lint', intent) };
}

const comeBack = ({ layout }: { layout: Layout }): Promise<void> =>
  rename(layout.snapshot('lint', LATER), layout.live('lint'));

/** The answer, and for how long the gate chose to wait for it: a busy machine makes everything else longer. */
async function timed(layout: Layout, signal?: AbortSignal): Promise<{ answer: GateAnswer; millis: number }> {
  let millis = 0;
  const counted: Pause = async (more, until) => {
    millis += more;
    await realPause(more, until);
  };
  const settings = readOptions({ roots: [layout.root], signal }, { pause: counted });
  const answer = await ask(createGate(settings, createMemory()), settings, 'lint');
  return { answer, millis };
}

test('the pauses grow from 5 to 50 ms and come to at most 2 s', () => {
  expect(PAUSES[0]).toBe(5);
  expect(PAUSES.at(-1)).toBe(50);
  expect(PAUSES).toEqual(PAUSES.toSorted((a, b) => a - b));
  const sum = PAUSES.reduce((a, b) => a + b, 0);
  expect(sum).toBeGreaterThan(1900);
  expect(sum).toBeLessThanOrEqual(2000);
});

test.each(['rename', 'copy'] as const)(
  'an absent plugin is waited for while a swap by %s is under way',
  async (path) => {
    const world = await away({ path });
    const done: string[] = [];
    const answering = timed(world.layout).finally(() => done.push('answered'));
    await pause(80);
    done.push('came back');
    await comeBack(world);
    expect((await answering).answer.admitted).toBe(true);
    expect(done).toEqual(['came back', 'answered']);
  },
);

test.each([2, 3])(
  'what one swap has brought back and the next has taken away is waited for, at look %i',
  async (nth) => {
    const layout = await makeRoot();
    await install(layout, 'lint');
    await rename(layout.live('lint'), layout.snapshot('lint', LATER));
    const memory = createMemory();
    let queries = 0;
    // It was seen in the gap of a swap whose intent is gone by now; before the look the next swap has begun.
    const recall = async (path: string): Promise<undefined> => {
      queries += 1;
      if (queries === nth) {
        await writeIntent(layout, 'lint');
        setTimeout(() => void comeBack({ layout }), 80);
      }
      return void (await memory.recall(path));
    };
    const gate = createGate(readOptions({ roots: [layout.root] }), { ...memory, recall });
    expect(await gate('lint')).toMatchObject({ plugin: { generation: STAMP }, refusals: [] });
  },
);

test('in-transition: of swaps that follow each other only the waiting counts towards the 2 s', async () => {
  const { layout, intentPath } = await away();
  const memory = createMemory();
  let queries = 0;
  let millis = 0;
  const recall = async (path: string): Promise<undefined> => {
    queries += 1;
    await (queries % 3 === 0 ? writeIntent(layout, 'lint') : rm(intentPath, { force: true }));
    return void (await memory.recall(path));
  };
  const counted: Pause = async (more) => void (millis += more);
  const settings = readOptions({ roots: [layout.root] }, { pause: counted });
  const gate = createGate(settings, { ...memory, recall });
  expect(await gate('lint')).toMatchObject({ refusals: [{ reason: 'in-transition' }] });
  expect(millis).toBe(PAUSES.reduce((a, b) => a + b, 0));
});

test('in-transition: a swap that does not end is given up', async () => {
  const { layout } = await away();
  const { answer, millis } = await timed(layout);
  expect(answer).toMatchObject({ admitted: false, reason: 'in-transition', root: layout.root });
  expect(millis).toBeGreaterThan(1900);
});

test('waiting ends as soon as the intent is gone', async () => {
  const { layout, intentPath } = await away();
  setTimeout(() => void rm(intentPath), 50);
  const { answer } = await timed(layout);
  // A swap that is waited for to the end of the time is said to be in transition.
  expect(answer).toMatchObject({ reason: 'not-a-directory' });
});

test('an abort ends the waiting', async () => {
  const { layout } = await away();
  const abort = new AbortController();
  const reason = new Error('the runtime stops');
  setTimeout(() => abort.abort(reason), 50);
  await expect(timed(layout, abort.signal)).rejects.toBe(reason);
});

describe('absence is the answer at once', () => {
  test.each<[string, Partial<Intent>]>([
    ['of an exchange', { path: 'exchange' }],
    ['of a first install, which displaces nothing', { from: null }],
    ['of a removal', { op: 'remove' }],
    ['of another plugin with a longer name', { plugin: 'lint.extra' }],
  ])('where the intent is that %s', async (_, intent) => {
    const layout = await makeRoot();
    await writeIntent(layout, intent.plugin ?? 'lint', intent);
    const { answer, millis } = await timed(layout);
    expect(answer).toMatchObject({ reason: 'not-a-directory', detail: 'There is nothing of that name' });
    expect(millis).toBe(0);
  });

  test('and a scan does not name what a first install uploads', async () => {
    const layout = await makeRoot();
    await writeIntent(layout, 'lint', { from: null });
    expect(await createLoader({ roots: [layout.root] }).scan()).toMatchObject({ admitted: [], refused: [] });
  });

  test('where what lies in .staging is no intent', async () => {
    const layout = await makeRoot();
    await writeFile(layout.intent('lint', LATER), '{');
    await writeFile(layout.intent('lint', STAMP), '{"version":2}');
    await writeFile(join(layout.staging, 'lint.json'), '{}');
    await mkdir(layout.slot('lint', LATER));
    expect((await timed(layout)).millis).toBe(0);
  });
});

test('a large intent, which remembers a long answer, is waited for like any other', async () => {
  const { layout } = await away({ memory: { question: 'plugin.install', answer: 'a'.repeat(100_000) } });
  const { answer, millis } = await timed(layout);
  expect(answer).toMatchObject({ reason: 'in-transition' });
  expect(millis).toBeGreaterThan(1900);
});

test('a removal that is being undone is waited for', async () => {
  const world = await away({ op: 'remove', goal: 'back' });
  setTimeout(() => void comeBack(world), 50);
  expect((await timed(world.layout)).answer.admitted).toBe(true);
});
