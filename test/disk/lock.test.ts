import { mkdtempSync, readdirSync, rmSync, statSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';

import { processIdentity } from '../../agent/disk/identity.ts';
import { linuxCalls } from '../../agent/disk/linux.ts';
import { type Locks, createLocks } from '../../agent/disk/lock.ts';
import { until } from '../_kit/until.ts';
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
const locksOf = (kind: Kind, directory: string, owner = self): Promise<Locks> =>
  createLocks(directory, owner, kind === 'record' ? RECORDS : undefined);
const recordsIn = (directory: string): string[] =>
  readdirSync(directory).filter((name) => !name.endsWith('.lock'));
const hold = (directory: string, kind: Kind, name = 'lint'): ReturnType<typeof LockHolder.start> =>
  LockHolder.start(holderFile, directory, kind, name);

describe.each(KINDS)('a lock (%s)', (kind) => {
  it('has one holder, also in one process, and each name its own', async (ctx) => {
    if (kind === 'flock' && without !== undefined) ctx.skip(without);
    const locks = await locksOf(kind, makeDirectory());
    expect(locks.kind).toBe(kind);
    const release = await locks.take('lint');
    expect(release).toBeTypeOf('function');
    expect(await locks.take('lint')).toBeUndefined();
    const holder = (await locks.holderOf('lint')) ?? '';
    expect(holder.startsWith(`process ${process.pid} on the host "${hostname()}" ("`)).toBe(true);
    expect(holder).toMatch(/, since \d{4}-\d\d-\d\dT[\d:.]+Z\)$/);
    for (const other of ['lin', 'lint.a', 'lint.a.0', '.agent']) {
      expect([other, typeof (await locks.take(other))]).toEqual([other, 'function']);
    }
    expect(await locks.take('lint')).toBeUndefined();
    await release?.();
    expect(await locks.take('lint')).toBeTypeOf('function');
  });

  // Was a bug: the second time closed whatever file had got the number of the descriptor since.
  it('is given back once, however often that is said', async (ctx) => {
    if (kind === 'flock' && without !== undefined) ctx.skip(without);
    const locks = await locksOf(kind, makeDirectory());
    const release = await locks.take('lint');
    await release?.();
    const next = await locks.take('lint');
    const other = await locks.take('other');
    await release?.();
    expect([next, other]).not.toContain(undefined);
    expect([await locks.take('lint'), await locks.take('other')]).toEqual([undefined, undefined]);
  });

  it('holds across processes, names its holder, and is free when he gives it back', async (ctx) => {
    if (kind === 'flock' && without !== undefined) ctx.skip(without);
    const directory = makeDirectory();
    const locks = await locksOf(kind, directory);
    const first = await hold(directory, kind);
    expect(first.said).toBe('taken');
    expect(await locks.take('lint')).toBeUndefined();
    expect(await locks.holderOf('lint')).toContain(`process ${first.holder.pid} on the host `);
    expect((await hold(directory, kind)).said).toBe('refused');
    expect(await first.holder.release()).toBe('released');
    expect(await locks.take('lint')).toBeTypeOf('function');
    expect((await hold(directory, kind)).said).toBe('refused');
  });

  it('is free as soon as its holder is killed', async (ctx) => {
    if (kind === 'flock' && without !== undefined) ctx.skip(without);
    const directory = makeDirectory();
    const locks = await locksOf(kind, directory);
    const { holder, said } = await hold(directory, kind);
    expect([said, await locks.take('lint')]).toEqual(['taken', undefined]);
    await holder.kill();
    expect(await locks.take('lint')).toBeTypeOf('function');
  });

  it('is taken by one of several processes that want it at once', async (ctx) => {
    if (kind === 'flock' && without !== undefined) ctx.skip(without);
    const directory = makeDirectory();
    const said = await Promise.all([1, 2, 3, 4].map(() => hold(directory, kind)));
    const taken = said.filter((one) => one.said === 'taken').length;
    // Of records that are made at the same moment all may step back; never do two go on.
    expect(kind === 'flock' ? taken === 1 : taken <= 1).toBe(true);
  });

  it('throws what the file system throws where no lock file can be made', async (ctx) => {
    if (kind === 'flock' && without !== undefined) ctx.skip(without);
    const directory = makeDirectory();
    const locks = await locksOf(kind, directory);
    rmSync(directory, { recursive: true });
    await expect(locks.take('lint')).rejects.toThrow('ENOENT');
  });
});

describe.each([
  ['flock', 'record'],
  ['record', 'flock'],
] as const)('a holder by %s and one who asks by %s', (kind, other) => {
  it('keep each other out, until the first is gone', async (ctx) => {
    if (without !== undefined) ctx.skip(without);
    const directory = makeDirectory();
    const locks = await locksOf(other, directory);
    const first = await hold(directory, kind);
    expect([first.said, await locks.take('lint')]).toEqual(['taken', undefined]);
    expect(await locks.holderOf('lint')).toContain(`process ${first.holder.pid} on the host `);
    expect(await locks.take('other')).toBeTypeOf('function');
    expect(await first.holder.release()).toBe('released');
    const release = await locks.take('lint');
    expect(release).toBeTypeOf('function');
    expect((await hold(directory, kind)).said).toBe('refused');
    await release?.();
    const second = await hold(directory, kind);
    expect([second.said, await locks.take('lint')]).toEqual(['taken', undefined]);
    await second.holder.kill();
    expect(await locks.take('lint')).toBeTypeOf('function');
  });
});

describe('flock', () => {
  it('leaves its file where it is, and the next holder locks the same one', async (ctx) => {
    if (without !== undefined) ctx.skip(without);
    const directory = makeDirectory();
    const locks = await locksOf('flock', directory);
    const first = await locks.take('lint');
    await first?.();
    const { ino } = statSync(join(directory, 'lint.lock'));
    const second = await locks.take('lint');
    await second?.();
    expect(readdirSync(directory)).toEqual(['lint.lock']);
    expect(statSync(join(directory, 'lint.lock')).ino).toBe(ino);
  });

  it('locks the file that is there, if somebody replaced the one that it had opened', async (ctx) => {
    if (typeof calls === 'string') return ctx.skip(calls);
    const directory = makeDirectory();
    let replacements = 0;
    const meddled = await createLocks(directory, self, {
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
    const release = await meddled.take('lint');
    expect([replacements, release !== undefined]).toEqual([0, true]);
    expect(await (await locksOf('flock', directory)).take('lint')).toBeUndefined();
    await release?.();
    expect(await (await locksOf('flock', directory)).take('lint')).toBeTypeOf('function');
  });

  it('holds also where nobody can be named', async (ctx) => {
    if (without !== undefined) ctx.skip(without);
    const directory = makeDirectory();
    const locks = await locksOf('flock', directory);
    const release = await locks.take('lint');
    for (const name of recordsIn(directory)) rmSync(join(directory, name));
    expect([await locks.take('lint'), await locks.holderOf('lint')]).toEqual([undefined, undefined]);
    await release?.();
    expect(await locks.take('lint')).toBeTypeOf('function');
  });

  it('names a holder that has left no record by what the kernel knows of it', async (ctx) => {
    if (without !== undefined) ctx.skip(without);
    const directory = makeDirectory();
    const { holder } = await hold(directory, 'flock');
    for (const name of recordsIn(directory)) rmSync(join(directory, name));
    const locks = await locksOf('flock', directory);
    expect([await locks.take('lint'), await locks.holderOf('lint')]).toEqual([
      undefined,
      expect.stringMatching(new RegExp(`^process ${holder.pid} \\("\\S.*"\\)$`)),
    ]);
  });

  it('is not waited for when its holder is gone, whatever pid he had', async (ctx) => {
    if (without !== undefined) ctx.skip(without);
    const directory = makeDirectory();
    const gone = `lint.${self.bootId}.4026599999.1.7.a.flock`;
    writeFileSync(join(directory, gone), '');
    expect(await (await locksOf('flock', directory)).take('lint')).toBeTypeOf('function');
    expect(readdirSync(directory)).not.toContain(gone);
  });

  it.each([
    ['is not there', RECORDS],
    ['says yes to everybody', { tryLock: () => Promise.resolve(true) }],
    ['says no to everybody', { tryLock: () => Promise.resolve(false) }],
    [
      'fails',
      {
        tryLock: () => {
          throw Object.assign(new Error('ENOSYS'), { code: 'ENOSYS' });
        },
      },
    ],
  ])('that %s is not used, and trying it out leaves nothing', async (_, bad) => {
    const directory = makeDirectory();
    expect((await createLocks(directory, self, bad)).kind).toBe('record');
    expect(readdirSync(directory)).toEqual([]);
  });

  it('clears away what a killed process has left of trying it out, not what another does just now', async (ctx) => {
    if (without !== undefined) ctx.skip(without);
    const directory = makeDirectory();
    const [old, young] = ['.probe-1-old.lock', '.probe-2-young.lock'];
    for (const name of [old, young]) writeFileSync(join(directory, name), '');
    utimesSync(join(directory, old), 1, 1);
    await locksOf('flock', directory);
    expect(readdirSync(directory)).toEqual([young]);
  });

  it('goes on with locks that are there on a disk that has become read-only', async (ctx) => {
    if (without !== undefined) ctx.skip(without);
    const refused = {
      tryLock: () => {
        throw Object.assign(new Error('EROFS'), { code: 'EROFS' });
      },
    };
    expect((await createLocks(makeDirectory(), self, refused)).kind).toBe('flock');
  });

  it('asks the disk for two at a time, so that one that hangs leaves threads for everything else', async () => {
    const probes = [true, false];
    const answers: (() => void)[] = [];
    const hanging = {
      tryLock: (): Promise<boolean> => {
        const probe = probes.shift();
        return probe === undefined
          ? new Promise((resolve) => answers.push(() => resolve(false)))
          : Promise.resolve(probe);
      },
    };
    const locks = await createLocks(makeDirectory(), self, hanging);
    const taken = ['a', 'b', 'c'].map((name) => locks.take(name));
    await until(() => expect(answers).toHaveLength(2));
    // The third one is asked for when one of the others is answered, and not before.
    await new Promise((resolve) => setImmediate(resolve));
    expect(answers).toHaveLength(2);
    answers[0]?.();
    await until(() => expect(answers).toHaveLength(3));
    answers.forEach((answer) => answer());
    expect(await Promise.all(taken)).toEqual([undefined, undefined, undefined]);
  });
});
