import { spawnSync } from 'node:child_process';
import {
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';

import { processIdentity } from '../../agent/disk/identity.ts';
import { linuxCalls } from '../../agent/disk/linux.ts';
import { type Locks, createLocks } from '../../agent/disk/lock.ts';
import { LockHolder, buildHolder } from '../_kit/lock-holder.ts';

const self = processIdentity();
const RECORDS = 'the test wants records';
const KINDS = ['flock', 'record'] as const;
type Kind = (typeof KINDS)[number];
const calls = linuxCalls();
const without = typeof calls === 'string' ? calls : undefined;

let built: string;
let holderFile: string;
beforeAll(async () => {
  built = mkdtempSync(join(tmpdir(), 'airlock-holder-'));
  holderFile = await buildHolder(built);
});
afterAll(() => rmSync(built, { recursive: true, force: true }));

function makeDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'airlock-locks-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
const locksOf = (kind: Kind, directory: string, owner = self): Locks =>
  createLocks(directory, owner, kind === 'record' ? RECORDS : undefined);
const hold = (directory: string, kind: Kind, name = 'lint'): ReturnType<typeof LockHolder.start> =>
  LockHolder.start(holderFile, directory, kind, name);

describe.each(KINDS)('a lock (%s)', (kind) => {
  it('has one holder, also in one process, and each name its own', (ctx) => {
    if (kind === 'flock' && without !== undefined) ctx.skip(without);
    const locks = locksOf(kind, makeDirectory());
    expect(locks.kind).toBe(kind);
    const release = locks.tryLock('lint');
    expect(release).toBeTypeOf('function');
    expect(locks.tryLock('lint')).toBeUndefined();
    expect(locks.holderOf('lint')).toBe(`process ${process.pid} of ${self.pidNamespace || 'this machine'}`);
    for (const other of ['lin', 'lint.a', 'lint.a.0', '.agent']) {
      expect([other, typeof locks.tryLock(other)]).toEqual([other, 'function']);
    }
    expect(locks.tryLock('lint')).toBeUndefined();
    release?.();
    expect(locks.tryLock('lint')).toBeTypeOf('function');
  });

  // Was a bug: the second time closed whatever file had got the number of the descriptor since.
  it('is given back once, however often that is said', (ctx) => {
    if (kind === 'flock' && without !== undefined) ctx.skip(without);
    const locks = locksOf(kind, makeDirectory());
    const release = locks.tryLock('lint');
    release?.();
    const next = locks.tryLock('lint');
    const other = locks.tryLock('other');
    release?.();
    expect([next, other]).not.toContain(undefined);
    expect([locks.tryLock('lint'), locks.tryLock('other')]).toEqual([undefined, undefined]);
  });

  it('holds across processes, names its holder, and is free when he gives it back', async (ctx) => {
    if (kind === 'flock' && without !== undefined) ctx.skip(without);
    const directory = makeDirectory();
    const locks = locksOf(kind, directory);
    const first = await hold(directory, kind);
    expect(first.said).toBe('taken');
    expect(locks.tryLock('lint')).toBeUndefined();
    expect(locks.holderOf('lint')).toContain(`process ${first.holder.pid} of `);
    expect((await hold(directory, kind)).said).toBe('refused');
    expect(await first.holder.release()).toBe('released');
    expect(locks.tryLock('lint')).toBeTypeOf('function');
    expect((await hold(directory, kind)).said).toBe('refused');
  });

  it('is free as soon as its holder is killed', async (ctx) => {
    if (kind === 'flock' && without !== undefined) ctx.skip(without);
    const directory = makeDirectory();
    const locks = locksOf(kind, directory);
    const { holder, said } = await hold(directory, kind);
    expect([said, locks.tryLock('lint')]).toEqual(['taken', undefined]);
    await holder.kill();
    expect(locks.tryLock('lint')).toBeTypeOf('function');
  });

  it('is taken by one of several processes that want it at once', async (ctx) => {
    if (kind === 'flock' && without !== undefined) ctx.skip(without);
    const directory = makeDirectory();
    const said = await Promise.all([1, 2, 3, 4].map(() => hold(directory, kind)));
    const taken = said.filter((one) => one.said === 'taken').length;
    // Of records that are made at the same moment all may step back; never do two go on.
    expect(kind === 'flock' ? taken === 1 : taken <= 1).toBe(true);
  });

  it('throws what the file system throws where no lock file can be made', (ctx) => {
    if (kind === 'flock' && without !== undefined) ctx.skip(without);
    const directory = makeDirectory();
    const locks = locksOf(kind, directory);
    rmSync(directory, { recursive: true });
    expect(() => locks.tryLock('lint')).toThrow('ENOENT');
  });
});

describe('flock', () => {
  it('leaves its file where it is, and the next holder locks the same one', (ctx) => {
    if (without !== undefined) ctx.skip(without);
    const directory = makeDirectory();
    const locks = locksOf('flock', directory);
    locks.tryLock('lint')?.();
    const { ino } = statSync(join(directory, 'lint.lock'));
    locks.tryLock('lint')?.();
    expect(readdirSync(directory)).toEqual(['lint.lock']);
    expect(statSync(join(directory, 'lint.lock')).ino).toBe(ino);
  });

  it('locks the file that is there, if somebody replaced the one that it had opened', (ctx) => {
    if (typeof calls === 'string') return ctx.skip(calls);
    const directory = makeDirectory();
    let replacements = 0;
    const meddled = createLocks(directory, self, {
      tryLock(fd) {
        if (replacements > 0) {
          replacements -= 1;
          unlinkSync(join(directory, 'lint.lock'));
          writeFileSync(join(directory, 'lint.lock'), '');
        }
        return calls.tryLock(fd);
      },
    });
    replacements = 2;
    const release = meddled.tryLock('lint');
    expect([replacements, release !== undefined]).toEqual([0, true]);
    expect(locksOf('flock', directory).tryLock('lint')).toBeUndefined();
    release?.();
    expect(locksOf('flock', directory).tryLock('lint')).toBeTypeOf('function');
  });

  // Was a bug: the rest of the longer line made the whole unreadable.
  it('names a holder whose pid is shorter than that of the one before', (ctx) => {
    if (without !== undefined) ctx.skip(without);
    const directory = makeDirectory();
    locksOf('flock', directory, { ...self, pid: 1_234_567 }).tryLock('lint')?.();
    const locks = locksOf('flock', directory, { ...self, pid: 7 });
    locks.tryLock('lint');
    expect(locks.holderOf('lint')).toContain('process 7 of ');
  });

  it('holds also where nobody can be named', (ctx) => {
    if (without !== undefined) ctx.skip(without);
    const directory = makeDirectory();
    const locks = locksOf('flock', directory);
    locks.tryLock('lint');
    writeFileSync(join(directory, 'lint.lock'), 'not json');
    expect([locks.tryLock('lint'), locks.holderOf('lint')]).toEqual([undefined, undefined]);
    expect(locks.holderOf('nobody')).toBeUndefined();
  });

  it.each([
    ['is not there', RECORDS],
    ['says yes to everybody', { tryLock: () => true }],
    ['says no to everybody', { tryLock: () => false }],
    [
      'fails',
      {
        tryLock: () => {
          throw Object.assign(new Error('ENOSYS'), { code: 'ENOSYS' });
        },
      },
    ],
  ])('that %s is not used, and trying it out leaves nothing', (_, bad) => {
    const directory = makeDirectory();
    expect(createLocks(directory, self, bad).kind).toBe('record');
    expect(readdirSync(directory)).toEqual([]);
  });

  it('goes on with locks that are there on a disk that has become read-only', (ctx) => {
    if (without !== undefined) ctx.skip(without);
    const refused = {
      tryLock: () => {
        throw Object.assign(new Error('EROFS'), { code: 'EROFS' });
      },
    };
    expect(createLocks(makeDirectory(), self, refused).kind).toBe('flock');
  });
});

/** The pid of a process that has ended. */
const deadPid = (): number => spawnSync(process.execPath, ['--version']).pid;
const OTHER_BOOT = '11111111-2222-3333-4444-555555555555';
const ELSEWHERE = { pidNamespace: 'pid:[4026599999]', pid: 1, startTime: '7' };

describe('a record of a holder', () => {
  it.for([
    ['who runs', {}, 'alive'],
    ['who runs, of whom nobody knows when he began', { startTime: '' }, 'alive'],
    ['who runs, on a machine whose boot nobody knows', { bootId: '' }, 'alive'],
    ['whose process is gone', { pid: deadPid() }, 'dead'],
    ['whose process is gone, on a machine whose boot nobody knows', { pid: deadPid(), bootId: '' }, 'dead'],
    ['whose pid is that of another process now', { startTime: '1' }, 'dead'],
    ['of another boot of the machine', { bootId: OTHER_BOOT }, 'dead'],
    ['of another boot in another pid namespace', { ...ELSEWHERE, bootId: OTHER_BOOT }, 'dead'],
    ['in another pid namespace', ELSEWHERE, 'alive'],
  ] as const)('%s', ([, changes, what], ctx) => {
    if (process.platform !== 'linux' && 'startTime' in changes) ctx.skip('only Linux has /proc');
    const directory = makeDirectory();
    locksOf('record', directory, { ...self, ...changes }).tryLock('lint');
    const [theirs] = readdirSync(directory);
    const locks = locksOf('record', directory);
    const release = locks.tryLock('lint');
    if (what === 'alive') {
      expect(release).toBeUndefined();
      expect(locks.holderOf('lint')).toContain(`process ${{ ...self, ...changes }.pid} of `);
      expect(readdirSync(directory)).toEqual([theirs]);
    } else {
      expect(release).toBeTypeOf('function');
      expect(readdirSync(directory)).not.toContain(theirs);
      release?.();
      expect(readdirSync(directory)).toEqual([]);
    }
  });

  it.each([
    [59, 'alive'],
    [61, 'dead'],
  ])('in another pid namespace who was silent for %i s is %s', (silent, what) => {
    const directory = makeDirectory();
    locksOf('record', directory, { ...self, ...ELSEWHERE }).tryLock('lint');
    const [theirs = ''] = readdirSync(directory);
    const then = Date.now() / 1000 - silent;
    utimesSync(join(directory, theirs), then, then);
    const locks = locksOf('record', directory);
    // Asking who it is judges nobody: there is no record of one's own to compare the time with.
    expect(locks.holderOf('lint')).toContain('process 1 of pid:[4026599999]');
    expect(locks.tryLock('lint') === undefined).toBe(what === 'alive');
    expect(readdirSync(directory).includes(theirs)).toBe(what === 'alive');
  });

  it('of this pid namespace may be as silent as it likes', () => {
    const directory = makeDirectory();
    const locks = locksOf('record', directory);
    locks.tryLock('lint');
    utimesSync(join(directory, readdirSync(directory)[0] ?? ''), 1, 1);
    expect(locks.tryLock('lint')).toBeUndefined();
  });

  it('says again and again that it lives, for as long as the lock is held', () => {
    vi.useFakeTimers({ toFake: ['setInterval'] });
    onTestFinished(() => void vi.useRealTimers());
    const directory = makeDirectory();
    const locks = locksOf('record', directory);
    const release = locks.tryLock('lint');
    const path = join(directory, readdirSync(directory)[0] ?? '');
    utimesSync(path, 1, 1);
    vi.advanceTimersByTime(5000);
    expect(statSync(path).mtimeMs).toBeGreaterThan(1_000_000);
    unlinkSync(path);
    vi.advanceTimersByTime(5000);
    release?.();
    vi.advanceTimersByTime(5000);
    expect(readdirSync(directory)).toEqual([]);
  });

  it('is whole in its name: what it holds does not matter', () => {
    const directory = makeDirectory();
    const locks = locksOf('record', directory);
    locks.tryLock('lint');
    const path = join(directory, readdirSync(directory)[0] ?? '');
    expect(readFileSync(path, 'utf8')).toBe('');
    writeFileSync(path, 'garbage');
    expect(locks.tryLock('lint')).toBeUndefined();
  });

  it('is told from what else lies there, which is left alone', () => {
    const directory = makeDirectory();
    const others = ['lint.lock', 'lint.owner', 'lint.x.owner', '.owner', `lint.${OTHER_BOOT}.1.x.1.a.owner`];
    for (const name of others) writeFileSync(join(directory, name), '');
    expect(locksOf('record', directory).tryLock('lint')).toBeTypeOf('function');
    expect(readdirSync(directory)).toEqual(expect.arrayContaining(others));
  });
});
