import { chmodSync, mkdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { nodeDisk } from '../../agent/disk/node-disk.ts';
import type { Disk } from '../../agent/disk/port.ts';
import { draftsIn, knownPlugins, planSweep, sweepDrafts, sweepPlugin } from '../../agent/change/sweep.ts';
import { MARKER } from '../../shared/format/layout.ts';
import {
  START,
  type Room,
  bundleOf,
  deliver,
  makeRoom,
  namesIn,
  remove,
  through,
} from '../_kit/install-room.ts';

const DAY = 24 * 60 * 60 * 1000;
const snapshots = (room: Room): string[] => namesIn(room, room.layout.previous);
/** The version that was installed first, of those that are known. */
const oldest = (room: Room): string =>
  namesIn(room, room.layout.receipts)[0]?.replaceAll(/^lint\.|\.json$/g, '') ?? '';
const sweep = (room: Room): ReturnType<typeof sweepPlugin> => sweepPlugin(room.context, 'lint');

async function versions(room: Room, ...names: string[]): Promise<string[]> {
  const ids: string[] = [];
  for (const name of names) ids.push((await deliver(room, bundleOf({ 'rules/a.md': name }, name))).installId);
  return ids;
}

describe('old snapshots', () => {
  it('go with their receipts when they were displaced long enough ago, and not before', async () => {
    const room = makeRoom();
    const [first, second] = await versions(room, '1', '2');
    room.clock.now = START + 7 * DAY;
    expect(sweep(room).snapshots).toEqual([]);
    room.clock.now = START + 7 * DAY + 1000;
    expect(sweep(room)).toEqual({ snapshots: [`lint.${second}`], receipts: [], adopted: false });
    expect(snapshots(room)).toEqual([]);
    expect(namesIn(room, room.layout.receipts)).not.toContain(`lint.${first}.json`);
  });

  it('stay where the clock is behind the newest stamp', async () => {
    const room = makeRoom({ keep: 3 });
    await versions(room, '1', '2');
    room.clock.now = START + 60 * DAY;
    await versions(room, '3');
    room.clock.now = START + 59 * DAY;
    expect(sweep(room).snapshots).toEqual([]);
  });

  it('stay while the runtime has them loaded, a process has them open, or they hold edits', async () => {
    const room = makeRoom();
    const [first] = await versions(room, '1', '2');
    room.clock.now = START + 8 * DAY;
    const loaded = room.layout.loadedOf('lint');
    mkdirSync(join(loaded, '..'));
    writeFileSync(loaded, JSON.stringify({ version: 1, generation: first }));
    expect(sweep(room).snapshots).toEqual([]);
    rmSync(loaded);
    const held = { ...nodeDisk, isHeldOpen: () => true };
    expect(sweep(through(room, held)).snapshots).toEqual([]);
    const file = join(room.layout.previous, snapshots(room)[0] ?? '', 'rules/a.md');
    writeFileSync(file, 'edited');
    expect(sweep(room).snapshots).toEqual([]);
    writeFileSync(file, '1');
    expect(sweep(room).snapshots).toHaveLength(1);
  });

  /** A room with a snapshot whose time has come; its files are older than their install, as they are in life. */
  const expired = async (...names: string[]): Promise<Room> => {
    const room = makeRoom({ keep: 3 });
    await versions(room, ...names);
    for (const name of snapshots(room)) {
      utimesSync(join(room.layout.previous, name, 'rules/a.md'), 0, 0);
      utimesSync(join(room.layout.previous, name, 'plugin.yaml'), 0, 0);
    }
    room.clock.now = START + 8 * DAY;
    return room;
  };
  /** A room whose disk notes which files of a snapshot are read. */
  const reading = (room: Room, more: Partial<Disk> = {}): { room: Room; read: string[] } => {
    const read: string[] = [];
    const open = (path: string): number => {
      if (path.includes('.previous/') && path.endsWith('.md')) read.push(path.replace(/^.*\//, ''));
      return nodeDisk.open(path);
    };
    return { room: through(room, { ...nodeDisk, open, ...more }), read };
  };
  const EDITS = {
    'another size': (file: string) => writeFileSync(file, 'longer'),
    'another mode': (file: string) => chmodSync(file, 0o755),
    'a file more': (file: string) => writeFileSync(`${file}.more`, ''),
    'a file less': (file: string) => rmSync(file),
  };

  // Was a fault: every sweep hashed all that it was to keep, under the plugin's lock.
  it('are not hashed where something cheaper says that they stay', async () => {
    const room = await expired('1', '2');
    room.clock.now = START;
    const young = reading(room);
    expect([sweep(young.room).snapshots, young.read]).toEqual([[], []]);
    room.clock.now = START + 8 * DAY;
    const held = reading(room, { isHeldOpen: () => true });
    expect([sweep(held.room).snapshots, held.read]).toEqual([[], []]);
    const loaded = room.layout.loadedOf('lint');
    mkdirSync(join(loaded, '..'));
    writeFileSync(loaded, JSON.stringify({ version: 1, generation: oldest(room) }));
    const kept = reading(room);
    expect([sweep(kept.room).snapshots, kept.read]).toEqual([[], []]);
  });

  it.each(Object.entries(EDITS))('are not hashed where %s says that they hold edits', async (_, edit) => {
    const room = await expired('1', '2');
    edit(join(room.layout.previous, snapshots(room)[0] ?? '', 'rules/a.md'));
    const { room: seen, read } = reading(room);
    expect([sweep(seen).snapshots, read]).toEqual([[], []]);
  });

  it('are hashed before the lock is needed, and under it only looked at', async () => {
    const room = await expired('1', '2');
    const { room: seen, read } = reading(room);
    const names = snapshots(room);
    const plan = planSweep(seen.context, 'lint');
    expect(read).toEqual(['a.md']);
    expect(sweepPlugin(seen.context, 'lint', plan).snapshots).toEqual(names);
    expect(read).toEqual(['a.md']);
  });

  it.each<[what: string, change: (file: string, room: Room) => Partial<Disk>]>([
    ['was edited', (file) => (writeFileSync(file, '9'), {})],
    ['is opened', () => ({ isHeldOpen: () => true })],
    ['is gone', (file) => (rmSync(join(file, '../..'), { recursive: true }), {})],
    [
      'is loaded',
      (_, room) => {
        mkdirSync(room.layout.loaded);
        const report = JSON.stringify({ version: 1, generation: oldest(room) });
        writeFileSync(room.layout.loadedOf('lint'), report);
        return {};
      },
    ],
  ])('stay where one %s after it was hashed', async (_, change) => {
    const room = await expired('1', '2');
    const plan = planSweep(room.context, 'lint');
    expect(plan.expired).toHaveLength(1);
    const file = join(room.layout.previous, snapshots(room)[0] ?? '', 'rules/a.md');
    const disk = { ...nodeDisk, ...change(file, room) };
    expect(sweepPlugin(through(room, disk).context, 'lint', plan).snapshots).toEqual([]);
    expect(room.complaints).toEqual([]);
  });

  it('that one cannot read do not keep the others', async () => {
    const room = await expired('1', '2', '3');
    const [bad = '', good = ''] = snapshots(room);
    const open = (path: string): number => {
      if (path.includes(bad) && path.endsWith('.md')) {
        throw Object.assign(new Error('EIO: open'), { code: 'EIO' });
      }
      return nodeDisk.open(path);
    };
    expect(sweep(through(room, { ...nodeDisk, open })).snapshots).toEqual([good]);
    expect(room.complaints).toMatchObject([{ message: expect.stringContaining('EIO') }]);
  });

  it('stay where the disk does not say what is loaded: that is complained of', async () => {
    const room = makeRoom();
    await versions(room, '1', '2');
    room.clock.now = START + 8 * DAY;
    mkdirSync(room.layout.loadedOf('lint'), { recursive: true });
    expect(sweep(room)).toEqual({ snapshots: [], receipts: [], adopted: false });
    expect(room.complaints.length).toBeGreaterThan(0);
  });
});

describe('receipts', () => {
  it('go when neither live nor a snapshot nor the runtime names them', async () => {
    const room = makeRoom();
    const [first, second] = await versions(room, '1', '2');
    const orphan = 'lint.20200101T000000000Z-00000000.json';
    const others = 'other.20200101T000000000Z-00000000.json';
    for (const name of [orphan, others]) writeFileSync(join(room.layout.receipts, name), '{}');
    expect(sweep(room).receipts).toEqual([orphan]);
    const kept = [first, second].map((id) => `lint.${id}.json`);
    expect(namesIn(room, room.layout.receipts)).toEqual([...kept, others].toSorted());
    remove(room);
    expect(sweep(room).receipts).toEqual([]);
  });

  it('of a version whose marker the disk does not let be read stay', async () => {
    const room = makeRoom();
    await versions(room, '1', '2');
    const disk = {
      ...nodeDisk,
      open: (path: string): number => {
        if (path.includes('.previous') && path.endsWith(MARKER)) {
          throw Object.assign(new Error('EIO: open'), { code: 'EIO' });
        }
        return nodeDisk.open(path);
      },
    };
    expect(sweep(through(room, disk)).receipts).toEqual([]);
    expect(namesIn(room, room.layout.receipts)).toHaveLength(2);
  });

  it('of a snapshot whose marker is of a newer format stay', async () => {
    const room = makeRoom();
    const [first] = await versions(room, '1', '2');
    const marker = join(room.layout.previous, snapshots(room)[0] ?? '', MARKER);
    writeFileSync(marker, JSON.stringify({ version: 2, plugin: 'lint', installId: first }));
    expect(sweep(room).receipts).toEqual([]);
  });
});

describe('reports that got no name', () => {
  const HOUR = 60 * 60 * 1000;
  /** Puts an entry beside the reports, written so long before the clock's now. */
  const leave = ({ layout, clock }: Room, name: string, age: number): string => {
    const path = join(layout.loaded, name);
    mkdirSync(layout.loaded, { recursive: true });
    writeFileSync(path, '{"vers');
    const at = new Date(clock.now - age);
    utimesSync(path, at, at);
    return name;
  };
  const uuid = '0b2e1c1c-7f0a-4f4e-9d0c-2a7c1f3f8d11';

  it('go an hour after their writer was killed, the runtime or the agent; nothing else there does', async () => {
    const room = makeRoom();
    leave(room, `.lint.${uuid}.tmp`, HOUR + 1000);
    leave(room, '.removed.since.agent.tmp', HOUR + 1000);
    const kept = [
      leave(room, `.lint.${uuid.replace('0', 'f')}.tmp`, HOUR - 1000),
      leave(room, `.later.${uuid}.tmp`, -2 * HOUR),
      ...['lint.json', '.lint.json', `lint.${uuid}.tmp`, `.lint.${uuid}`, '.lint.notes.tmp', '.tmp'].map(
        (name) => leave(room, name, 24 * HOUR),
      ),
      `.directory.${uuid}.tmp`,
      `.link.${uuid}.tmp`,
    ];
    mkdirSync(join(room.layout.loaded, `.directory.${uuid}.tmp`));
    symlinkSync('/etc/passwd', join(room.layout.loaded, `.link.${uuid}.tmp`));
    sweepDrafts(room.context);
    expect(namesIn(room, room.layout.loaded)).toEqual(kept.toSorted());
    expect(room.complaints).toEqual([]);
  });

  it('stay where nobody may look or remove, which keeps no sweep from its work', async () => {
    const room = makeRoom();
    expect(draftsIn(room.context)).toEqual([]);
    leave(room, `.lint.${uuid}.tmp`, 2 * HOUR);
    const denied = (): never => {
      throw Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES' });
    };
    sweepDrafts(through(room, { ...nodeDisk, unlink: denied }).context);
    expect(draftsIn(through(room, { ...nodeDisk, list: denied }).context)).toEqual([]);
    expect([draftsIn(room.context).length, room.complaints]).toEqual([1, []]);
  });
});

it('knows every plugin that is live, kept or remembered by a receipt', async () => {
  const room = makeRoom();
  await versions(room, '1');
  remove(room);
  mkdirSync(room.layout.live('mine'));
  mkdirSync(room.layout.live('lost+found'));
  expect(knownPlugins(room.context)).toEqual(['lint', 'mine']);
});
