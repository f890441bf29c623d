/** What may be loaded by a restart that was promised, whatever has become of it. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import {
  liveVersions,
  noteBegun,
  noteLoaded,
  pendingPlugins,
  promisedPlugins,
} from '../../agent/change/runtime-reports.ts';
import { stateOf } from '../../agent/store/records.ts';
import { MARKER } from '../../shared/format/layout.ts';
import { SKILL, pendingOf, put, report, version } from '../_kit/hot-and-cold.ts';
import { type Room, bundleOf, deliver, makeRoom, through } from '../_kit/install-room.ts';

const OTHER = 'skills/b/SKILL.md';
const skill = (name: string): string => `---\nname: ${name}\ndescription: it is ${name}\n---\n`;
const one = bundleOf({ [SKILL]: skill('a') });
const two = bundleOf({ [SKILL]: skill('a'), [OTHER]: skill('b') });

/** A room of an agent with a restart command, whose runtime has loaded these bytes. */
async function roomWith(bytes: Buffer): Promise<Room> {
  const room = makeRoom({ restarts: 'command', keep: 9 });
  report(room, (await put(room, bytes)).installId);
  return room;
}

/** A restart that begins. @returns lets it end well. */
function begin(room: Room): () => void {
  const at = (room.clock.now += 1000);
  const versions = liveVersions(room.context, at, {});
  return () => versions.forEach((live) => noteLoaded(room.context, live, at, 'restart-command'));
}

describe('a skill that a version between has', () => {
  it.each([
    ['added', one, two],
    ['removed', two, one],
  ])('%s makes the version before cold, though it is only a skill', async (_, before, between) => {
    const room = await roomWith(before);
    await put(room, between);
    const { reload } = await put(room, before);
    expect(reload).toMatchObject({ kind: 'cold', reasons: { items: [{ path: '' }, { path: OTHER }] } });
  });

  it('added counts also where restarts alone are told', async () => {
    const room = makeRoom();
    await put(room, one);
    begin(room)();
    await put(room, two);
    expect((await put(room, one)).reload.kind).toBe('cold');
  });

  it.each([
    ['added', (path: string) => writeFileSync(path, skill('b')), one],
    ['removed', (path: string) => rmSync(path), two],
  ])(
    'nobody has installed, but somebody %s by hand, is no skill that can be read again',
    async (_, edit, bytes) => {
      const room = await roomWith(bytes);
      const path = join(room.layout.live('lint'), OTHER);
      mkdirSync(join(path, '..'), { recursive: true });
      edit(path);
      const { reload } = await put(room, bytes === one ? bundleOf({ [SKILL]: skill('c') }) : one);
      expect(reload.kind).toBe('cold');
    },
  );
});

describe('a restart that was promised', () => {
  it('is remembered behind a change whose own is suppressed, until it has ended well', async () => {
    const room = await roomWith(version('1', '1'));
    await put(room, version('2', '1'));
    await put(room, version('3', '1'), false);
    expect(pendingOf(room)).toMatchObject({ restarting: false });
    expect(promisedPlugins(room.context)).toEqual(['lint']);
    begin(room)();
    expect(promisedPlugins(room.context)).toEqual([]);
    const ended = begin(room);
    await put(room, version('4', '1'));
    await put(room, version('5', '1'), false);
    ended();
    expect(pendingOf(room)).toMatchObject({ restarting: false });
    expect(promisedPlugins(room.context)).toEqual(['lint']);
    begin(room)();
    expect(promisedPlugins(room.context)).toEqual([]);
  });

  it('may have loaded what was live though another was suppressed since: the version before is cold', async () => {
    const room = await roomWith(version('1', '1'));
    await put(room, version('2', '1'));
    await put(room, version('3', '1'), false);
    expect((await put(room, version('1', '1'))).reload.kind).toBe('cold');
  });

  it('for another plugin may load what no restart was wanted for, and the version before is cold then', async () => {
    const room = await roomWith(version('1', '1'));
    await put(room, version('2', '1'), false);
    expect((await put(room, version('1', '1'))).reload.kind).toBe('identical');
    await put(room, version('2', '1'), false);
    noteBegun(room.context, 'lint', 0);
    expect(stateOf(room.context, 'lint')?.runtime?.restart).toBe('running');
    expect(promisedPlugins(room.context)).toEqual([]);
    expect((await put(room, version('1', '1'))).reload.kind).toBe('cold');
  });

  it('may have loaded what was live though it was made up for in vain: the version before is cold', async () => {
    const room = await roomWith(version('1', '1'));
    await put(room, version('2', '1'));
    noteBegun(room.context, 'lint', room.clock.now + 1);
    expect(promisedPlugins(room.context)).toEqual([]);
    expect((await put(room, version('1', '1'))).reload.kind).toBe('cold');
  });

  it.each([
    ['differs by a skill', version('2', '2')],
    ['is the same again', version('2', '1')],
  ])('for what %s is not forgotten when the one before it ends', async (_, bytes) => {
    const room = await roomWith(version('1', '1'));
    const { installId } = await put(room, version('2', '1'));
    const ended = begin(room);
    await put(room, version('3', '1'));
    expect((await put(room, bytes)).reload).toMatchObject({ kind: 'cold', restarting: true });
    ended();
    expect(pendingOf(room)).toMatchObject({ against: installId, restarting: true });
    expect(promisedPlugins(room.context)).toEqual(['lint']);
    begin(room)();
    expect(pendingOf(room)).toBeUndefined();
  });
});

describe('a plugin that the disk does not let be looked at', () => {
  const denied = (room: Room): Room => {
    const open = (path: string): number => {
      if (path === join(room.layout.live('other'), MARKER)) {
        throw Object.assign(new Error('EIO: open'), { code: 'EIO' });
      }
      return room.context.disk.open(path);
    };
    return through(room, { ...room.context.disk, open });
  };

  // Was a bug: nobody was known to wait then, and what was promised for the others was not made up for.
  it('hides neither what waits, nor what was promised, nor what is live of others', async () => {
    const room = makeRoom({ restarts: 'command' });
    const { installId } = await put(room, one);
    for (const text of ['1', '2']) {
      const bytes = bundleOf({ 'plugin.yaml': `name: other\nversion: ${text}.0.0\n` });
      await deliver(room, bytes, { plugin: 'other', restart: false });
    }
    const { context } = denied(room);
    expect(promisedPlugins(context)).toEqual(['lint']);
    // In doubt it waits: that a restart begins is noted then, or that fails.
    expect(pendingPlugins(context)).toEqual(['lint', 'other']);
    expect(liveVersions(context, room.clock.now + 1000, {})).toEqual([
      { plugin: 'lint', generation: installId },
    ]);
    expect(room.complaints.length).toBeGreaterThan(0);
  });
});

it('a suppressed change waits on for its skills when an older version is loaded', async () => {
  const room = await roomWith(version('1', '1'));
  const { installId } = await put(room, version('2', '1'), false);
  const ended = begin(room);
  expect((await put(room, version('2', '2'), false)).reload.kind).toBe('cold');
  ended();
  expect(pendingOf(room)).toMatchObject({ against: installId, restarting: false });
  const { reload } = await put(room, version('2', '3'));
  expect(reload).toMatchObject({ kind: 'skill-content-only', reasons: { items: [{ path: SKILL }] } });
  expect(pendingOf(room)).toBeUndefined();
});
