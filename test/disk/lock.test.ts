import { mkdtempSync, readdirSync, rmSync, statSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';

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
const recordsIn = (directory: string): string[] =>
  readdirSync(directory).filter((name) => !name.endsWith('.lock'));
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

describe.each([
  ['flock', 'record'],
  ['record', 'flock'],
] as const)('a holder by %s and one who asks by %s', (kind, other) => {
  it('keep each other out, until the first is gone', async (ctx) => {
    if (without !== undefined) ctx.skip(without);
    const directory = makeDirectory();
    const locks = locksOf(other, directory);
    const first = await hold(directory, kind);
    expect([first.said, locks.tryLock('lint')]).toEqual(['taken', undefined]);
    expect(locks.holderOf('lint')).toContain(`process ${first.holder.pid} of `);
    expect(locks.tryLock('other')).toBeTypeOf('function');
    expect(await first.holder.release()).toBe('released');
    const release = locks.tryLock('lint');
    expect(release).toBeTypeOf('function');
    expect((await hold(directory, kind)).said).toBe('refused');
    release?.();
    const second = await hold(directory, kind);
    expect([second.said, locks.tryLock('lint')]).toEqual(['taken', undefined]);
    await second.holder.kill();
    expect(locks.tryLock('lint')).toBeTypeOf('function');
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

  it('holds also where nobody can be named', (ctx) => {
    if (without !== undefined) ctx.skip(without);
    const directory = makeDirectory();
    const locks = locksOf('flock', directory);
    const release = locks.tryLock('lint');
    for (const name of recordsIn(directory)) rmSync(join(directory, name));
    expect([locks.tryLock('lint'), locks.holderOf('lint')]).toEqual([undefined, undefined]);
    release?.();
    expect(locks.tryLock('lint')).toBeTypeOf('function');
  });

  it('is not waited for when its holder is gone, whatever pid he had', (ctx) => {
    if (without !== undefined) ctx.skip(without);
    const directory = makeDirectory();
    const gone = `lint.${self.bootId}.4026599999.1.7.a.flock`;
    writeFileSync(join(directory, gone), '');
    expect(locksOf('flock', directory).tryLock('lint')).toBeTypeOf('function');
    expect(readdirSync(directory)).not.toContain(gone);
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

  it('clears away what a killed process has left of trying it out, not what another does just now', (ctx) => {
    if (without !== undefined) ctx.skip(without);
    const directory = makeDirectory();
    const [old, young] = ['.probe-1-old.lock', '.probe-2-young.lock'];
    for (const name of [old, young]) writeFileSync(join(directory, name), '');
    utimesSync(join(directory, old), 1, 1);
    locksOf('flock', directory);
    expect(readdirSync(directory)).toEqual([young]);
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
