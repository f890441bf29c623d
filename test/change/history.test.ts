/** The history of a plugin: one line for each operation, whatever happens, and nothing in it can be changed unseen. */
import {
  appendFileSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';

import { describe, expect, it } from 'vitest';

import { handle } from '../../agent/worker/handlers.ts';
import { nodeDisk } from '../../agent/disk/node-disk.ts';
import { Install } from '../../agent/change/install.ts';
import { recover } from '../../agent/change/recover.ts';
import { noteFailure } from '../../agent/change/note-history.ts';
import {
  expiredHistories,
  isNothing,
  planSweep,
  removeHistory,
  sweepPlugin,
} from '../../agent/change/sweep.ts';
import { receiptDigest } from '../../agent/store/history.ts';
import { prepareRoot } from '../../agent/store/prepare.ts';
import { receiptOf } from '../../agent/store/records.ts';
import { verifyHistory } from '../../agent/store/verify-history.ts';
import { HISTORY_KEPT, HISTORY_MOST, lineDigest, nextLine } from '../../shared/format/history.ts';
import { FaultyDisk, crashAt, failFrom } from '../_kit/faulty-disk.ts';
import { brokenHistory, inShort, linesOf } from '../_kit/history.ts';
import { LosingDisk } from '../_kit/losing-disk.ts';
import {
  type Room,
  bundleOf,
  deliver,
  makeRoom,
  paramsOf,
  plainDisk,
  remove,
  rollBack,
  through,
} from '../_kit/install-room.ts';

const v = (n: number): Buffer => bundleOf({ 'rules/a.md': `version ${n}` }, `${n}.0.0`);
/** Quick: what counts is what is written. */
const quick = { ...plainDisk, sync: (fd: number): void => void nodeDisk.statOpen(fd) };
const fileOf = ({ layout }: Room): string => layout.historyOf('lint');
const textsOf = (room: Room): string[] => readFileSync(fileOf(room), 'utf8').split('\n').slice(0, -1);
const rewrite = (room: Room, texts: readonly string[]): void =>
  writeFileSync(fileOf(room), texts.map((text) => `${text}\n`).join(''));
const findingsOf = (room: Room, head?: string): string[] =>
  (verifyHistory(room.context, 'lint', head).findings?.items ?? []).map(({ what }) => what);
const call = (room: Room, method: 'plugin.hold' | 'plugin.disable', more: object): void => {
  const operationId = `operation-${Math.random().toString(36).slice(2, 10)}`;
  void handle(room.context, method, { operationId, plugin: 'lint', ...more }, 'ops');
};

async function story(): Promise<Room> {
  const room = makeRoom({ keep: 3 }, quick);
  await deliver(room, v(1), { source: 'registry/lint@1' });
  await deliver(room, v(2));
  rollBack(room);
  remove(room);
  return room;
}

describe('a history', () => {
  it('says who did what, from which version to which, and how it ended', async () => {
    const room = await story();
    call(room, 'plugin.hold', { why: 'audit' });
    call(room, 'plugin.hold', { release: true });
    call(room, 'plugin.disable', { disabled: true });
    call(room, 'plugin.disable', { disabled: false });
    expect(linesOf(room).map(inShort)).toEqual([
      'install ->1.0.0 by tester: done',
      'install 1.0.0>2.0.0 by tester: done',
      'rollback 2.0.0>1.0.0 by tester: done',
      'uninstall 1.0.0>- by tester: done',
      'hold by ops: done',
      'release by ops: done',
      'disable by ops: done',
      'enable by ops: done',
    ]);
    expect(linesOf(room)[0]).toMatchObject({
      seq: 1,
      plugin: 'lint',
      source: 'registry/lint@1',
      before: null,
    });
    expect(linesOf(room)[4]).toMatchObject({ why: 'audit' });
    expect(brokenHistory(room)).toEqual([]);
    expect(room.complaints).toEqual([]);
  });

  it('carries in each line the sha256 of the line before, and in each receipt that of the receipt before', async () => {
    const room = makeRoom({ keep: 5 }, quick);
    await deliver(room, v(1));
    await deliver(room, v(2));
    remove(room);
    await deliver(room, v(3));
    const texts = textsOf(room);
    expect(
      linesOf(room)
        .slice(1)
        .map(({ before }) => before),
    ).toEqual(texts.slice(0, -1).map(lineDigest));
    const ids = linesOf(room).flatMap(({ to }) => to?.installId ?? []);
    const digests = ids.map((id) => receiptDigest(room.context, 'lint', id));
    expect(linesOf(room).flatMap(({ to }) => to?.receipt ?? [])).toEqual(digests);
    expect(ids.map((id) => receiptOf(room.context, 'lint', id)?.before)).toEqual([
      undefined,
      ...digests.slice(0, -1),
    ]);
  });

  it('begins with the next change where a plugin was installed before there was one', async () => {
    const room = makeRoom({}, quick);
    const old = await deliver(room, v(1));
    rmSync(fileOf(room));
    expect(verifyHistory(room.context, 'lint')).toMatchObject({ verdict: 'unknown', head: null });
    const next = await deliver(room, v(2));
    expect(linesOf(room).map(inShort)).toEqual(['install 1.0.0>2.0.0 by tester: done']);
    expect(receiptOf(room.context, 'lint', next.installId)?.before).toBe(
      receiptDigest(room.context, 'lint', old.installId),
    );
    expect(brokenHistory(room)).toEqual([]);
  });

  it('has, after a sweep, a line of a version that none tells of', async () => {
    const room = makeRoom({}, quick);
    await deliver(room, v(1));
    rmSync(fileOf(room));
    const plan = planSweep(room.context, 'lint');
    expect(isNothing(plan)).toBe(false);
    sweepPlugin(room.context, 'lint', plan);
    expect(isNothing(planSweep(room.context, 'lint'))).toBe(true);
    expect(linesOf(room).map(inShort)).toEqual(['found ?>1.0.0 by tester: done']);
    expect(verifyHistory(room.context, 'lint')).toMatchObject({ verdict: 'whole', notes: [] });
    // A marker that was copied from another plugin writes nothing into the history of either.
    renameSync(room.layout.live('lint'), room.layout.live('other'));
    expect(planSweep(room.context, 'other').unnoted).toBe(false);
  });

  it('has, after a sweep, a line that nothing is live, if that of the removal is missing', async () => {
    const room = makeRoom({}, quick);
    await deliver(room, v(1));
    const before = textsOf(room);
    remove(room);
    rewrite(room, before);
    expect(findingsOf(room)).toEqual([expect.stringContaining('but nothing is')]);
    sweepPlugin(room.context, 'lint');
    expect(linesOf(room).at(-1)).toMatchObject({ op: 'found', by: 'unknown', to: null, outcome: 'done' });
    expect(verifyHistory(room.context, 'lint')).toMatchObject({
      verdict: 'whole',
      notes: [expect.stringContaining('nothing was found live, and no line tells who removed')],
    });
    expect(isNothing(planSweep(room.context, 'lint'))).toBe(true);
    // A removal that has its line needs no other one.
    await deliver(room, v(2));
    remove(room);
    const lines = linesOf(room).length;
    sweepPlugin(room.context, 'lint');
    expect(linesOf(room)).toHaveLength(lines);
  });

  it('has a line of a failure, but begins with none but that of an install', async () => {
    const room = makeRoom({}, quick);
    const failed = { plugin: 'lint', operationId: 'operation-1', by: 'ci', code: 'HELD' };
    noteFailure(room.context, { ...failed, op: 'rollback' });
    expect(linesOf(room)).toEqual([]);
    noteFailure(room.context, { ...failed, op: 'install', bundle: `sha256:${'0'.repeat(64)}`, unnoted: 3 });
    noteFailure(room.context, { ...failed, op: 'rollback' });
    expect(linesOf(room)).toMatchObject([
      { op: 'install', by: 'ci', outcome: 'failed', code: 'HELD', unnoted: 3, to: { installId: null } },
      { op: 'rollback', outcome: 'failed' },
    ]);
    expect(brokenHistory(room)).toEqual([]);
    for (let i = 0; i < 1000; i += 1) writeFileSync(room.layout.historyOf(`p${i}`), '');
    noteFailure(room.context, { ...failed, plugin: 'one-more', op: 'install' });
    expect(linesOf(room, 'one-more')).toEqual([]);
  });

  it('is kept for a while when the plugin is gone, and not removed while anything is left of it', async () => {
    const room = makeRoom({}, quick);
    await deliver(room, v(1));
    remove(room);
    const expired = (): string[] => expiredHistories({ ...room.context, now: Date.now }, ['lint']);
    expect(expired()).toEqual([]);
    const before = new Date(Date.now() - 91 * 24 * 60 * 60 * 1000);
    utimesSync(fileOf(room), before, before);
    expect(expired()).toEqual(['lint']);
    expect(removeHistory(room.context, 'lint')).toBe(false);
    rmSync(room.layout.previous, { recursive: true });
    rmSync(room.layout.receipts, { recursive: true });
    prepareRoot(room.context.disk, room.layout);
    expect(removeHistory(room.context, 'lint')).toBe(true);
    expect(room.context.disk.list(room.layout.history)).toEqual([]);
  });

  it('has a line of what a sweep adopts', async () => {
    const room = makeRoom({}, quick);
    await deliver(room, v(1));
    writeFileSync(`${room.layout.live('lint')}/.complete`, '');
    expect(sweepPlugin(room.context, 'lint').adopted).toBe(true);
    expect(linesOf(room).map(inShort).at(-1)).toBe('adopt ?>1.0.0 by airlock: done');
    expect(brokenHistory(room)).toEqual([]);
  });

  it('is not a reason to fail: where it cannot be written, the change stands, and the agent says so', async () => {
    const room = makeRoom({}, quick);
    await deliver(room, v(1));
    const faulty = new FaultyDisk(quick);
    faulty.arm((one) => (one.path.includes('/.history') && one.kind !== 'open' ? 'ENOSPC' : undefined));
    expect(await deliver(through(room, faulty.disk), v(2))).toMatchObject({ status: 'installed' });
    expect(room.complaints.map(({ message }) => message)).toEqual([
      expect.stringContaining('history of "lint"'),
    ]);
    expect(linesOf(room)).toHaveLength(1);
    expect(findingsOf(room)).toEqual([expect.stringMatching(/^By line 1 \S+ is live, but \S+ is$/)]);
  });

  it('does not grow without end', async () => {
    const room = makeRoom({}, quick);
    await deliver(room, v(1));
    const texts = textsOf(room);
    while (texts.length < HISTORY_MOST) {
      texts.push(nextLine(texts, 'lint', 0, { op: 'hold', by: 'x'.repeat(1000), outcome: 'done' }));
    }
    rewrite(room, texts);
    await deliver(room, v(2));
    expect([linesOf(room).length, linesOf(room).at(-1)?.seq]).toEqual([HISTORY_KEPT, HISTORY_MOST + 1]);
    expect(statSync(fileOf(room)).size).toBeLessThan(HISTORY_KEPT * 1000);
    expect(brokenHistory(room)).toEqual([]);
    await deliver(room, v(3));
    expect([linesOf(room).length, brokenHistory(room)]).toEqual([HISTORY_KEPT + 1, []]);
  });
});

describe('a crash', () => {
  const KILLED: Record<string, (room: Room) => unknown> = {
    'an update': (room) => deliver(room, v(3)),
    'a rollback': (room) => rollBack(room),
    'a removal': (room) => remove(room),
  };

  it.each(Object.keys(KILLED))(
    'anywhere in %s leaves one line for it once recovery has run',
    async (name) => {
      const ends = new Set<string>();
      for (let n = 1, crashed = true; crashed; n += 23) {
        const { disk } = new LosingDisk({ exchange: true });
        const room = makeRoom({ keep: 3 }, disk, '/plugins');
        await deliver(room, v(1));
        await deliver(room, v(2));
        const faulty = new FaultyDisk(disk);
        faulty.arm(crashAt(n));
        try {
          await KILLED[name]?.(through(room, faulty.disk));
        } catch {
          // It is killed.
        }
        crashed = faulty.failed.length > 0;
        // Nothing tells of what was killed before it had an intent.
        const hadIntent = room.context.disk
          .list(room.layout.staging)
          .some(({ name: entry }) => entry.endsWith('.json'));
        recover(room.context, 'lint');
        recover(room.context, 'lint');
        const lines = linesOf(room).slice(2);
        expect({ n, broken: brokenHistory(room), lines: lines.length }).toEqual({
          n,
          broken: [],
          lines: hadIntent || lines.length > 0 ? 1 : 0,
        });
        for (const { outcome, by } of lines) ends.add(`${outcome} by ${by}`);
      }
      expect([...ends].toSorted()).toEqual(['done by tester', 'undone by tester']);
    },
  );

  it('leaves a line that says so where a version that was answered has to be undone', async () => {
    const room = makeRoom({}, quick);
    await deliver(room, v(1));
    const faulty = new FaultyDisk(quick);
    const install = new Install(through(room, faulty.disk).context, paramsOf(v(2)), 'tester');
    install.begin();
    await install.write(v(2));
    await install.validate();
    install.install();
    faulty.arm(({ path }) => (path.includes('/.staging/') ? 'EIO' : undefined));
    install.collect();
    writeFileSync(`${room.layout.live('lint')}/rules/a.md`, 'edited');
    recover(room.context, 'lint');
    expect(linesOf(room).map(inShort)).toEqual([
      'install ->1.0.0 by tester: done',
      'install 1.0.0>2.0.0 by tester: done',
      'install 1.0.0>2.0.0 by tester: undone',
    ]);
    expect(brokenHistory(room)).toEqual([]);
  });

  it('that tears the last line is told, and repaired by the next line', async () => {
    const room = await story();
    for (const torn of ['{"version":1,"seq":5', '\0\0\0\0"}\n']) {
      const lines = linesOf(room).length;
      appendFileSync(fileOf(room), torn);
      expect(verifyHistory(room.context, 'lint')).toMatchObject({
        verdict: 'whole',
        lines,
        notes: [expect.stringContaining('torn')],
      });
      call(room, 'plugin.hold', { release: true });
      expect([linesOf(room).length, brokenHistory(room)]).toEqual([lines + 1, []]);
    }
  });

  it('of a full disk in the middle of a line costs no other line', async () => {
    const room = await story();
    const faulty = new FaultyDisk(quick);
    faulty.arm(({ kind, path }) => (kind === 'write' && path.includes('/.history/') ? 'ENOSPC' : undefined));
    call(through(room, faulty.disk), 'plugin.disable', { disabled: true });
    faulty.arm(failFrom(Infinity, 'ENOSPC', []));
    call(room, 'plugin.disable', { disabled: false });
    expect(linesOf(room).map(({ op }) => op)).toEqual([
      'install',
      'install',
      'rollback',
      'uninstall',
      'enable',
    ]);
    expect(brokenHistory(room)).toEqual([]);
  });
});

describe('verifying a history finds', () => {
  const edited = (text = ''): string => text.replace('tester', 'nobody');

  it('a line that was edited', async () => {
    const room = await story();
    rewrite(
      room,
      textsOf(room).map((text, i) => (i === 1 ? edited(text) : text)),
    );
    expect(findingsOf(room)).toEqual([
      'Line 3 does not fit the line before it (line 2 of the file): that one was changed after it was written',
    ]);
  });

  it('lines that were removed, in the middle, at the beginning and at the end', async () => {
    const room = await story();
    const texts = textsOf(room);
    rewrite(
      room,
      texts.filter((_, i) => i !== 1),
    );
    expect(findingsOf(room)).toEqual(['Line 3 follows line 1: 1 between them are missing']);
    rewrite(room, texts.slice(1));
    expect(findingsOf(room)).toEqual([expect.stringMatching(/^The history begins with line 2/)]);
    rewrite(room, texts.slice(0, -1));
    expect(findingsOf(room)).toEqual([expect.stringMatching(/^By line 3 \S+ is live, but nothing is$/)]);
  });

  it('lines that were reordered, added or taken from another plugin', async () => {
    const room = await story();
    const [one = '', two = '', three = '', four = ''] = textsOf(room);
    rewrite(room, [one, three, two, four]);
    expect(findingsOf(room)).toEqual(
      expect.arrayContaining([expect.stringMatching(/^Line 2 follows line 3: they are not in the order/)]),
    );
    rewrite(room, [one, two, three, '{"added":true}', four]);
    expect(findingsOf(room)).toEqual(
      expect.arrayContaining(['Line 4 of the file is not a line of a history']),
    );
    rewrite(room, [one.replace('"plugin":"lint"', '"plugin":"other"')]);
    expect(findingsOf(room)).toEqual(
      expect.arrayContaining([expect.stringContaining('another plugin, "other"')]),
    );
  });

  it('a receipt that was changed, and lines that were left out with all digests made anew', async () => {
    const room = makeRoom({ keep: 3 }, quick);
    for (const n of [1, 2, 3]) await deliver(room, v(n));
    const lines = linesOf(room);
    const remade: string[] = [];
    for (const { version: _, seq: __, at, plugin, before: ___, ...note } of [
      ...lines.slice(0, 1),
      ...lines.slice(2),
    ]) {
      remade.push(nextLine(remade, plugin, Date.parse(at), note));
    }
    const texts = textsOf(room);
    rewrite(room, remade);
    // The line of the last install names the version that is left out.
    const [, , last] = lines;
    expect(last?.from?.installId).toBe(lines[1]?.to?.installId);
    const fitted = remade.map((text) =>
      text.replaceAll(lines[1]?.to?.installId ?? '', lines[0]?.to?.installId ?? ''),
    );
    rewrite(room, fitted);
    expect(findingsOf(room)).toEqual([
      expect.stringMatching(/names another receipt before it than the lines/),
    ]);
    rewrite(room, texts);
    expect(findingsOf(room)).toEqual([]);
    appendFileSync(room.layout.receipt('lint', last?.to?.installId ?? ''), ' ');
    expect(findingsOf(room)).toEqual([
      expect.stringMatching(/^The receipt of \S+ is not the one that line 3 names/),
    ]);
  });

  it('a history that was rewritten, by a line that was kept elsewhere', async () => {
    const room = await story();
    const { head } = verifyHistory(room.context, 'lint');
    call(room, 'plugin.hold', {});
    expect(verifyHistory(room.context, 'lint', head ?? '')).toMatchObject({
      verdict: 'whole',
      notes: ['The remembered line is there, and 1 line was added since'],
    });
    rmSync(fileOf(room));
    expect(findingsOf(room, head ?? '')).toEqual([expect.stringMatching(/^No line has the sha256/)]);
  });
});
