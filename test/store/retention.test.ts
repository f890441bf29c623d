import { chmodSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { nodeDisk } from '../../agent/disk/node-disk.ts';
import { START, type Room, bundleOf, deliver, makeRoom, namesIn, photograph } from '../_kit/install-room.ts';

/** Installs versions one after the other and answers their ids. */
async function versions(room: Room, ...names: string[]): Promise<string[]> {
  const ids: string[] = [];
  for (const name of names) {
    ids.push((await deliver(room, bundleOf({ 'rules/a.md': name }, name))).installId);
  }
  return ids;
}
const slots = (ids: (string | undefined)[]): string[] => ids.map((id) => `lint.${id ?? ''}`).toSorted();
const snapshots = (room: Room): string[] => namesIn(room, room.layout.previous);
const receipts = (room: Room): string[] => namesIn(room, room.layout.receipts);

describe('of the versions before', () => {
  it('one is kept, with its receipt; the receipts of the others go with them', async () => {
    const room = makeRoom();
    const [, , third, fourth] = await versions(room, '1', '2', '3', '4');
    expect(snapshots(room)).toEqual(slots([fourth]));
    expect(receipts(room)).toEqual(slots([third, fourth]).map((name) => `${name}.json`));
    expect(photograph(nodeDisk, room.layout.snapshot('lint', fourth ?? ''))['/rules/a.md']).toBe(
      'file 644 3',
    );
    expect(room.complaints).toEqual([]);
  });

  it.each([0, 2, 3])('as many are kept as the owner says: %i', async (keep) => {
    const room = makeRoom({ keep });
    const ids = await versions(room, '1', '2', '3', '4');
    expect(snapshots(room)).toEqual(slots(ids.slice(4 - keep)));
    expect(receipts(room)).toHaveLength(keep + 1);
  });

  it('the order is that of what replaced what, also where the clock went back', async () => {
    const room = makeRoom({ keep: 2 });
    const ids: string[] = [];
    for (const [i, hours] of [0, -5, 3, -9].entries()) {
      room.clock.now = START + hours * 3_600_000;
      ids.push(...(await versions(room, String(i))));
    }
    expect(snapshots(room)).toEqual(slots(ids.slice(2)));
  });

  it('a version that a stamp from the future was planted beside is kept all the same', async () => {
    const room = makeRoom();
    await versions(room, '1', '2');
    mkdirSync(room.layout.snapshot('lint', '29990101T000000000Z-00000000'));
    const [third] = await versions(room, '3');
    expect(snapshots(room)).toContain(slots([third])[0]);
  });

  it.each<[what: string, edit: (directory: string) => void]>([
    ['edited', (directory) => writeFileSync(join(directory, 'rules/a.md'), 'edited')],
    ['added', (directory) => writeFileSync(join(directory, 'mine.md'), 'x')],
    ['removed', (directory) => rmSync(join(directory, 'rules/a.md'))],
    ['made executable', (directory) => chmodSync(join(directory, 'rules/a.md'), 0o755)],
    ['linked', (directory) => symlinkSync('/etc', join(directory, 'etc'))],
  ])(
    'one in which a file was %s in place is kept beyond that: it exists nowhere else',
    async (_what, edit) => {
      const room = makeRoom();
      const [first] = await versions(room, '1');
      edit(room.layout.live('lint'));
      const [second, , fourth] = await versions(room, '2', '3', '4');
      expect(snapshots(room)).toEqual(slots([second, fourth]));
      expect(receipts(room)).toContain(`lint.${first ?? ''}.json`);
    },
  );

  it('one that was never marked is kept: nobody can say what is in it', async () => {
    const room = makeRoom();
    mkdirSync(room.layout.live('lint'));
    writeFileSync(join(room.layout.live('lint'), 'mine'), 'x');
    const [first, , third] = await versions(room, '1', '2', '3');
    expect(snapshots(room)).toEqual(slots([first, third]));
  });

  it('one without a receipt is kept: nobody can say whether it was edited', async () => {
    const room = makeRoom();
    const [, second] = await versions(room, '1', '2');
    rmSync(room.layout.receipts, { recursive: true });
    mkdirSync(room.layout.receipts);
    const [, fourth] = await versions(room, '3', '4');
    expect(snapshots(room)).toContain(`lint.${second ?? ''}`);
    expect(snapshots(room)).toContain(`lint.${fourth ?? ''}`);
  });

  it('those of other plugins, and what is no snapshot, are left alone', async () => {
    const room = makeRoom({ keep: 0 });
    const others = [
      'lint.old.20260101T000000000Z-00000000',
      'lin.20260101T000000000Z-00000000',
      'lint.20260101T000000000Z-00000000.trash',
      'lint',
      'lost+found',
    ];
    for (const name of others) {
      mkdirSync(join(room.layout.previous, name));
    }
    await versions(room, '1', '2', '3');
    expect(snapshots(room)).toEqual(others.toSorted());
  });

  it('and nothing is followed out of the snapshots: a link there is not a version', async () => {
    const room = makeRoom({ keep: 0 });
    const outside = room.layout.data('precious');
    mkdirSync(outside, { recursive: true });
    writeFileSync(join(outside, 'file'), 'x');
    symlinkSync(outside, room.layout.snapshot('lint', '20260101T000000000Z-00000000'));
    await versions(room, '1', '2');
    expect(readdirSync(outside)).toEqual(['file']);
  });
});

describe('house-keeping that fails', () => {
  it('is complained of, and the install stands, with its intent gone', async () => {
    const room = makeRoom({}, { ...nodeDisk });
    await versions(room, '1', '2');
    const disk = {
      ...nodeDisk,
      rename: (from: string, to: string): void => {
        if (to.endsWith('.trash')) {
          throw Object.assign(new Error('EIO: rename'), { code: 'EIO' });
        }
        nodeDisk.rename(from, to);
      },
    };
    const { installId } = await deliver({ ...room, context: { ...room.context, disk } }, bundleOf({}, '3'));
    expect(room.complaints.map(({ message }) => message)).toEqual([expect.stringMatching(/Collecting.*EIO/)]);
    expect(namesIn(room, room.layout.staging)).toEqual([]);
    expect(snapshots(room)).toContain(`lint.${installId}`);
  });
});
