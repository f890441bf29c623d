import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import { getPlugin, listPlugins } from '../../agent/store/inspect.ts';
import { stateOf } from '../../agent/store/records.ts';
import { noteLoaded } from '../../agent/change/runtime-reports.ts';
import { sweepPlugin } from '../../agent/change/sweep.ts';
import type { Reload } from '../../shared/rule/classify.ts';
import { SKILL, pendingOf, put, report, version } from '../_kit/hot-and-cold.ts';
import { type Room, deliver, makeRoom, plainDisk, remove, rollBack } from '../_kit/install-room.ts';

const changes = (room: Room): unknown[] =>
  room.events.flatMap(({ type, data }) => (type === 'plugin.changed' ? [data] : []));

describe('an update', () => {
  it('of skills alone is hot, names them, and nobody restarts', async () => {
    const room = makeRoom();
    expect((await put(room, version('1', '1'))).reload).toMatchObject({ kind: 'cold', restarting: true });
    const { reload } = await put(room, version('1', '2'));
    expect(reload).toMatchObject({ kind: 'skill-content-only', action: 'hot', restarting: false });
    expect(reload.reasons).toMatchObject({ items: [{ path: SKILL, change: 'modified' }], total: 1 });
  });

  it('of anything else is cold, and says why', async () => {
    const room = makeRoom();
    await put(room, version('1', '1'));
    const { reload } = await put(room, version('2', '2'));
    expect(reload).toMatchObject({ kind: 'cold', action: 'restart', restarting: true });
    expect(reload.reasons.items.map(({ path }) => path)).toEqual(['hooks/run.sh', SKILL]);
  });

  it('of a plugin that says hot_reload: false is cold', async () => {
    const room = makeRoom();
    await put(room, version('1', '1', 'hot_reload: false\n'));
    const { reload } = await put(room, version('1', '2', 'hot_reload: false\n'));
    expect(reload.kind).toBe('cold');
    expect(reload.reasons.items[0]?.why).toContain('hot_reload');
  });

  it('tells plugin.changed exactly once, with the operation as its cause; so do rollback and uninstall', async () => {
    const room = makeRoom();
    await deliver(room, version('1', '1'), { operationId: 'operation-a' });
    await deliver(room, version('1', '2'), { operationId: 'operation-b' });
    await deliver(room, version('1', '2'), { operationId: 'operation-c' });
    rollBack(room, { operationId: 'operation-d' });
    remove(room, { operationId: 'operation-e', restart: false });
    remove(room, { operationId: 'operation-f' });
    expect(changes(room)).toMatchObject([
      { plugin: 'lint', kind: 'cold', action: 'restart', restarting: true, cause: 'operation-a' },
      { kind: 'skill-content-only', action: 'hot', cause: 'operation-b' },
      { kind: 'skill-content-only', action: 'hot', cause: 'operation-d' },
      { kind: 'cold', action: 'restart', restarting: false, cause: 'operation-e' },
    ]);
  });
});

describe('a cold change whose restart was suppressed', () => {
  it('stays pending, and a later change of skills alone is cold until the runtime reports the load', async () => {
    const room = makeRoom();
    const first = await put(room, version('1', '1'));
    const second = await put(room, version('2', '1'), false);
    expect(second.reload).toMatchObject({ kind: 'cold', restarting: false });
    expect(pendingOf(room)).toMatchObject({
      installId: second.installId,
      against: first.installId,
      restarting: false,
      reasons: { items: [{ path: 'hooks/run.sh' }], total: 1 },
    });
    const third = await put(room, version('2', '2'));
    expect(third.reload).toMatchObject({ kind: 'cold', action: 'restart', restarting: true });
    expect(third.reload.reasons.items.map(({ path }) => path)).toEqual(['hooks/run.sh', SKILL]);
    const fourth = await put(room, version('2', '3'));
    expect(fourth.reload.kind).toBe('cold');
    expect(listPlugins(room.context)[0]?.pending).toBeDefined();

    report(room, fourth.installId);
    expect(pendingOf(room)).toBeUndefined();
    const fifth = await put(room, version('2', '4'));
    expect(fifth.reload).toMatchObject({ kind: 'skill-content-only', action: 'hot' });
    expect(stateOf(room.context, 'lint')?.runtime).toBeUndefined();
  });

  it('is over when what is loaded comes back', async () => {
    const room = makeRoom();
    await put(room, version('1', '1'));
    await put(room, version('2', '1'), false);
    room.clock.now += 1000;
    expect(rollBack(room).reload).toMatchObject({ kind: 'identical', action: 'none', restarting: false });
    expect(pendingOf(room)).toBeUndefined();
    expect(readdirSync(room.layout.state)).toEqual(['lint.json']);
  });

  it('is over for a change that differs from what is loaded by skills alone', async () => {
    const room = makeRoom();
    await put(room, version('1', '1'));
    await put(room, version('2', '1'), false);
    expect((await put(room, version('1', '2'))).reload.kind).toBe('skill-content-only');
    expect(pendingOf(room)).toBeUndefined();
  });

  it('keeps receipt and snapshot of what is taken to be loaded, whatever is swept', async () => {
    const room = makeRoom({ keep: 0, keepMillis: 0 });
    const { installId } = await put(room, version('1', '1'));
    await put(room, version('2', '1'), false);
    await put(room, version('3', '1'), false);
    room.clock.now += 1000;
    sweepPlugin(room.context, 'lint');
    expect(readdirSync(room.layout.receipts)).toContain(`lint.${installId}.json`);
    expect((await put(room, version('1', '9'))).reload.kind).toBe('skill-content-only');
  });

  it('keeps the receipts of all that may be loaded, whatever is swept', async () => {
    const room = makeRoom({ keep: 0, keepMillis: 0 });
    const { installId: loaded } = await put(room, version('1', '1'));
    report(room, loaded);
    const { installId: between } = await put(room, version('2', '1'));
    const { installId: live } = await put(room, version('1', '1'));
    room.clock.now += 1000;
    sweepPlugin(room.context, 'lint');
    const kept = [loaded, between, live].map((one) => `lint.${one}.json`);
    expect(readdirSync(room.layout.receipts)).toEqual(kept.toSorted());
    expect(readdirSync(room.layout.previous).length).toBe(1);
    expect(pendingOf(room)?.reasons.items.map(({ path }) => path)).toEqual(['hooks/run.sh']);
  });

  it('is taken back with an install that fails at its swap', async () => {
    const room = makeRoom();
    await put(room, version('1', '1'));
    const broken = {
      ...plainDisk,
      rename: (from: string, to: string) => {
        if (to === room.layout.live('lint') && from.includes('.staging')) {
          throw Object.assign(new Error('EIO'), { code: 'EIO' });
        }
        plainDisk.rename(from, to);
      },
    };
    const failing = { ...room, context: { ...room.context, disk: broken } };
    await expect(put(failing, version('2', '1'), false)).rejects.toThrow('EIO');
    expect(pendingOf(room)).toBeUndefined();
    expect((await put(room, version('1', '2'))).reload.kind).toBe('skill-content-only');
  });

  it('of a plugin that is removed is shown though nothing is live; to install it again is cold', async () => {
    const room = makeRoom();
    const { installId } = await put(room, version('1', '1'));
    report(room, installId);
    remove(room, { restart: false });
    expect(getPlugin(room.context, 'lint')).toMatchObject({
      status: 'absent',
      detail: 'It is removed, and the runtime may still have it loaded',
      hint: expect.stringContaining('airlock restarted') as string,
      pending: { installId: null, against: installId },
    });
    expect(getPlugin(room.context, 'lint')).not.toHaveProperty('reason');
    const again = await put(room, version('1', '1'));
    expect(again.reload.kind).toBe('cold');
  });
});

describe('what the runtime has loaded', () => {
  it.each(['an install', 'a rollback'])(
    'is so still when the plugin was removed and has come back by %s, until something else is reported',
    async (way) => {
      const room = makeRoom();
      await put(room, version('2', '1'));
      const { installId } = await put(room, version('1', '1'));
      report(room, installId);
      remove(room);
      expect(getPlugin(room.context, 'lint')).toBeUndefined();
      await put(room, version('2', '1'));
      if (way === 'a rollback') {
        remove(room);
        rollBack(room);
      }
      expect(pendingOf(room)).toMatchObject({ against: installId });
      const skill = await put(room, version('2', '2'));
      expect(skill.reload.kind).toBe('cold');
      report(room, skill.installId);
      expect(pendingOf(room)).toBeUndefined();
      expect((await put(room, version('2', '3'))).reload.kind).toBe('skill-content-only');
    },
  );

  it('keeps nothing of a plugin that is removed from being swept', async () => {
    const room = makeRoom({ keep: 0, keepMillis: 0 });
    report(room, (await put(room, version('1', '1'))).installId);
    remove(room);
    room.clock.now += 1000;
    sweepPlugin(room.context, 'lint');
    expect(readdirSync(room.layout.previous)).toEqual([]);
    expect(readdirSync(room.layout.receipts)).toEqual([]);
  });

  it('is what a change is compared with, however many versions came between', async () => {
    const room = makeRoom();
    report(room, (await put(room, version('1', '1'))).installId);
    expect((await put(room, version('2', '1'), false)).reload.kind).toBe('cold');
    expect((await put(room, version('2', '2'), false)).reload.kind).toBe('cold');
    expect((await put(room, version('1', '1'), false)).reload.kind).toBe('identical');
    expect((await put(room, version('2', '2'), false)).reload.kind).toBe('cold');
    expect((await put(room, version('1', '3'))).reload.kind).toBe('skill-content-only');
  });

  it('may hold skills that were read again since, where only restarts are told', async () => {
    const room = makeRoom();
    const { installId: generation } = await put(room, version('1', '1'));
    noteLoaded(room.context, { plugin: 'lint', generation }, room.clock.now, 'operation-restart');
    await put(room, version('1', '2'));
    const { reload } = await put(room, version('1', '1'));
    expect(reload).toMatchObject({ kind: 'skill-content-only', reasons: { items: [{ path: SKILL }] } });
  });

  it('may be what was live while a restart that was promised has not ended well, whatever came since', async () => {
    const room = makeRoom({ restarts: 'command' });
    const { installId: generation } = await put(room, version('1', '1'));
    noteLoaded(room.context, { plugin: 'lint', generation }, room.clock.now, 'restart-command');
    await put(room, version('2', '1'));
    const back = await put(room, version('1', '1'));
    expect(back.reload).toMatchObject({ kind: 'cold', reasons: { items: [{ path: 'hooks/run.sh' }] } });
    expect((await put(room, version('1', '2'))).reload.kind).toBe('cold');
    expect(pendingOf(room)).toMatchObject({ against: generation, restarting: true });
  });

  it('counts also for what is present: the restart that is still due is said, and promised by nobody', async () => {
    const room = makeRoom();
    report(room, (await put(room, version('1', '1'))).installId);
    await put(room, version('2', '1'));
    const { status, reload } = await put(room, version('2', '1'));
    expect([status, reload.action, reload.restarting]).toEqual(['present', 'restart', false]);
  });

  it.each([
    ['names a version of which there is no receipt', '20260101T000000000Z-00000000'],
    ['names no version', 'dir-1-2-3'],
  ])('makes every change cold where it %s', async (_, generation) => {
    const room = makeRoom();
    await put(room, version('1', '1'));
    report(room, generation);
    expect((await put(room, version('1', '2'))).reload.kind).toBe('cold');
  });

  it('makes every change cold where it cannot be read', async () => {
    const room = makeRoom();
    await put(room, version('1', '1'));
    mkdirSync(room.layout.loaded, { recursive: true });
    writeFileSync(room.layout.loadedOf('lint'), '{"version":1,');
    expect((await put(room, version('1', '2'))).reload.kind).toBe('cold');
  });
});

describe('a state that cannot be read', () => {
  it.each([false, true])(
    'does not hold up what is forced and restarted for, removed: %s',
    async (removed) => {
      const room = makeRoom();
      const { installId: generation } = await put(room, version('1', '1'));
      room.clock.now += 1000;
      noteLoaded(room.context, { plugin: 'lint', generation }, room.clock.now, 'operation-restart');
      mkdirSync(room.layout.state, { recursive: true });
      writeFileSync(room.layout.stateOf('lint'), '{');
      room.clock.now += 10_000;
      const forced = async (hook: string): Promise<Reload> =>
        (await deliver(room, version(hook, '1'), { force: true })).reload;
      const { reload } = removed ? remove(room, { force: true }) : { reload: await forced('2') };
      expect(reload).toMatchObject({ kind: 'cold', restarting: true });
      rmSync(room.layout.stateOf('lint'));
      room.clock.now += 10_000;
      expect((await forced('1')).kind).toBe('cold');
    },
  );
});
