import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { nodeDisk } from '../../agent/disk/node-disk.ts';
import { verifyPlugin } from '../../agent/store/inspect.ts';
import { receiptOf, stateOf } from '../../agent/store/records.ts';
import { MARKER } from '../../shared/format/layout.ts';
import type { Installed } from '../../shared/api/plugin.ts';
import {
  type Room,
  bundleOf,
  deliver,
  faultOf,
  makeRoom,
  namesIn,
  photograph,
  plainDisk,
  remove,
  rollBack,
  through,
  yamlOf,
} from '../_kit/install-room.ts';
import { file, gzip, symlink, tar } from '../_kit/tar-builder.ts';

const versionOf = (version: string): Buffer => bundleOf({ 'rules/a.md': version }, version);

async function versions(room: Room, ...names: string[]): Promise<Installed[]> {
  const answers: Installed[] = [];
  for (const name of names) answers.push(await deliver(room, versionOf(name)));
  return answers;
}

const ruleOf = ({ layout }: Room): string => readFileSync(join(layout.live('lint'), 'rules/a.md'), 'utf8');
const codeOf = async (run: () => unknown): Promise<string> => (await faultOf(run)).code;

describe('a rollback', () => {
  it('brings the version before back under an id of its own, durable and verified', async () => {
    const room = makeRoom();
    const [first, second] = await versions(room, '1', '2');
    const answer = rollBack(room);
    expect(answer).toMatchObject({
      status: 'rolled-back',
      replaced: second?.installId,
      tree: first?.tree,
      bundle: first?.bundle,
      reload: { kind: 'cold', action: 'restart', restarting: true },
    });
    expect(answer.installId > (second?.installId ?? '')).toBe(true);
    expect([ruleOf(room), verifyPlugin(room.context, 'lint').verdict]).toEqual(['1', 'intact']);
    expect(namesIn(room, room.layout.previous)).toEqual([`lint.${answer.installId}`]);
    expect([namesIn(room, room.layout.staging), room.complaints]).toEqual([[], []]);
    expect(room.events.map(({ type }) => type)).toContain('install.rolled-back');
  });

  it('can itself be rolled back, and then the newer version is not refused any more', async () => {
    const room = makeRoom();
    await versions(room, '1', '2');
    rollBack(room);
    rollBack(room);
    expect(ruleOf(room)).toBe('2');
    expect((await deliver(room, versionOf('2'))).status).toBe('present');
    expect(await codeOf(() => deliver(room, versionOf('1')))).toBe('HELD');
  });

  it('goes to the version that is named, and follows the chain also where the clock went back', async () => {
    const room = makeRoom({ keep: 5 });
    const ids: string[] = [];
    for (const [i, hours] of [0, -5, 3, -9].entries()) {
      room.clock.now += hours * 3_600_000;
      ids.push(...(await versions(room, String(i))).map(({ installId }) => installId));
    }
    rollBack(room, { to: ids[1] ?? '' });
    expect(ruleOf(room)).toBe('1');
    const fault = await faultOf(() => rollBack(room, { to: '20010101T000000000Z-00000000' }));
    expect([fault.code, fault.hint]).toEqual(['NOT_FOUND', expect.stringContaining(ids[2] ?? '')]);
  });

  it('is possible after a removal, and not where nothing is kept', async () => {
    const room = makeRoom();
    expect(await codeOf(() => rollBack(room))).toBe('NOT_FOUND');
    await versions(room, '1');
    expect(await codeOf(() => rollBack(room))).toBe('NOT_FOUND');
    remove(room);
    rollBack(room);
    expect(ruleOf(room)).toBe('1');
  });

  it('brings edits in place back and names them', async () => {
    const room = makeRoom();
    await versions(room, '1');
    writeFileSync(join(room.layout.live('lint'), 'rules/a.md'), 'edited');
    writeFileSync(join(room.layout.live('lint'), 'mine.md'), 'x');
    const [second] = await versions(room, '2');
    const answer = rollBack(room);
    expect(answer.warnings.items).toEqual([
      'rules/a.md: it was edited in place',
      'mine.md: it was added in place',
    ]);
    expect([ruleOf(room), answer.bundle]).toEqual(['edited', answer.tree]);
    expect([verifyPlugin(room.context, 'lint').verdict, second?.status]).toEqual(['intact', 'installed']);
  });

  it('keeps what is known of a bundle, but not for a tree that was edited since', async () => {
    const room = makeRoom();
    const warned = bundleOf({ 'rules/a.md': '1', 'x~': 'x' }, '1');
    const about = (answer: Installed) => {
      const { skipped, bundleLinks, warnings } = receiptOf(room.context, 'lint', answer.installId) ?? {};
      return { skipped, bundleLinks, warnings: warnings?.total };
    };
    await deliver(room, warned);
    await versions(room, '2');
    expect(about(rollBack(room))).toEqual({ skipped: ['x~'], bundleLinks: 'none', warnings: 1 });
    writeFileSync(join(room.layout.live('lint'), 'rules/a.md'), 'edited');
    await versions(room, '3');
    expect(about(rollBack(room))).toEqual({ skipped: [], bundleLinks: undefined, warnings: undefined });
  });

  it('to a version without a marker needs force', async () => {
    const room = makeRoom();
    mkdirSync(join(room.layout.live('lint'), 'rules'), { recursive: true });
    writeFileSync(join(room.layout.live('lint'), 'plugin.yaml'), 'name: lint\nversion: 0.1.0\n');
    writeFileSync(join(room.layout.live('lint'), 'rules/a.md'), 'old');
    await versions(room, '1');
    expect(await codeOf(() => rollBack(room))).toBe('CONFLICT');
    expect(rollBack(room, { force: true }).warnings.items[0]).toContain('no receipt');
    expect(ruleOf(room)).toBe('old');
  });

  it('remembers what it took away, by bundle and by tree; force takes it all the same', async () => {
    const room = makeRoom();
    const [, second] = await versions(room, '1', '2');
    rollBack(room);
    expect(stateOf(room.context, 'lint')?.refused).toMatchObject({
      installId: second?.installId,
      tree: second?.tree,
    });
    expect(await codeOf(() => deliver(room, versionOf('2')))).toBe('HELD');
    // The same files from another archive show only when they are validated.
    const other = bundleOf({ 'rules/a.md': '2', '.DS_Store': 'x' }, '2');
    const before = photograph(plainDisk, room.layout.root);
    expect(await codeOf(() => deliver(room, other))).toBe('HELD');
    expect(photograph(plainDisk, room.layout.root)).toEqual(before);
    expect((await deliver(room, other, { force: true })).status).toBe('installed');
    expect(stateOf(room.context, 'lint')?.refused).toBeUndefined();
  });

  it('that is asked for again gets the same answer, and is not made again', async () => {
    const room = makeRoom();
    await versions(room, '1', '2');
    const first = rollBack(room, { operationId: 'same' });
    expect(rollBack(room, { operationId: 'same' })).toEqual(first);
    expect(ruleOf(room)).toBe('1');
    expect(await codeOf(() => rollBack(room, { operationId: 'same', restart: false }))).toBe('CONFLICT');
    expect(await codeOf(() => remove(room, { operationId: 'same' }))).toBe('CONFLICT');
  });

  it('heeds what is expected, a hold, and a plugin that is disabled stays so', async () => {
    const room = makeRoom();
    const [first] = await versions(room, '1', '2');
    const expected = { expect: { installId: first?.installId ?? '' } };
    expect(await codeOf(() => rollBack(room, expected))).toBe('CONFLICT');
    writeFileSync(room.layout.stateOf('lint'), '{"version":1,"held":"wait"}');
    expect(await codeOf(() => rollBack(room))).toBe('HELD');
    writeFileSync(room.layout.stateOf('lint'), '{"version":1,"disabled":true}');
    rollBack(room);
    expect(ruleOf(room)).toBe('1');
    expect(stateOf(room.context, 'lint')?.disabled).toBe(true);
  });

  it.each(['full', 'none'])(
    'that fails leaves the snapshot the version that it was (marker: %s)',
    async (kind) => {
      const room = makeRoom();
      const [first] = await versions(room, '1', '2');
      const [snapshot] = namesIn(room, room.layout.previous);
      if (kind === 'none') rmSync(join(room.layout.previous, snapshot ?? '', MARKER));
      const before = photograph(plainDisk, room.layout.root);
      const disk = {
        ...plainDisk,
        rename: (from: string, to: string): void => {
          if (to === room.layout.live('lint') && from.includes('.staging')) {
            throw Object.assign(new Error('EIO: rename'), { code: 'EIO' });
          }
          plainDisk.rename(from, to);
        },
      };
      expect(await codeOf(() => rollBack(through(room, disk), { force: true }))).toBe('SWAP_FAILED');
      expect(photograph(plainDisk, room.layout.root)).toEqual(before);
      const named = kind === 'none' ? { force: true } : { to: first?.installId ?? '' };
      rollBack(room, named);
      expect(ruleOf(room)).toBe('1');
    },
  );
});

describe('a disk that fails', () => {
  it('is said as a fault, not taken for a snapshot without a marker', async () => {
    const room = makeRoom();
    await versions(room, '1', '2');
    const disk = {
      ...nodeDisk,
      open: (path: string): number => {
        if (path.includes('.previous') && path.endsWith(MARKER)) {
          throw Object.assign(new Error('EMFILE: open'), { code: 'EMFILE' });
        }
        return nodeDisk.open(path);
      },
    };
    const fault = await faultOf(() => rollBack(through(room, disk), { force: true }));
    expect([fault.code, fault.message]).toEqual(['INTERNAL', expect.stringContaining('EMFILE')]);
  });
});

it('still says how many links of the bundle were left out', async () => {
  const room = makeRoom();
  const bytes = gzip(tar(file('plugin.yaml', yamlOf()), symlink('gone', '/etc/passwd')));
  expect((await deliver(room, bytes)).skipped).toBe(1);
  room.clock.now += 1000;
  expect((await deliver(room, versionOf('2.0.0'))).skipped).toBeUndefined();
  room.clock.now += 1000;
  expect(rollBack(room).skipped).toBe(1);
});
