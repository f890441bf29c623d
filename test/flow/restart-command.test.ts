/** What an agent with a command of its own does about cold changes. */
import { readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { scratch, startTestAgent } from '../_kit/agent.ts';
import { beginOf, pack, push } from '../_kit/bundle.ts';
import { get, put, version } from '../_kit/place.ts';
import { until } from '../_kit/until.ts';
import { Wire } from '../_kit/wire.ts';

describe('the restart command of an agent', () => {
  it('runs after cold changes, not after hot ones nor suppressed ones; what it ends well for is loaded', async () => {
    const folder = await scratch();
    const env = { AIRLOCK_RESTART_COMMAND: `echo run >> ${folder}/runs; printenv AIRLOCK_TOKEN; true` };
    const agent = await startTestAgent({ env });
    const wire = await Wire.start(agent);
    const { installId, reload } = await put(wire, await version('1', '1'));
    expect(reload).toMatchObject({ kind: 'cold', restarting: true });
    expect((await get(wire)).pending).toMatchObject({ restarting: true });
    await until(async () => expect(await get(wire)).toMatchObject({ loaded: installId }));
    expect((await get(wire)).pending).toBeUndefined();
    expect((await put(wire, await version('1', '2'))).reload.kind).toBe('skill-content-only');
    await put(wire, await version('2', '2'), false);
    expect((await get(wire)).pending).toMatchObject({ restarting: false });
    const event = wire.events.find(({ type }) => type === 'plugin.loaded');
    expect(event?.data).toEqual({ plugin: 'lint', generation: installId, cause: 'restart-command' });
    expect(await readFile(join(folder, 'runs'), 'utf8')).toBe('run\n');
  });

  it.each([
    ['still runs', 'true'],
    ['has failed', 'false'],
  ])('runs again for the version before that comes back while it %s', async (_, ending) => {
    const folder = await scratch();
    const runs = (): Promise<string> => readFile(join(folder, 'runs'), 'utf8');
    const slow = `while [ -e ${folder}/stop ]; do sleep 0.02; done; [ ! -e ${folder}/bad ] || ${ending}`;
    const agent = await startTestAgent({
      env: { AIRLOCK_RESTART_COMMAND: `echo run >> ${folder}/runs; ${slow}` },
    });
    const wire = await Wire.start(agent);
    await put(wire, await version('1', '1'));
    await until(async () => expect(await get(wire)).toHaveProperty('loaded'));
    await writeFile(join(folder, 'bad'), '');
    if (ending === 'true') await writeFile(join(folder, 'stop'), '');
    await put(wire, await version('2', '1'));
    await until(async () => expect(await runs()).toBe('run\nrun\n'));
    const back = await put(wire, await version('1', '1'));
    expect(back.reload).toMatchObject({ kind: 'cold', restarting: true });
    await rm(join(folder, 'bad'));
    await rm(join(folder, 'stop'), { force: true });
    await until(async () => expect(await get(wire)).toMatchObject({ loaded: back.installId }));
    expect((await get(wire)).pending).toBeUndefined();
    expect(await runs()).toBe('run\nrun\nrun\n');
  });

  it('that begins for another plugin may load what no restart was wanted for, also if it fails', async () => {
    const folder = await scratch();
    const env = { AIRLOCK_RESTART_COMMAND: `echo run >> ${folder}/runs; [ ! -e ${folder}/bad ]` };
    const agent = await startTestAgent({ env });
    const wire = await Wire.start(agent);
    await put(wire, await version('1', '1'));
    await until(async () => expect(await get(wire)).toHaveProperty('loaded'));
    await put(wire, await version('2', '1'), false);
    await writeFile(join(folder, 'bad'), '');
    const other = await pack({ 'plugin.yaml': 'name: other\nversion: 1.0.0\n' });
    await push(wire, beginOf('other', other), other);
    await until(async () => expect(await readFile(join(folder, 'runs'), 'utf8')).toBe('run\nrun\n'));
    expect((await get(wire)).pending).toMatchObject({ restarting: false });
    expect((await put(wire, await version('1', '1'))).reload.kind).toBe('cold');
  });

  it.each([
    ['while it runs', false],
    ['when it has ended well', true],
  ])('may load what was suppressed while it runs: the version before is cold, %s', async (_, hasEnded) => {
    const folder = await scratch();
    const slow = `while [ -e ${folder}/stop ]; do sleep 0.02; done`;
    const agent = await startTestAgent({
      env: { AIRLOCK_RESTART_COMMAND: `echo run >> ${folder}/runs; ${slow}` },
    });
    const wire = await Wire.start(agent);
    await put(wire, await version('1', '1'));
    await until(async () => expect(await get(wire)).toHaveProperty('loaded'));
    await writeFile(join(folder, 'stop'), '');
    const other = await pack({ 'plugin.yaml': 'name: other\nversion: 1.0.0\n' });
    await push(wire, beginOf('other', other), other);
    await until(async () => expect(await readFile(join(folder, 'runs'), 'utf8')).toBe('run\nrun\n'));
    await put(wire, await version('2', '1'), false);
    expect((await get(wire)).pending).toMatchObject({ restarting: false });
    if (hasEnded) {
      await rm(join(folder, 'stop'));
      await until(async () =>
        expect(await wire.request('status')).toMatchObject({
          restart: { state: 'idle', last: { ok: true } },
        }),
      );
      expect(await get(wire)).toMatchObject({ pending: { restarting: false } });
    }
    expect((await put(wire, await version('1', '1'), false)).reload.kind).toBe('cold');
    await rm(join(folder, 'stop'), { force: true });
  });

  it('that was promised and never ended well is made up for by the next agent', async () => {
    const first = await startTestAgent({ env: { AIRLOCK_RESTART_COMMAND: 'false' } });
    const wire = await Wire.start(first);
    const { installId } = await put(wire, await version('1', '1'));
    await first.close();
    const next = { root: first.layout.root, env: { AIRLOCK_RESTART_COMMAND: 'true' } };
    const again = await Wire.start(await startTestAgent(next));
    await until(async () => expect(await get(again)).toMatchObject({ loaded: installId }));
    expect((await get(again)).pending).toBeUndefined();
  });

  it('is still to be made up for after an agent that ended before it could begin', async () => {
    const first = await startTestAgent({ env: { AIRLOCK_RESTART_COMMAND: 'false' } });
    const { installId } = await put(await Wire.start(first), await version('1', '1'));
    await first.close();
    const next = { root: first.layout.root, env: { AIRLOCK_RESTART_COMMAND: 'true' } };
    await (await startTestAgent(next)).close();
    const again = await Wire.start(await startTestAgent(next));
    await until(async () => expect(await get(again)).toMatchObject({ loaded: installId }));
  });

  it('that never ends well runs once at the next start, and not at every one', async () => {
    const folder = await scratch();
    const runs = (): Promise<string> => readFile(join(folder, 'runs'), 'utf8');
    const env = { AIRLOCK_RESTART_COMMAND: `echo run >> ${folder}/runs; false` };
    const first = await startTestAgent({ env });
    await put(await Wire.start(first), await version('1', '1'));
    await until(async () => expect(await runs()).toBe('run\n'));
    await first.close();
    const { root } = first.layout;
    const second = await startTestAgent({ root, env });
    await until(async () => expect(await runs()).toBe('run\nrun\n'));
    expect((await get(await Wire.start(second))).pending).toMatchObject({ restarting: false });
    await second.close();
    const third = await startTestAgent({ root, env });
    const wire = await Wire.start(third);
    // The next cold change brings it back: what runs then runs once for both.
    await put(wire, await version('2', '1'));
    await until(async () => expect(await runs()).toBe('run\nrun\nrun\n'));
    expect((await get(wire)).pending).toMatchObject({ restarting: true });
  });

  // Was a bug: the lock of a plugin for which no restart was wanted kept the runtime from being restarted for the other.
  it('is made up for also where the lock of another plugin that waits cannot be taken', async () => {
    const env = { AIRLOCK_RESTART_COMMAND: 'false' };
    const first = await startTestAgent({ env });
    const wire = await Wire.start(first);
    for (const [i, number] of ['1.0.0', '2.0.0'].entries()) {
      const bundle = await pack({ 'plugin.yaml': `name: a-first\nversion: ${number}\n` });
      await push(wire, beginOf('a-first', bundle, i === 0 ? {} : { restart: false }), bundle);
    }
    const { installId } = await put(wire, await version('1', '1'));
    await first.close();
    const { layout } = first;
    await rm(join(layout.locks, 'a-first.lock'));
    await symlink('/nowhere', join(layout.locks, 'a-first.lock'));
    const next = { root: layout.root, env: { AIRLOCK_RESTART_COMMAND: 'true' } };
    const again = await Wire.start(await startTestAgent(next));
    await until(async () => expect(await get(again)).toMatchObject({ loaded: installId }));
  });
});
