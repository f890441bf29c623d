/** Deltas whose lists lie, whose sources change, for which there is no room, and that are stopped half-way. */
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { Install } from '../../agent/change/install.ts';
import type { Disk } from '../../agent/disk/port.ts';
import { installIdAt } from '../../agent/store/marker.ts';
import { receiptOf } from '../../agent/store/records.ts';
import { planInstall } from '../../agent/store/plan.ts';
import { Fault } from '../../shared/api/fault.ts';
import { DELTA_LIST, type DeltaList } from '../../shared/format/delta.ts';
import { treeDigest } from '../../shared/format/tree.ts';
import { chanceOf, pick } from '../_kit/chance.ts';
import { deliverDelta, treeOf } from '../_kit/delta.ts';
import {
  bundleOf,
  deliver,
  faultOf,
  makeRoom,
  namesIn,
  paramsOf,
  photograph,
  plainDisk,
  type Room,
  sha256,
  through,
} from '../_kit/install-room.ts';
import { file, gzip, tar } from '../_kit/tar-builder.ts';

const FILES = { 'a/SKILL.md': 'skill', 'data.txt': 'data', 'b/more.txt': 'more' };

/** A room with a version of these files, whose installId is `base`. */
async function withVersion(
  room: Room,
  files: Record<string, string> = FILES,
): Promise<{ room: Room; base: string }> {
  await deliver(room, bundleOf(files));
  return { room, base: installIdAt(room.context, room.layout.live('lint')) ?? '' };
}

/** What is refused leaves everything as it was. */
async function refused(room: Room, run: () => Promise<unknown>): Promise<Fault> {
  const live = room.layout.live('lint');
  const before = photograph(room.context.disk, live);
  const fault = await faultOf(run);
  expect(photograph(room.context.disk, live)).toEqual(before);
  expect(namesIn(room, room.layout.staging)).toEqual([]);
  return fault;
}

/** A disk with so much room left. */
const withRoom = (bytes: number, more: Partial<Disk> = {}): Disk => ({
  ...plainDisk,
  clone: undefined,
  space: () => bytes,
  ...more,
});

const MIB = 1024 * 1024;
const BIG = { 'big.txt': 'x'.repeat(600_000) };
const NEW = { list: {}, sent: { 'new.txt': 'new' } };

describe('the room for a delta', () => {
  const declared = { base: '', size: 1000, sha256: 'd'.repeat(64), copied: 600_000 };

  it('is asked for before a byte comes, with what is declared', async () => {
    const { room, base } = await withVersion(makeRoom({ maxRatio: 100_000 }), BIG);
    const delta = { ...declared, base };
    const params = {
      ...paramsOf(Buffer.alloc(1)),
      tree: `sha256:${'1'.repeat(64)}`,
      delta,
      unpacked: 600_100,
    };
    const full = through(room, withRoom(MIB + 500_000));
    const fault = await refused(full, async () => new Install(full.context, params, 'tester').begin());
    expect(fault).toMatchObject({ code: 'NO_SPACE', executed: 'no' });
    expect(fault.message).toContain('600100 bytes');
    const roomy = new Install(through(room, withRoom(MIB + 601_000)).context, params, 'tester');
    expect(roomy.begin()).toContain('-');
    roomy.abort();
  });

  it('is less where copies share their data', async () => {
    const clone = (fd: number, to: string): boolean => {
      plainDisk.close(plainDisk.create(to, 0o644));
      return fd > 0;
    };
    const { room, base } = await withVersion(makeRoom({ maxRatio: 100_000 }), BIG);
    const params = {
      ...paramsOf(Buffer.alloc(1)),
      tree: `sha256:${'1'.repeat(64)}`,
      delta: { ...declared, base },
      unpacked: 600_100,
    };
    const shares = new Install(through(room, withRoom(MIB + 2000, { clone })).context, params, 'tester');
    expect(shares.begin()).toContain('-');
    shares.abort();
    const plan = planInstall(through(room, withRoom(MIB, { clone })).context, { plugin: 'lint' });
    expect(plan.answer).toMatchObject({ shares: true, free: MIB });
    expect(namesIn(room, room.layout.staging)).toEqual([]);
  });

  it('is asked for again when the list is there, whatever was declared', async () => {
    const { room, base } = await withVersion(makeRoom({ maxRatio: 100_000 }), BIG);
    const created: string[] = [];
    const create = (path: string, mode: number): number => {
      created.push(path);
      return plainDisk.create(path, mode);
    };
    const full = through(room, withRoom(MIB + 500_000, { create }));
    const fault = await refused(full, () => deliverDelta(full, base, NEW));
    expect(fault).toMatchObject({ code: 'NO_SPACE', executed: 'no' });
    expect(created.filter((path) => path.endsWith('.txt'))).toEqual([]);
  });

  it('is no question of its own: the same operation with another size is the same', async () => {
    const { room, base } = await withVersion(makeRoom());
    const operationId = 'operation-with-room';
    const first = await deliverDelta(room, base, NEW, { operationId, unpacked: 1000 });
    expect(await deliverDelta(room, base, NEW, { operationId })).toMatchObject({
      installId: first.installId,
    });
  });

  it('is asked for a whole bundle too, if its size unpacked is declared', async () => {
    const room = makeRoom({}, withRoom(MIB + 50_000));
    const fault = await faultOf(() => deliver(room, bundleOf(FILES), { unpacked: 60_000 }));
    expect(fault).toMatchObject({ code: 'NO_SPACE' });
    expect((await deliver(room, bundleOf(FILES), { unpacked: 40_000 })).status).toBe('installed');
  });
});

describe('a delta that takes long', () => {
  /** Begins a delta that takes everything, and stops it while it is validated. */
  async function stopped(
    files: Record<string, string>,
  ): Promise<{ fault: Fault; created: number; reads: number }> {
    const { room, base } = await withVersion(
      makeRoom({ maxRatio: 100_000, maxUnpacked: 64 * MIB, maxPacked: 64 * MIB }),
      files,
    );
    let created = 0;
    let reads = 0;
    const counting = through(room, {
      ...plainDisk,
      clone: undefined,
      create: (path, mode) => {
        created += 1;
        return plainDisk.create(path, mode);
      },
      read: (fd, into) => {
        reads += 1;
        return plainDisk.read(fd, into);
      },
    });
    const list = { base, without: [], take: [] };
    const bytes = gzip(tar(file(DELTA_LIST, JSON.stringify(list)), file('new.txt', 'new')));
    const install = new Install(
      counting.context,
      {
        ...paramsOf(bytes),
        tree: treeOf(room, base, {}, { 'new.txt': 'new' }),
        delta: { base, size: bytes.length, sha256: sha256(bytes) },
      },
      'tester',
    );
    const fault = await refused(room, async () => {
      install.begin();
      await install.write(bytes);
      [created, reads] = [0, 0];
      const validated = install.validate();
      // As the thread does when an abort comes, which it hears between two parts of the copy.
      install.interrupt();
      await validated;
    });
    return { fault, created, reads };
  }

  it('hears an abort in the middle of one file', async () => {
    const { fault, created, reads } = await stopped({ 'big.txt': 'x'.repeat(24 * MIB) });
    expect(fault).toMatchObject({ code: 'CANCELLED', executed: 'no' });
    // The sent file is there already.
    expect(created).toBeLessThanOrEqual(3);
    expect(reads).toBeLessThan(24);
  });

  it('hears an abort between many files', async () => {
    const many = Object.fromEntries(Array.from({ length: 600 }, (_, i) => [`d${i % 9}/${i}.txt`, `${i}`]));
    const { fault, created } = await stopped(many);
    expect(fault.code).toBe('CANCELLED');
    expect(created).toBeLessThan(300);
  });
});

describe('what changes between the plan and the install', () => {
  it('a snapshot that is gone is a CONFLICT', async () => {
    const { room, base } = await withVersion(makeRoom());
    await deliver(room, bundleOf({ 'other.txt': 'other' }));
    const now = installIdAt(room.context, room.layout.live('lint')) ?? '';
    const list: Partial<DeltaList> = {
      take: [{ path: 'back.txt', mode: '644', from: 'data.txt', version: base }],
    };
    const [snapshot = ''] = namesIn(room, room.layout.previous);
    renameSync(join(room.layout.previous, snapshot), join(room.layout.root, '..', 'aside'));
    const fault = await refused(room, () => deliverDelta(room, now, { list, tree: treeDigest([]) }));
    expect(fault).toMatchObject({ code: 'CONFLICT', executed: 'no' });
    renameSync(join(room.layout.root, '..', 'aside'), join(room.layout.previous, snapshot));
    // Its receipt alone is of no use, and neither is it without.
    rmSync(room.layout.receipt('lint', base));
    expect(await refused(room, () => deliverDelta(room, now, { list, tree: treeDigest([]) }))).toMatchObject({
      code: 'CONFLICT',
    });
  });

  it('another version that is live by then is a CONFLICT if the base is gone', async () => {
    const { room, base } = await withVersion(makeRoom({ keep: 0, keepMillis: 0 }));
    await deliver(room, bundleOf({ 'other.txt': 'other' }));
    room.clock.now += 60_000;
    await deliver(room, bundleOf({ 'third.txt': 'third' }));
    expect(await refused(room, () => deliverDelta(room, base, NEW))).toMatchObject({ code: 'CONFLICT' });
  });
});

describe('a list without end', () => {
  const text = (list: object): string => JSON.stringify(list);

  it('of a million paths to leave out is read, and leaves out those that are there', async () => {
    const { room, base } = await withVersion(makeRoom({ maxRatio: 100_000 }));
    const without = Array.from({ length: 1_000_000 }, (_, i) => (i === 500_000 ? 'data.txt' : 'x'));
    const tree = treeOf(room, base, { without: ['data.txt'] }, {});
    const answer = await deliverDelta(room, base, { list: text({ base, without, take: [] }), tree });
    expect(receiptOf(room.context, 'lint', answer.installId)?.list.map(({ path }) => path)).toEqual([
      'plugin.yaml',
      'a/SKILL.md',
      'b/more.txt',
    ]);
  });

  it('of 150,000 files to take is refused at the limit', async () => {
    const { room, base } = await withVersion(makeRoom());
    const take = Array.from({ length: 150_000 }, (_, i) => ({ path: `${i}`, mode: '644', from: 'data.txt' }));
    const fault = await refused(room, () =>
      deliverDelta(room, base, { list: text({ base, without: [], take }) }),
    );
    expect(fault.code).toBe('LIMIT_ENTRIES');
  });

  it('that is longer than accepted is not kept', async () => {
    const { room, base } = await withVersion(makeRoom({ maxRatio: 100_000, maxUnpacked: 64 * MIB }));
    const take = Array.from({ length: 1_000_000 }, () => ({ path: 'x', mode: '644', from: 'data.txt' }));
    const fault = await refused(room, () =>
      deliverDelta(room, base, { list: text({ base, without: [], take }) }),
    );
    expect(fault).toMatchObject({ code: 'INVALID_PARAMS' });
    expect(fault.message).toContain('more than 8388608');
  });
});

it('whatever a list says, the declared tree results or nothing changes', async () => {
  const outcomes = new Map<string, number>();
  for (let seed = 0; seed < 60; seed += 1) {
    const chance = chanceOf('lists', seed);
    const { room, base } = await withVersion(makeRoom());
    const names = ['data.txt', 'a/SKILL.md', 'b/more.txt', 'plugin.yaml', 'new.txt', 'b', 'A/skill.md'];
    const odd = [
      '',
      '.',
      '..',
      '../x',
      '/x',
      'a//b',
      'a/./b',
      'a\\b',
      '.complete',
      'x\0y',
      'con',
      DELTA_LIST,
    ];
    const some = (from: readonly string[]): string[] =>
      Array.from({ length: pick(chance, 4) }, () => from[pick(chance, from.length)] ?? '');
    const any = (): string => some([...names, ...names, ...odd])[0] ?? 'free.txt';
    const list: Partial<DeltaList> = {
      without: some([...names, ...odd]),
      take: some(names).map((from) => ({ path: any(), mode: pick(chance, 2) === 0 ? '644' : '755', from })),
    };
    const sent = Object.fromEntries(some(names).map((path) => [path, `sent ${seed}`]));
    const tree = pick(chance, 5) === 0 ? `sha256:${'2'.repeat(64)}` : treeOf(room, base, list, sent);
    if (pick(chance, 6) === 0) writeFileSync(join(room.layout.live('lint'), 'data.txt'), 'atad');
    const live = room.layout.live('lint');
    const before = photograph(room.context.disk, live);
    let said: string;
    try {
      const answer = await deliverDelta(room, base, { list, sent, tree });
      expect(answer.tree).toBe(tree);
      const read = photograph(room.context.disk, live);
      const found = receiptOf(room.context, 'lint', answer.installId)?.list ?? [];
      for (const { path, sha256: digest } of found) {
        expect(sha256(read[`/${path}`]?.replace(/^file \d+ /, '') ?? '')).toBe(digest);
      }
      said = answer.status;
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      expect(photograph(room.context.disk, live)).toEqual(before);
      expect(namesIn(room, room.layout.staging)).toEqual([]);
      said = error.code;
    }
    outcomes.set(said, (outcomes.get(said) ?? 0) + 1);
  }
  // Chance has found the ways to fail as well as that to succeed.
  for (const way of ['installed', 'DIGEST_MISMATCH', 'ARCHIVE_PATH', 'ARCHIVE_COLLISION', 'CONFLICT']) {
    expect([way, outcomes.get(way) ?? 0]).not.toEqual([way, 0]);
  }
});
