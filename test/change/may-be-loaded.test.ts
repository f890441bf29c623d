/** What may be loaded beside what is taken to be, and that no crash between two notes forgets what waits. */
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { getPlugin, knownOf } from '../../agent/store/inspect.ts';
import { stateOf } from '../../agent/store/records.ts';
import { liveVersions, noteBegun, noteLoaded } from '../../agent/change/runtime-reports.ts';
import { FaultyDisk, crashAt, failFrom } from '../_kit/faulty-disk.ts';
import { SKILL, pendingOf, put, report, version } from '../_kit/hot-and-cold.ts';
import { type Room, contentOf, makeRoom, remove, through } from '../_kit/install-room.ts';
import { createMemoryDisk } from '../_kit/memory-disk.ts';

/** A room of an agent with a restart command; `runs` says whether that runs just now. */
function roomWithCommand(): { room: Room; runs: { now: boolean } } {
  const runs = { now: false };
  const room = makeRoom({ restarts: 'command', keep: 9 });
  const context = { ...room.context, restartRuns: () => runs.now };
  return { room: { ...room, context }, runs };
}

/** A restart that begins. @returns lets it end well. */
function begin({ context, clock }: Room): () => void {
  const at = (clock.now += 1000);
  const versions = liveVersions(context, at, {});
  return () => versions.forEach((live) => noteLoaded(context, live, at, 'restart-command'));
}

describe('noting what a restart has loaded while a later version came', () => {
  const RULES = [
    ['the process is killed', (n: number) => crashAt(n)],
    ['the disk is full', (n: number) => failFrom(n, 'ENOSPC', ['mkdir', 'create', 'write'])],
  ] as const;

  it.each(RULES)('keeps the later one waiting, at whichever call %s', async (_, ruleFrom) => {
    const room = makeRoom({ restarts: 'command' }, createMemoryDisk(), '/plugins');
    const first = await put(room, version('1', '1'));
    begin(room)();
    const second = await put(room, version('2', '1'));
    const at = (room.clock.now += 1000);
    const versions = liveVersions(room.context, at, {});
    const third = await put(room, version('3', '1'));
    const before = ['state', 'loaded'] as const;
    const paths = before.map((one) => room.layout[`${one}Of`]('lint'));
    const noted = paths.map((path) => contentOf(room.context.disk, path));
    for (let n = 1, failed = true; failed; n += 1) {
      const faulty = new FaultyDisk(room.context.disk);
      faulty.arm(ruleFrom(n));
      const other = through(room, faulty.disk);
      try {
        versions.forEach((live) => noteLoaded(other.context, live, at, 'restart-command'));
      } catch {
        // As the next agent finds it, below.
      }
      failed = faulty.failed.length > 0;
      const pending = pendingOf(room);
      expect([n, pending?.installId]).toEqual([n, third.installId]);
      expect([first.installId, second.installId]).toContain(pending?.against);
      paths.forEach((path, i) => {
        const { disk } = room.context;
        disk.unlink(path);
        const fd = disk.create(path, 0o644);
        disk.write(fd, Buffer.from(noted[i] ?? '', 'latin1'));
        disk.close(fd);
      });
    }
  });

  it('keeps a version that came back in its place cold, at whichever call the process is killed', async () => {
    for (let n = 1, failed = true; failed; n += 1) {
      const room = makeRoom({ restarts: 'command' }, createMemoryDisk(), '/plugins');
      await put(room, version('1', '1'));
      begin(room)();
      await put(room, version('2', '1'), false);
      const at = (room.clock.now += 1000);
      const versions = liveVersions(room.context, at, {});
      const { installId } = await put(room, version('1', '1'));
      const faulty = new FaultyDisk(room.context.disk);
      faulty.arm(crashAt(n));
      const other = through(room, faulty.disk);
      const isNoted = (): boolean =>
        contentOf(room.context.disk, room.layout.loadedOf('lint')).includes(versions[0]?.generation ?? '-');
      try {
        versions.forEach((live) => noteLoaded(other.context, live, at, 'restart-command'));
      } catch {
        // As the next agent finds it, below.
      }
      failed = faulty.failed.length > 0;
      if (isNoted()) {
        expect([n, pendingOf(room)?.installId]).toEqual([n, installId]);
      }
    }
  });
});

describe('a report of a version between', () => {
  it('leaves the later one waiting, and is what that is compared with', async () => {
    const room = makeRoom();
    report(room, (await put(room, version('1', '1'))).installId);
    const between = await put(room, version('2', '1'), false);
    const { installId } = await put(room, version('3', '1'), false);
    report(room, between.installId);
    expect(pendingOf(room)?.installId).toBe(installId);
    expect((await put(room, version('2', '2'))).reload.kind).toBe('skill-content-only');
    expect(pendingOf(room)).toBeUndefined();
  });
});

describe('a change whose restart was suppressed while the restart command ran', () => {
  it('may be loaded as long as that runs, and when it has failed: the version before is cold', async () => {
    const { room, runs } = roomWithCommand();
    report(room, (await put(room, version('1', '1'))).installId);
    runs.now = true;
    begin(room);
    await put(room, version('2', '1'), false);
    expect(stateOf(room.context, 'lint')?.runtime?.restart).toBe('running');
    runs.now = false;
    expect((await put(room, version('1', '1'), false)).reload.kind).toBe('cold');
    expect((await put(room, version('1', '2'), false)).reload.kind).toBe('cold');
  });

  it('may be loaded though that began while it was written down', async () => {
    const room = makeRoom({ restarts: 'command', keep: 9 });
    report(room, (await put(room, version('1', '1'))).installId);
    const restartRuns = (): boolean => stateOf(room.context, 'lint')?.runtime?.waiting?.restarting === false;
    await put({ ...room, context: { ...room.context, restartRuns } }, version('2', '1'), false);
    expect((await put(room, version('1', '1'), false)).reload.kind).toBe('cold');
  });

  it('may be loaded when that has ended well: the version before is cold, until the next has', async () => {
    const { room, runs } = roomWithCommand();
    report(room, (await put(room, version('1', '1'))).installId);
    runs.now = true;
    const ended = begin(room);
    await put(room, version('2', '1'), false);
    ended();
    runs.now = false;
    expect((await put(room, version('1', '1'), false)).reload.kind).toBe('cold');
    begin(room)();
    expect(pendingOf(room)).toBeUndefined();
    await put(room, version('2', '1'), false);
    expect((await put(room, version('1', '1'), false)).reload.kind).toBe('identical');
  });

  it('may be loaded though the version before came back before that ended', async () => {
    const { room, runs } = roomWithCommand();
    report(room, (await put(room, version('1', '1'))).installId);
    const ended = begin(room);
    await put(room, version('2', '1'), false);
    runs.now = true;
    await put(room, version('1', '1'), false);
    ended();
    runs.now = false;
    expect((await put(room, version('1', '1'), false)).reload.action).toBe('restart');
    expect((await put(room, version('1', '2'), false)).reload.kind).toBe('cold');
  });

  it('may have brought its skills alone, where it differs by them from what was live', async () => {
    const { room, runs } = roomWithCommand();
    report(room, (await put(room, version('1', '1'))).installId);
    await put(room, version('2', '1'), false);
    runs.now = true;
    noteBegun(room.context, 'lint', 0);
    const ended = begin(room);
    await put(room, version('2', '2'), false);
    ended();
    runs.now = false;
    const { reload } = await put(room, version('2', '1'));
    expect(reload).toMatchObject({ kind: 'skill-content-only', reasons: { items: [{ path: SKILL }] } });
  });
});

describe('an edit by hand that a suppressed change displaces', () => {
  it('counts also where what was edited waited for its skills alone', async () => {
    const { room, runs } = roomWithCommand();
    report(room, (await put(room, version('1', '1'))).installId);
    await put(room, version('2', '1'), false);
    runs.now = true;
    noteBegun(room.context, 'lint', 0);
    const ended = begin(room);
    await put(room, version('2', '2'), false);
    ended();
    runs.now = false;
    appendFileSync(join(room.layout.live('lint'), 'hooks/run.sh'), 'more');
    await put(room, version('3', '1'), false);
    expect((await put(room, version('2', '1'), false)).reload.kind).toBe('cold');
  });

  it.each([
    ['hooks/run.sh', 'cold'],
    [SKILL, 'skill-content-only'],
  ])('of %s may be loaded: the version before is %s', async (path, kind) => {
    const room = makeRoom();
    report(room, (await put(room, version('1', '1'))).installId);
    appendFileSync(join(room.layout.live('lint'), path), 'more');
    await put(room, version('2', '1'), false);
    await put(room, version('3', '1'), false);
    expect((await put(room, version('1', '1'), false)).reload.kind).toBe(kind);
    expect((await put(room, version('1', '2'), false)).reload.kind).toBe(kind);
  });
});

it('an edit of a hook that was displaced leaves a watcher in doubt when the version before is back', async () => {
  const room = makeRoom();
  report(room, (await put(room, version('1', '1'))).installId);
  appendFileSync(join(room.layout.live('lint'), 'hooks/run.sh'), 'more');
  await put(room, version('2', '1'), false);
  const { installId } = await put(room, version('1', '1'), false);
  expect(knownOf(room.context, 'lint', installId, undefined)?.loaded).toBe('unknown');
});

describe('where the runtime reports by itself, and who asks for a change restarts it', () => {
  it('a change that is promised may be loaded until that is reported: the version before is cold', async () => {
    const room = makeRoom();
    report(room, (await put(room, version('1', '1'))).installId);
    const { installId } = await put(room, version('2', '1'));
    expect(pendingOf(room)).toMatchObject({ installId, restarting: true });
    const back = await put(room, version('1', '1'));
    expect(back.reload).toMatchObject({ kind: 'cold', restarting: true });
    expect((await put(room, version('1', '2'))).reload.kind).toBe('cold');
    report(room, (await put(room, version('1', '3'))).installId);
    expect(pendingOf(room)).toBeUndefined();
    expect((await put(room, version('1', '4'))).reload.kind).toBe('skill-content-only');
  });

  it('a promise is not kept by a restart that began before it, and is reported later', async () => {
    const room = makeRoom();
    await put(room, version('1', '1'));
    begin(room)();
    const reported = begin(room);
    await put(room, version('2', '1'));
    await put(room, version('1', '1'), false);
    reported();
    expect((await put(room, version('1', '1'), false)).reload.action).toBe('restart');
    expect((await put(room, version('1', '2'), false)).reload.kind).toBe('cold');
    begin(room)();
    expect(pendingOf(room)).toBeUndefined();
  });

  it('skills that were told to be read again may have been: the version before is hot', async () => {
    const room = makeRoom();
    report(room, (await put(room, version('1', '1'))).installId);
    await put(room, version('1', '2'));
    expect((await put(room, version('1', '1'))).reload.kind).toBe('skill-content-only');
  });

  it('a plugin that was promised to be unloaded does not wait, for nobody tells of that', async () => {
    const room = makeRoom();
    report(room, (await put(room, version('1', '1'))).installId);
    await put(room, version('2', '1'));
    expect(remove(room).reload).toMatchObject({ kind: 'cold', restarting: true });
    expect(getPlugin(room.context, 'lint')).toBeUndefined();
  });

  it.each([false, true])(
    'a plugin that was removed may be unloaded: what it was is cold (%s)',
    async (restart) => {
      const room = makeRoom();
      const { installId } = await put(room, version('1', '1'));
      report(room, installId);
      remove(room, { restart });
      // What the runtime had before is reported late.
      report(room, installId);
      await put(room, version('2', '1'), false);
      expect((await put(room, version('1', '1'), false)).reload.kind).toBe('cold');
      const again = await put(room, version('1', '2'), false);
      expect(again.reload.kind).toBe('cold');
      report(room, again.installId);
      expect(pendingOf(room)).toBeUndefined();
      expect((await put(room, version('1', '1'), false)).reload.kind).toBe('skill-content-only');
    },
  );
});

describe('where a restart is reported after the version before came back', () => {
  it('what it had loaded makes that wait, and is what comes next compared with', async () => {
    const room = makeRoom();
    await put(room, version('1', '1'));
    begin(room)();
    await put(room, version('2', '1'), false);
    const reported = begin(room);
    const { installId } = await put(room, version('1', '1'), false);
    reported();
    expect(pendingOf(room)).toMatchObject({ installId, restarting: false });
    expect((await put(room, version('2', '1'), false)).reload.kind).toBe('identical');
    expect(pendingOf(room)).toBeUndefined();
    expect((await put(room, version('2', '2'), false)).reload.kind).toBe('skill-content-only');
  });
});
