/** `airlock restarted`, through an agent and without one: what was live when the runtime was restarted is loaded. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it, vi } from 'vitest';

import { restartedSchema } from '../../shared/api/runtime.ts';
import { type PluginInfo, pluginSchema } from '../../shared/api/plugin.ts';
import { type Scene, WAYS, inProcess, makeScene } from '../_kit/two-ways.ts';
import { until } from '../_kit/until.ts';

vi.setConfig({ testTimeout: 120_000 });

const NOTHING = { items: [], total: 0 };

async function lint({ said }: Scene): Promise<PluginInfo> {
  const [first] = pluginSchema.array().parse(await said(['list']));
  if (first === undefined) throw new Error('there is no plugin');
  return first;
}

/** A moment of the clock that lies behind everything that was done, and before everything that will be. */
async function betweenTimes(): Promise<string> {
  const after = Date.now() + 2;
  await until(() => expect(Date.now()).toBeGreaterThan(after), 1);
  const moment = Date.now();
  await until(() => expect(Date.now()).toBeGreaterThan(moment + 2), 1);
  return new Date(moment).toISOString();
}

/** As `date -Is` writes it, two hours east. */
const elsewhere = (moment: string): string =>
  new Date(Date.parse(moment) + 2 * 60 * 60 * 1000).toISOString().replace('Z', '+02:00');

describe.each(WAYS)('airlock restarted, %s', (way) => {
  it('loads what is live, ends what waits, and gives the same operation the same answer', async () => {
    const scene = await makeScene(way, [0]);
    if (way === 'on the root') await scene.program.serveHere();
    const { installId } = await scene.push(1, '--no-restart');
    if (way === 'on the root') await scene.program.stop();
    expect(await lint(scene)).toMatchObject({ pending: { installId } });
    const words = ['restarted', '--operation', 'operation-1'];
    const restarted = restartedSchema.strict().parse(await scene.said(words));
    const loaded = { items: [{ plugin: 'lint', generation: installId }], total: 1 };
    expect(restarted).toEqual({ loaded, pending: NOTHING });
    const after = await lint(scene);
    expect(after).toMatchObject({ loaded: installId });
    expect(after).not.toHaveProperty('pending');
    expect(await scene.said(words)).toEqual(restarted);
    const other = ['restarted', '--at', '2026-05-08T14:15:30Z', '--operation', 'operation-1'];
    expect(await scene.said(other, 1)).toMatchObject({ error: { code: 'CONFLICT' } });
  });

  it.each([
    ['yesterday'],
    ['1'],
    ['2026-05-08'],
    ['2026-05-08T14:15:30'],
    ['2026-13-08T14:15:30Z'],
    ['2026-05-08 14:15:30Z'],
    [''],
  ])('does not take "%s" for a moment', async (at) => {
    const target = way === 'on the root' ? ['--root', '/'] : ['--to', 'ws://127.0.0.1:1'];
    const { code, text } = await inProcess(['restarted', '--at', at, ...target]);
    expect([code, text]).toEqual([2, expect.stringContaining('2026-05-08T14:15:30Z')]);
  });
});

// On a root, what it says of the same is below.
it('airlock restarted leaves waiting what came after the restart had begun', async () => {
  const scene = await makeScene('through an agent', [0]);
  const [first] = scene.ids;
  const began = await betweenTimes();
  const { installId } = await scene.push(1, '--no-restart');
  expect(await scene.said(['restarted', '--at', elsewhere(began)])).toEqual({
    loaded: { items: [{ plugin: 'lint', generation: first }], total: 1 },
    pending: { items: ['lint'], total: 1 },
  });
  expect(await lint(scene)).toMatchObject({ loaded: first, pending: { installId, against: first } });
  expect(await scene.said(['restarted', '--at', '2000-01-01T00:00Z'])).toEqual({
    loaded: { items: [{ plugin: 'lint', generation: null }], total: 1 },
    pending: { items: ['lint'], total: 1 },
  });
  expect(await scene.said(['restarted', '--at', '2999-01-01T00:00:00Z'], 2)).toMatchObject({
    error: { code: 'INVALID_PARAMS' },
  });
  expect(await scene.said(['restarted'])).toMatchObject({ pending: NOTHING });
});

it('a report on the root counts for the agent that serves it', async () => {
  const scene = await makeScene('through an agent', [0]);
  const { installId } = await scene.push(1, '--no-restart');
  const { code } = await scene.program.here(['restarted', '--root', scene.program.root]);
  expect(code).toBe(0);
  const info = await lint(scene);
  expect(info).toMatchObject({ loaded: installId });
  expect(info).not.toHaveProperty('pending');
  const record = await readFile(join(scene.program.root, '.loaded', 'lint.json'), 'utf8');
  expect(JSON.parse(record)).toMatchObject({ generation: installId });
});

it('says to people what counts as loaded and what still waits', async () => {
  const scene = await makeScene('on the root', [0]);
  const [first = ''] = scene.ids;
  const began = await betweenTimes();
  await scene.program.serveHere();
  const { installId } = await scene.push(1, '--no-restart');
  await scene.program.stop();
  const shown = async (...words: string[]): Promise<string> =>
    (await inProcess(['restarted', ...words, ...scene.target])).text;
  expect(await shown('--at', '2000-01-01T00:00:00Z')).toBe(
    'unloaded  lint: it was not live then\nwaits     lint: its last change is not loaded yet\n0 plugins loaded; 1 still waiting for a restart\n',
  );
  expect(await shown('--at', began)).toBe(
    `loaded    lint (${first})\nwaits     lint: its last change is not loaded yet\n1 plugin loaded; 1 still waiting for a restart\n`,
  );
  expect(await shown()).toBe(
    `loaded    lint (${installId})\n1 plugin loaded; no change waits for another restart\n`,
  );
});
