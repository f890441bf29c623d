import { appendFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { getPlugin, listPlugins, verifyPlugin } from '../../agent/store/inspect.ts';
import { stateOf } from '../../agent/store/records.ts';
import { liveVersions, noteLoaded, pendingPlugins } from '../../agent/change/runtime-reports.ts';
import { pendingOf, put, report, version } from '../_kit/hot-and-cold.ts';
import { type Room, makeRoom, remove } from '../_kit/install-room.ts';

/** A restart that began at a moment and ended well. */
function restarted(
  room: Room,
  at = room.clock.now,
  versions = liveVersions(room.context, at, {}),
): unknown[] {
  const before = room.events.length;
  for (const one of versions) noteLoaded(room.context, one, at, 'operation-restart');
  return room.events.slice(before);
}

describe('a restart that is reported', () => {
  it('loads what was live when it began, and clears what waited for that', async () => {
    const room = makeRoom();
    await put(room, version('1', '1'));
    const { installId } = await put(room, version('2', '1'), false);
    expect(restarted(room)).toEqual([
      { type: 'plugin.loaded', data: { plugin: 'lint', generation: installId, cause: 'operation-restart' } },
    ]);
    expect(pendingOf(room)).toBeUndefined();
    expect(getPlugin(room.context, 'lint')?.loaded).toBe(installId);
    expect((await put(room, version('2', '2'))).reload.kind).toBe('skill-content-only');
    expect(readdirSync(room.layout.loaded)).toEqual(['lint.json']);
  });

  it('does not load what came after it began', async () => {
    const room = makeRoom();
    await put(room, version('1', '1'));
    const second = await put(room, version('2', '1'), false);
    const at = room.clock.now + 1;
    await put(room, version('3', '1'), false);
    restarted(room, at);
    expect(pendingOf(room)).toMatchObject({ against: second.installId });
    expect(pendingPlugins(room.context)).toEqual(['lint']);
    expect((await put(room, version('2', '2'))).reload.kind).toBe('skill-content-only');
  });

  it('counts a version only from its swap on, where that is known better than from its receipt', async () => {
    const room = makeRoom();
    const { installId } = await put(room, version('1', '1'));
    const at = room.clock.now + 5;
    expect(liveVersions(room.context, at, {})).toEqual([{ plugin: 'lint', generation: installId }]);
    expect(liveVersions(room.context, at, { [installId]: at + 1 })).toEqual([
      { plugin: 'lint', generation: null },
    ]);
  });

  it('does not outdo what the runtime has said itself since', async () => {
    const room = makeRoom();
    await put(room, version('1', '1'));
    const at = room.clock.now;
    const began = liveVersions(room.context, at, {});
    const { installId } = await put(room, version('2', '1'), false);
    report(room, installId);
    expect(restarted(room, at, began)).toEqual([]);
    expect(getPlugin(room.context, 'lint')).toMatchObject({ loaded: installId });
    expect(stateOf(room.context, 'lint')?.runtime).toBeUndefined();
  });

  it('of the agent itself leaves nothing unsaid that a version which came back meanwhile needs', async () => {
    const room = makeRoom({ restarts: 'command' });
    await put(room, version('1', '1'));
    restarted(room);
    const { installId: suppressed } = await put(room, version('2', '1'), false);
    room.clock.now += 1;
    const began = room.clock.now;
    const versions = liveVersions(room.context, began, {});
    const { installId } = await put(room, version('1', '1'));
    restarted(room, began, versions);
    expect(pendingOf(room)).toMatchObject({ installId, against: suppressed, restarting: false });
    expect((await put(room, version('1', '2'))).reload.kind).toBe('cold');
  });

  it('unloads what was removed before it', async () => {
    const room = makeRoom();
    report(room, (await put(room, version('1', '1'))).installId);
    remove(room, { restart: false });
    room.clock.now += 1;
    restarted(room);
    expect(getPlugin(room.context, 'lint')).toBeUndefined();
  });

  it('tells once that what was removed is unloaded, and nothing of what never was loaded', async () => {
    const room = makeRoom({ restarts: 'command' });
    await put(room, version('1', '1'));
    remove(room);
    room.clock.now += 1;
    expect(restarted(room)).toEqual([]);
    report(room, (await put(room, version('1', '1'))).installId);
    remove(room);
    room.clock.now += 1;
    expect(restarted(room)).toEqual([
      { type: 'plugin.loaded', data: { plugin: 'lint', generation: null, cause: 'operation-restart' } },
    ]);
    expect(restarted(room)).toEqual([]);
  });
});

describe('where the agent has a restart command', () => {
  it('every cold change is pending until that has ended well', async () => {
    const room = makeRoom({ restarts: 'command' });
    const { installId, reload } = await put(room, version('1', '1'));
    expect(reload.restarting).toBe(true);
    expect(pendingOf(room)).toMatchObject({ installId, against: null, restarting: true });
    expect((await put(room, version('1', '2'))).reload.kind).toBe('cold');
    restarted(room);
    expect(pendingOf(room)).toBeUndefined();
  });
});

describe('files that were edited in place', () => {
  it('show in the list with their number, and a touched file does not', async () => {
    const room = makeRoom();
    await put(room, version('1', '1'));
    const live = room.layout.live('lint');
    expect(getPlugin(room.context, 'lint')?.drift).toBeUndefined();
    appendFileSync(join(live, 'hooks/run.sh'), 'more');
    writeFileSync(join(live, 'extra.txt'), 'x');
    writeFileSync(join(live, 'plugin.yaml'), 'name: lint\nversion: 9.0.0\n');
    mkdirSync(join(live, '__pycache__'));
    writeFileSync(join(live, '__pycache__/a.pyc'), 'x');
    expect(listPlugins(room.context)[0]?.drift).toBe(3);
    expect(verifyPlugin(room.context, 'lint')).toMatchObject({
      modified: { items: ['hooks/run.sh', 'plugin.yaml'] },
      unlisted: { items: ['extra.txt'] },
    });
  });

  it('are warned of by the update that displaces them, kept in its snapshot, and may be loaded', async () => {
    const room = makeRoom();
    await put(room, version('1', '1'));
    appendFileSync(join(room.layout.live('lint'), 'hooks/run.sh'), 'more');
    const { warnings, reload, installId } = await put(room, version('1', '2'));
    expect(warnings.items).toEqual([expect.stringMatching(/^hooks\/run\.sh: it was edited in place/)]);
    expect(reload.kind).toBe('cold');
    expect(verifyPlugin(room.context, 'lint').verdict).toBe('intact');
    await put(room, version('1', '3'));
    expect(readdirSync(room.layout.previous)).toContain(`lint.${installId}`);
  });
});
