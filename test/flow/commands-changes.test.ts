/**
 * Commands that change a plugin, through an agent and without one: the same answers either way. Both ways lead to the same
 * methods, so what a method does with its parameters is asked one way only.
 */
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it, vi } from 'vitest';

import type { Uninstalled } from '../../client/index.ts';
import { installedSchema, uninstalledSchema } from '../../shared/api/plugin.ts';
import { rollbackEndedBy } from '../_kit/killed-command.ts';
import { endOf } from '../_kit/program.ts';
import { WAYS, makeScene, settled, versions } from '../_kit/two-ways.ts';
import { until } from '../_kit/until.ts';
import { litterIn } from '../_kit/versions.ts';

vi.setConfig({ testTimeout: 120_000 });

describe('airlock rollback', () => {
  it.each(WAYS)('brings the version before back, and from there the other one, %s', async (way) => {
    const scene = await makeScene(way);
    const by = way === 'on the root' ? 'local' : 'token';
    const back = installedSchema.parse(await scene.said(['rollback', 'lint']));
    const expected = { status: 'rolled-back', pluginVersion: '1.0.1', by, replaced: scene.ids[1], files: 6 };
    expect(back).toMatchObject({ ...expected, reload: { action: 'restart', restarting: true } });
    expect(await scene.live()).toEqual({ kind: 'version', number: 1 });
    const forth = await scene.said(['rollback', 'lint', '--no-restart']);
    expect(forth).toMatchObject({
      pluginVersion: '1.0.2',
      replaced: back.installId,
      reload: { restarting: false },
    });
    expect(await scene.live()).toEqual({ kind: 'version', number: 2 });
    await settled(scene);
  });

  it.each(WAYS)('gives the same operation the same answer, and another a CONFLICT, %s', async (way) => {
    const scene = await makeScene(way);
    const first = await scene.said(['rollback', 'lint', '--operation', 'operation-1']);
    expect(await scene.said(['rollback', 'lint', '--operation', 'operation-1'])).toEqual(first);
    expect(await scene.live()).toEqual({ kind: 'version', number: 1 });
    for (const words of [
      ['rollback', 'lint', '--force'],
      ['uninstall', 'lint'],
    ]) {
      const error = { code: 'CONFLICT', executed: 'no' };
      expect(await scene.said([...words, '--operation', 'operation-1'], 1)).toMatchObject({ error });
    }
    expect(await scene.live()).toEqual({ kind: 'version', number: 1 });
  });

  it('takes the version that is named, and says which are kept where that one is not', async () => {
    const scene = await makeScene('through an agent');
    const [one = '', two = ''] = scene.ids;
    const refused = await scene.said(['rollback', 'lint', '--version', two], 1);
    expect(refused).toMatchObject({
      error: { code: 'NOT_FOUND', hint: expect.stringContaining(one) as string },
    });
    const conflict = await scene.said(['rollback', 'lint', '--expect', one], 1);
    expect(conflict).toMatchObject({ error: { code: 'CONFLICT' } });
    expect(await scene.live()).toEqual({ kind: 'version', number: 2 });
    const back = await scene.said(['rollback', 'lint', '--version', one, '--expect', two]);
    expect(back).toMatchObject({ pluginVersion: '1.0.1', replaced: two });
    expect(await scene.live()).toEqual({ kind: 'version', number: 1 });
  });

  it('keeps what it took away from coming back, also through an agent, unless that is forced', async () => {
    const scene = await makeScene('on the root');
    await scene.said(['rollback', 'lint']);
    await scene.program.serveHere();
    const file = join(scene.program.folder, '1.tgz');
    const held = await scene.program.here(['push', file, '--to', scene.program.url, '--json']);
    expect([held.code, JSON.parse(held.stdout)]).toMatchObject([
      1,
      { error: { code: 'HELD', executed: 'no' } },
    ]);
    expect(await scene.live()).toEqual({ kind: 'version', number: 1 });
    expect(await scene.push(1, '--force')).toMatchObject({ status: 'installed' });
    expect(await scene.live()).toEqual({ kind: 'version', number: 2 });
  });

  it('of a plugin that is held wants force', async () => {
    const scene = await makeScene('through an agent');
    const state = join(scene.program.root, '.state', 'lint.json');
    await writeFile(state, JSON.stringify({ version: 1, held: 'by the test' }));
    for (const words of [
      ['rollback', 'lint'],
      ['uninstall', 'lint'],
    ]) {
      expect(await scene.said(words, 1)).toMatchObject({ error: { code: 'HELD', status: 409 } });
    }
    expect(await scene.said(['rollback', 'lint', '--force'])).toMatchObject({ pluginVersion: '1.0.1' });
    expect(await scene.said(['uninstall', 'lint', '--force'])).toMatchObject({ status: 'removed' });
  });

  it('has nothing to bring back where nothing is kept', async () => {
    const scene = await makeScene('through an agent', [0]);
    for (const name of ['lint', 'nobody']) {
      expect(await scene.said(['rollback', name], 1)).toMatchObject({ error: { code: 'NOT_FOUND' } });
    }
    expect(await scene.live()).toEqual({ kind: 'version', number: 1 });
    await settled(scene);
  });
});

describe('airlock uninstall', () => {
  it.each(WAYS)('removes a plugin once, and a rollback brings it back, %s', async (way) => {
    const scene = await makeScene(way, [0]);
    const asked = ['uninstall', 'lint', '--operation', 'operation-1'];
    const first: Uninstalled = uninstalledSchema.parse(await scene.said(asked));
    expect(first).toMatchObject({
      plugin: 'lint',
      status: 'removed',
      installId: scene.ids[0],
      purged: false,
      reload: { kind: 'cold', action: 'restart', restarting: true },
    });
    expect(await scene.live()).toEqual({ kind: 'absent' });
    expect(await scene.said(asked)).toEqual(first);
    expect(await scene.said(['uninstall', 'lint'])).toMatchObject({
      status: 'absent',
      installId: null,
      reload: { kind: 'identical', action: 'none', restarting: false },
    });
    expect(await scene.said(['rollback', 'lint'])).toMatchObject({ status: 'rolled-back', replaced: null });
    expect(await scene.live()).toEqual({ kind: 'version', number: 1 });
    expect(await scene.said(asked)).toEqual(first);
    expect(await scene.live()).toEqual({ kind: 'version', number: 1 });
    await settled(scene);
  });

  it('leaves what the plugin has written for itself, unless it is to be purged', async () => {
    const scene = await makeScene('through an agent', [0]);
    const data = join(scene.program.root, '..', 'plugin-data');
    for (const name of ['lint', 'other']) {
      await mkdir(join(data, name), { recursive: true });
      await writeFile(join(data, name, 'notes'), 'notes');
    }
    await scene.said(['uninstall', 'lint']);
    expect((await readdir(data)).toSorted()).toEqual(['lint', 'other']);
    await scene.said(['rollback', 'lint']);
    expect(await scene.said(['uninstall', 'lint', '--purge', '--no-restart'])).toMatchObject({
      status: 'removed',
      purged: true,
      reload: { restarting: false },
    });
    expect(await readdir(data)).toEqual(['other']);
    expect(await readFile(join(data, 'other', 'notes'), 'utf8')).toBe('notes');
  });

  it('refuses while something else is live than expected', async () => {
    const scene = await makeScene('through an agent');
    const [one = '', two = ''] = scene.ids;
    expect(await scene.said(['uninstall', 'lint', '--expect', one], 1)).toMatchObject({
      error: { code: 'CONFLICT' },
    });
    expect(await scene.live()).toEqual({ kind: 'version', number: 2 });
    expect(await scene.said(['uninstall', 'lint', '--expect', two])).toMatchObject({ installId: two });
  });
});

describe('a change that is interrupted', () => {
  it('by SIGTERM to the agent is made whole or not at all, and the next agent goes on', async () => {
    const scene = await makeScene('on the root');
    await scene.program.serve();
    const words = ['rollback', 'lint', '--operation', 'operation-1', '--to', scene.program.url, '--json'];
    const ended = endOf(scene.program.start(words));
    await until(() =>
      expect(scene.program.log.some(({ event }) => event === 'install.rolled-back')).toBe(true),
    );
    expect(await scene.program.stop()).toBe(0);
    const { code, stdout } = await ended;
    expect([code, JSON.parse(stdout)]).toMatchObject([0, { status: 'rolled-back' }]);
    expect(await litterIn(scene.program.root, 'lint', versions)).toEqual([]);
    await scene.program.serve();
    const again = ['rollback', 'lint', '--operation', 'operation-1'];
    expect(await scene.program.json(again)).toEqual(JSON.parse(stdout));
    expect(await scene.live()).toEqual({ kind: 'version', number: 1 });
  });

  // All signals: test/crash/killed-commands.test.ts.
  it('by SIGINT to the command leaves a whole version', () => rollbackEndedBy('SIGINT'));
});
