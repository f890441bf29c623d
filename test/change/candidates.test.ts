/** That what is written down of a runtime stays true when a change is cut off, and ends when the runtime has loaded what is live. */
import { describe, expect, it } from 'vitest';

import { adoptTouched } from '../../agent/change/adopt.ts';
import { recover } from '../../agent/change/recover.ts';
import { noteLoaded, pendingPlugins, promisedPlugins } from '../../agent/change/runtime-reports.ts';
import { removeTree } from '../../agent/disk/record.ts';
import { listPlugins } from '../../agent/store/inspect.ts';
import { stateOf } from '../../agent/store/records.ts';
import { MARKER } from '../../shared/format/layout.ts';
import { type Rule, FaultyDisk, crashAt, never } from '../_kit/faulty-disk.ts';
import { SKILL, pendingOf, put, version } from '../_kit/hot-and-cold.ts';
import { type Room, contentOf, makeRoom, remove, through } from '../_kit/install-room.ts';
import { createMemoryDisk } from '../_kit/memory-disk.ts';

const memoryRoom = (policy: Parameters<typeof makeRoom>[0] = {}): Room =>
  makeRoom({ keep: 9, ...policy }, createMemoryDisk(), '/plugins');

function write({ context }: Room, path: string, text: string): void {
  removeTree(context.disk, path);
  const fd = context.disk.create(path, 0o644);
  context.disk.write(fd, Buffer.from(text));
  context.disk.close(fd);
}

/** @param at what the report says of its time. */
function report(
  room: Room,
  generation: string,
  at: object = { at: new Date(room.clock.now).toISOString() },
): void {
  const { layout, context } = room;
  if (context.disk.stat(layout.loaded) === undefined) {
    context.disk.mkdir(layout.loaded, 0o755);
  }
  write(room, layout.loadedOf('lint'), JSON.stringify({ version: 1, generation, ...at }));
}

const isNew = ({ context, layout }: Room): boolean =>
  contentOf(context.disk, `${layout.live('lint')}/hooks/run.sh`) === '2';

/** Makes a change on a disk that fails, and recovers. @returns the calls that changed something before it failed. */
async function failing(room: Room, rule: Rule, change: (room: Room) => unknown): Promise<number[]> {
  const faulty = new FaultyDisk(room.context.disk);
  faulty.arm(rule);
  try {
    await change(through(room, faulty.disk));
  } catch {
    // As the next agent finds it.
  }
  recover(room.context, 'lint');
  return faulty.calls
    .filter(({ kind }) => ['create', 'rename', 'exchange', 'unlink'].includes(kind))
    .map(({ n }) => n);
}

/** Makes a change in as many rooms as it makes calls that change something, and is killed before another one in each. */
async function everyCrash(
  makeOne: () => Promise<Room>,
  change: (room: Room) => unknown,
  check: (room: Room, n: number) => Promise<void>,
): Promise<void> {
  const whole = await makeOne();
  const calls = await failing(whole, never, change);
  await check(whole, 0);
  for (const n of calls) {
    const room = await makeOne();
    await failing(room, crashAt(n), change);
    await check(room, n);
  }
}

/** A promised restart has been reported, and what was written down of it still lies there. */
async function settledRoom(): Promise<Room> {
  const room = memoryRoom();
  report(room, (await put(room, version('1', '1'))).installId);
  report(room, (await put(room, version('2', '1'))).installId);
  expect(stateOf(room.context, 'lint')?.runtime?.restart).toBe('promised');
  expect(pendingOf(room)).toBeUndefined();
  return room;
}

/** A suppressed change waits, of which nothing is ever reported. */
async function waitingRoom(): Promise<Room> {
  const room = memoryRoom();
  await put(room, version('2', '1'));
  await put(room, version('3', '1'), false);
  return room;
}

describe('a report of what is live', () => {
  it.each([
    ['does not say when it was made', {}],
    ['is of a clock that is behind', { at: '2020-01-01T00:00:00.000Z' }],
  ])('ends what waits, also if it %s', async (_, at) => {
    const room = memoryRoom();
    report(room, (await put(room, version('1', '1'))).installId);
    await put(room, version('2', '1'), false);
    const { installId } = await put(room, version('3', '1'), false);
    expect(pendingOf(room)).toBeDefined();
    report(room, installId, at);
    expect(pendingOf(room)).toBeUndefined();
    expect((await put(room, version('3', '2'))).reload.kind).toBe('skill-content-only');
  });
});

describe('an update of skills', () => {
  it.each([
    ['after a restart that was reported', settledRoom, false],
    ['that takes the place of a change which waits', waitingRoom, true],
  ])('%s may be loaded, and what waits waits on, whenever the agent is killed', async (_, makeOne, waits) => {
    let made = 0;
    const check = async (room: Room, n: number): Promise<void> => {
      const isMade = contentOf(room.context.disk, `${room.layout.live('lint')}/${SKILL}`).endsWith('\n2\n');
      made += Number(isMade);
      expect([n, isMade || (pendingOf(room) !== undefined) === waits]).toEqual([n, true]);
      const { reload } = await put(room, version('2', isMade ? '1' : '3'));
      expect([n, isMade, reload.kind]).toEqual([n, isMade, 'skill-content-only']);
      expect([n, pendingOf(room)]).toEqual([n, undefined]);
    };
    await everyCrash(makeOne, (dying) => put(dying, version('2', '2')), check);
    expect(made).toBeGreaterThan(1);
  });

  it('may be loaded also if what waited cannot be cleared', async () => {
    const room = await settledRoom();
    const { layout } = room;
    let swapped = false;
    const rule: Rule = ({ kind, path, to }) => {
      swapped ||= ['rename', 'exchange'].includes(kind) && [path, to].includes(layout.live('lint'));
      const isWrite = ['rename', 'unlink'].includes(kind) && [path, to].includes(layout.stateOf('lint'));
      return swapped && isWrite ? 'EIO' : undefined;
    };
    await failing(room, rule, (other) => put(other, version('2', '2')));
    expect(room.complaints.map(({ message }) => message).join()).toContain('Clearing what was pending');
    expect((await put(room, version('2', '1'))).reload.kind).toBe('skill-content-only');
  });
});

it('an update of edited files that is killed before it is made leaves nothing to wait for', async () => {
  const makeOne = async (): Promise<Room> => {
    const room = memoryRoom();
    report(room, (await put(room, version('1', '1'))).installId);
    room.clock.now += 10_000;
    write(room, `${room.layout.live('lint')}/hooks/run.sh`, 'edited');
    return room;
  };
  const change = (room: Room): unknown => put(room, version('2', '1'));
  await everyCrash(makeOne, change, async (room, n) => {
    expect([n, pendingOf(room)?.reasons.total ?? 0]).toEqual([n, isNew(room) ? 1 : 0]);
    expect([n, (await put(room, version('1', '1', '\n'), false)).reload.kind]).toEqual([n, 'cold']);
  });
});

describe('a removal that is killed', () => {
  it('does not hide that the plugin was gone before', async () => {
    const makeOne = async (): Promise<Room> => {
      const room = memoryRoom();
      report(room, (await put(room, version('1', '1'))).installId);
      remove(room, { restart: false });
      await put(room, version('2', '1'), false);
      return room;
    };
    const removeNow = (room: Room): unknown => remove(room, { restart: false });
    await everyCrash(makeOne, removeNow, async (room, n) => {
      expect([n, pendingOf(room)?.restarting]).toEqual([n, false]);
      expect([n, (await put(room, version('1', '1'), false)).reload.kind]).toEqual([n, 'cold']);
    });
  });
});

it('a suppressed change may be loaded by a restart that begins while it is made, and fails', async () => {
  const room = memoryRoom({ restarts: 'command' });
  report(room, (await put(room, version('1', '1'))).installId);
  const { layout, context } = room;
  // From the receipt on, which is written after what is foreseen and before the swap.
  const restartRuns = (): boolean => context.disk.list(layout.receipts).length > 1;
  await put({ ...room, context: { ...context, restartRuns } }, version('2', '1'), false);
  expect((await put(room, version('1', '1'), false)).reload.kind).toBe('cold');
});

it('files that were edited in place and are adopted may be loaded', async () => {
  const room = await settledRoom();
  const live = room.layout.live('lint');
  write(
    room,
    `${live}/${SKILL}`,
    contentOf(room.context.disk, `${live}/${SKILL}`).replace('1\n', 'edited\n'),
  );
  write(room, `${live}/${MARKER}`, '');
  room.clock.now += 1000;
  expect(adoptTouched(room.context, 'lint')).toBe(true);
  const { reload } = await put(room, version('2', '1'));
  expect(reload).toMatchObject({ kind: 'skill-content-only', reasons: { items: [{ path: SKILL }] } });
});

it('a plugin that was taken to be not loaded by the version before leaves no record when it is removed', () => {
  const room = memoryRoom({ restarts: 'command' });
  const at = new Date(room.clock.now).toISOString();
  const reasons = { items: [{ path: '', change: 'added', why: 'no earlier version is known' }], total: 1 };
  const pending = {
    at,
    operationId: 'operation-1',
    installId: null,
    against: null,
    restarting: true,
    reasons,
  };
  write(room, room.layout.stateOf('lint'), JSON.stringify({ version: 1, pending }));
  expect(pendingOf(room)).toBeUndefined();
  noteLoaded(room.context, { plugin: 'lint', generation: null }, room.clock.now, 'restart-command');
  expect(stateOf(room.context, 'lint')?.runtime).toBeUndefined();
});

it('a list and a status read no receipt of a plugin of which nothing waits', async () => {
  const room = await settledRoom();
  await put(room, version('2', '2'));
  report(room, (await put(room, version('3', '1'))).installId);
  const counting = new FaultyDisk(room.context.disk);
  counting.arm(never);
  const { context } = through(room, counting.disk);
  expect(listPlugins(context, { drift: false })).toHaveLength(1);
  expect([pendingPlugins(context), promisedPlugins(context)]).toEqual([[], []]);
  expect(counting.calls.filter(({ path }) => path.includes('/.receipts/'))).toEqual([]);
});
