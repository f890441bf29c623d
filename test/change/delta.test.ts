/** Installs of deltas: what comes of honest lists, and of those that lie. */
import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { installIdAt } from '../../agent/store/marker.ts';
import type { Fault } from '../../shared/api/fault.ts';
import { DELTA_LIST, type DeltaList } from '../../shared/format/delta.ts';
import { nodeDisk } from '../../agent/disk/node-disk.ts';
import { planReconcile } from '../../agent/store/reconcile.ts';
import { receiptOf } from '../../agent/store/records.ts';
import {
  bundleOf,
  contentOf,
  deliver,
  faultOf,
  makeRoom,
  namesIn,
  photograph,
  plainDisk,
  rollBack,
  type Room,
  sha256,
} from '../_kit/install-room.ts';
import { deliverDelta } from '../_kit/delta.ts';
import { LosingDisk } from '../_kit/losing-disk.ts';

const FILES = {
  'hooks/run.sh': 'run',
  'skills/a/SKILL.md': '---\nname: a\ndescription: b\n---\n',
  'data.txt': 'data',
};

/** A room with one version, whose installId is `base`. */
async function withVersion(room: Room): Promise<{ room: Room; base: string }> {
  await deliver(room, bundleOf(FILES));
  return { room, base: installIdAt(room.context, room.layout.live('lint')) ?? '' };
}

const OTHER_TREE = `sha256:${'1'.repeat(64)}`;

const textAt = (room: Room, path: string): string =>
  contentOf(room.context.disk, `${room.layout.live('lint')}/${path}`);

const DISKS = {
  'the real disk': () => makeRoom({}, plainDisk),
  'a disk without a path for descriptors': () =>
    makeRoom({}, { ...plainDisk, within: () => undefined, clone: undefined }),
  'the memory disk': () => makeRoom({}, new LosingDisk().disk, '/plugins'),
} as const;

describe.each(Object.entries(DISKS))('a delta on %s', (_, make) => {
  it('takes what it names, and says in the marker what the client said of the whole bundle', async () => {
    const { room, base } = await withVersion(make());
    const list: Partial<DeltaList> = {
      without: ['data.txt', 'hooks/run.sh'],
      take: [
        { path: 'moved/data.txt', mode: '644', from: 'data.txt' },
        { path: 'hooks/run.sh', mode: '644', from: 'hooks/run.sh' },
      ],
    };
    const answer = await deliverDelta(room, base, { list, sent: { 'new.txt': 'new' } });
    expect(answer).toMatchObject({
      status: 'installed',
      bundle: `sha256:${'c'.repeat(64)}`,
      replaced: base,
      files: 5,
    });
    expect(textAt(room, 'moved/data.txt')).toBe('data');
    expect(textAt(room, 'new.txt')).toBe('new');
    expect(room.context.disk.stat(`${room.layout.live('lint')}/hooks/run.sh`)?.mode).toBe(0o644);
    expect(room.context.disk.stat(`${room.layout.live('lint')}/${DELTA_LIST}`)).toBeUndefined();
    expect(receiptOf(room.context, 'lint', answer.installId)?.tree).toBe(answer.tree);
  });
});

describe('a bundle that only the sender of a delta has named', () => {
  const bytes = bundleOf({ ...FILES, 'new.txt': 'good' });
  const bundle = { size: bytes.length, sha256: sha256(bytes) };
  const declared = [{ name: 'lint', bundle: `sha256:${bundle.sha256}` }];

  it('is read when it comes, and does not count as delivered before', async () => {
    const { room, base } = await withVersion(makeRoom());
    const lie = await deliverDelta(room, base, { list: {}, sent: { 'new.txt': 'evil' } }, { bundle });
    expect(lie.bundleUnread).toBe(true);
    expect(planReconcile(room.context, { declared, repair: false })).toMatchObject([
      { state: 'stale', action: 'deliver' },
    ]);
    const real = await deliver(room, bytes, { bundle });
    expect(real).toMatchObject({ status: 'installed', bundle: lie.bundle });
    expect(real.bundleUnread).toBeUndefined();
    expect(textAt(room, 'new.txt')).toBe('good');
    expect(planReconcile(room.context, { declared, repair: false })).toMatchObject([{ state: 'present' }]);
  });

  it('is present for who declares its tree, unless links are to be refused', async () => {
    const { room, base } = await withVersion(makeRoom());
    const { tree } = await deliverDelta(room, base, { list: {}, sent: { 'new.txt': 'good' } }, { bundle });
    const again = await deliver(room, bytes, { bundle, tree });
    expect(again.status).toBe('present');
    const strict = await deliver(room, bytes, { bundle, tree, links: 'refuse' });
    expect(strict.status).toBe('installed');
  });

  it('stays so in a version that comes back', async () => {
    const { room, base } = await withVersion(makeRoom());
    await deliverDelta(room, base, { list: {}, sent: { 'new.txt': 'evil' } }, { bundle });
    await deliver(room, bundleOf({ ...FILES, 'new.txt': 'third' }));
    rollBack(room);
    expect(textAt(room, 'new.txt')).toBe('evil');
    expect((await deliver(room, bytes, { bundle })).status).toBe('installed');
  });
});

/** What is refused leaves everything as it was. */
async function refused(room: Room, run: () => Promise<unknown>): Promise<Fault> {
  const live = room.layout.live('lint');
  const before = photograph(room.context.disk, live);
  const fault = await faultOf(run);
  expect(photograph(room.context.disk, live)).toEqual(before);
  expect(namesIn(room, room.layout.staging)).toEqual([]);
  return fault;
}

describe('a list that lies', () => {
  const take = (path: string): Partial<DeltaList> => ({ take: [{ path, mode: '644', from: 'data.txt' }] });

  it.each([
    ['climbs', '../out.txt', 'ARCHIVE_PATH', 1],
    ['is absolute', '/tmp/out.txt', 'ARCHIVE_PATH', 4],
    ['holds a backslash', 'a\\b', 'ARCHIVE_PATH', 10],
    ['is reserved', '.staging/x', 'ARCHIVE_PATH', 23],
    ['is there already', 'data.txt', 'ARCHIVE_COLLISION', 25],
    ['differs in case only', 'DATA.txt', 'ARCHIVE_COLLISION', 27],
    ['is below a file', 'data.txt/x', 'ARCHIVE_COLLISION', 29],
  ])('is refused for a path that %s', async (_, path, code, rule) => {
    const { room, base } = await withVersion(makeRoom());
    const fault = await refused(room, () => deliverDelta(room, base, { list: take(path) }));
    expect(fault).toMatchObject({ code, violations: [{ rule }] });
  });

  it('is refused for a file that is sent and also kept', async () => {
    const { room, base } = await withVersion(makeRoom());
    const fault = await refused(room, () =>
      deliverDelta(room, base, { list: {}, sent: { 'data.txt': 'x' } }),
    );
    expect(fault).toMatchObject({ code: 'ARCHIVE_COLLISION', violations: [{ rule: 25 }] });
  });

  it('takes nothing that no receipt lists', async () => {
    const { room, base } = await withVersion(makeRoom());
    for (const from of ['../../outside', '/etc/passwd', '.complete']) {
      const list: Partial<DeltaList> = { take: [{ path: 'x', mode: '644', from }] };
      expect(await refused(room, () => deliverDelta(room, base, { list, tree: OTHER_TREE }))).toMatchObject({
        code: 'CONFLICT',
      });
    }
  });

  it('takes nothing of another plugin', async () => {
    const { room, base } = await withVersion(makeRoom());
    const other = '20260508T141530999Z-9f86d081';
    mkdirSync(join(room.layout.previous, `lint.other.${other}`));
    const list: Partial<DeltaList> = { take: [{ path: 'x', mode: '644', from: 'data.txt', version: other }] };
    expect(await refused(room, () => deliverDelta(room, base, { list }))).toMatchObject({ code: 'CONFLICT' });
  });

  it('is refused if the copies are beyond the limits', async () => {
    const { room, base } = await withVersion(makeRoom());
    const many = Array.from({ length: 1001 }, (_, i) => ({
      path: `x${i}`,
      mode: '644' as const,
      from: 'data.txt',
    }));
    expect(await refused(room, () => deliverDelta(room, base, { list: { take: many } }))).toMatchObject({
      code: 'LIMIT_ENTRIES',
    });
    const small: Room = {
      ...room,
      context: { ...room.context, policy: { ...room.context.policy, maxUnpacked: 100 } },
    };
    const some = Array.from({ length: 40 }, (_, i) => ({
      path: `x${i}`,
      mode: '644' as const,
      from: 'data.txt',
    }));
    expect(await refused(room, () => deliverDelta(small, base, { list: { take: some } }))).toMatchObject({
      code: 'LIMIT_UNPACKED',
    });
  });

  it('is refused if it makes another tree than declared', async () => {
    const { room, base } = await withVersion(makeRoom());
    const tree = OTHER_TREE;
    expect(await refused(room, () => deliverDelta(room, base, { list: {}, tree }))).toMatchObject({
      code: 'DIGEST_MISMATCH',
    });
  });

  it.each(['', 'x', '{}', '[]', '{"base":1}'])('is refused if it is not a list: %j', async (list) => {
    const { room, base } = await withVersion(makeRoom());
    expect(await refused(room, () => deliverDelta(room, base, { list }))).toMatchObject({
      code: 'INVALID_PARAMS',
    });
  });

  it('is refused without a list, without a tree, for a base that is not there, and for another base', async () => {
    const { room, base } = await withVersion(makeRoom());
    const bytes = bundleOf(FILES);
    const delta = { base, size: bytes.length, sha256: sha256(bytes) };
    const tree = OTHER_TREE;
    const bundle = { size: 1000, sha256: 'd'.repeat(64) };
    const codes = [
      await refused(room, () => deliver(room, bytes, { bundle, tree, delta })),
      await refused(room, () => deliver(room, bytes, { bundle, delta })),
      await refused(room, () =>
        deliver(room, bytes, { bundle, tree, delta: { ...delta, base: '20200101T000000000Z-00000000' } }),
      ),
      await refused(room, () =>
        deliverDelta(room, base, { list: { base: '20200101T000000000Z-00000000' }, tree }),
      ),
    ].map(({ code }) => code);
    expect(codes).toEqual(['INVALID_PARAMS', 'INVALID_PARAMS', 'CONFLICT', 'INVALID_PARAMS']);
  });
});

describe('a file that is no source any more', () => {
  it.each([
    ['was edited to the same size', (path: string) => writeFileSync(path, 'atad')],
    ['was edited to another size', (path: string) => writeFileSync(path, 'longer')],
    ['is gone', (path: string) => rmSync(path)],
    [
      'became a link',
      (path: string) => {
        rmSync(path);
        symlinkSync('/etc/hostname', path);
      },
    ],
    [
      'became a FIFO',
      (path: string) => {
        rmSync(path);
        execFileSync('mkfifo', [path]);
      },
    ],
    [
      'became a directory',
      (path: string) => {
        rmSync(path);
        mkdirSync(path);
      },
    ],
  ])('gives a CONFLICT if it %s', async (_, spoil) => {
    const { room, base } = await withVersion(makeRoom());
    spoil(join(room.layout.live('lint'), 'data.txt'));
    const fault = await refused(room, () => deliverDelta(room, base, { list: {}, sent: { 'new.txt': 'x' } }));
    expect(fault).toMatchObject({ code: 'CONFLICT', executed: 'no' });
    expect(fault.hint).toContain('whole bundle');
  });

  it('is still read if another install displaces its version meanwhile', async () => {
    const { room, base } = await withVersion(makeRoom());
    let opened = 0;
    const disk = {
      ...plainDisk,
      open: (path: string): number => {
        opened += path.endsWith('/data.txt') ? 1 : 0;
        return plainDisk.open(path);
      },
    };
    // What the live name leads to by then does not matter: the directory is open.
    const moved = { ...room, context: { ...room.context, disk } };
    await deliverDelta(moved, base, { list: {}, sent: { 'new.txt': 'x' } });
    expect(opened).toBeGreaterThan(0);
    expect(textAt(room, 'data.txt')).toBe('data');
  });
});

/** A disk that makes clones, and the places of those. */
function cloningDisk(): { disk: typeof plainDisk; cloned: string[] } {
  const cloned: string[] = [];
  const disk = {
    ...plainDisk,
    clone: (fd: number, to: string): boolean => {
      // A copy by hand stands for a clone.
      const out = nodeDisk.create(to, nodeDisk.statOpen(fd).mode);
      const bytes = Buffer.alloc(1000);
      nodeDisk.write(out, bytes.subarray(0, nodeDisk.read(fd, bytes)));
      nodeDisk.close(out);
      cloned.push(to);
      return true;
    },
  };
  return { disk, cloned };
}

it('a clone of a file to which bytes were added is noticed', async () => {
  const { disk, cloned } = cloningDisk();
  const { room, base } = await withVersion(makeRoom({}, disk));
  appendFileSync(join(room.layout.live('lint'), 'data.txt'), 'more');
  const fault = await refused(room, () => deliverDelta(room, base, { list: {}, sent: { 'new.txt': 'x' } }));
  expect(fault).toMatchObject({ code: 'CONFLICT', executed: 'no' });
  expect(cloned.some((path) => path.endsWith('/data.txt'))).toBe(true);
});

it('a file system that clones gets clones, and one that does not gets copies', async () => {
  const { disk, cloned } = cloningDisk();
  const { room, base } = await withVersion(makeRoom({}, disk));
  await deliverDelta(room, base, { list: {}, sent: { 'new.txt': 'x' } });
  const inTree = cloned.filter((path) => !path.includes('-clone-'));
  expect(inTree.length).toBe(4);
  // One more was to find out whether copies need room, and is gone.
  expect([cloned.length, namesIn(room, room.layout.staging)]).toEqual([5, []]);
  expect(textAt(room, 'data.txt')).toBe('data');
});
