/** What the records of locks say, of holders alive and dead. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, it, onTestFinished, vi } from 'vitest';

import { processIdentity, startTimeOf } from '../../agent/disk/identity.ts';
import { aboutMyself, pidIn } from '../../agent/disk/lock-holder.ts';
import { type LockRecords, createRecords } from '../../agent/disk/lock-record.ts';
import { createLocks } from '../../agent/disk/lock.ts';
import { linuxCalls } from '../../agent/disk/linux.ts';
import { until } from '../_kit/until.ts';

const self = processIdentity();

function makeDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'airlock-locks-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
const recordsOf = (directory: string, owner = self): LockRecords => createRecords(directory, owner, 'record');

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
  ] as const)('%s', async ([, changes, what], ctx) => {
    if (process.platform !== 'linux' && 'startTime' in changes) ctx.skip('only Linux has /proc');
    const directory = makeDirectory();
    await recordsOf(directory, { ...self, ...changes }).announce('lint');
    const [theirs] = readdirSync(directory);
    const records = recordsOf(directory);
    const release = await records.announce('lint');
    if (what === 'alive') {
      expect(release).toBeUndefined();
      expect(await records.holderOf('lint')).toContain(
        `process ${{ ...self, ...changes }.pid} on the host "${hostname()}" ("`,
      );
      expect(readdirSync(directory)).toEqual([theirs]);
    } else {
      expect(release).toBeTypeOf('function');
      expect(readdirSync(directory)).not.toContain(theirs);
      await release?.();
      expect(readdirSync(directory)).toEqual([]);
    }
  });

  it.each([
    [59, 'alive'],
    [61, 'dead'],
  ])('in another pid namespace who was silent for %i s is %s', async (silent, what) => {
    const judge = async () => {
      const directory = makeDirectory();
      await recordsOf(directory, { ...self, ...ELSEWHERE }).announce('lint');
      const [theirs = ''] = readdirSync(directory);
      const began = Date.now();
      const then = began / 1000 - silent;
      utimesSync(join(directory, theirs), then, then);
      const records = recordsOf(directory);
      // Asking who it is judges nobody: there is no record of one's own to compare the time with.
      expect(await records.holderOf('lint')).toContain(`process 1 on the host "${hostname()}"`);
      const isTaken = (await records.announce('lint')) === undefined;
      return { isTaken, isThere: readdirSync(directory).includes(theirs), millis: Date.now() - began };
    };
    let judged = await judge();
    // The clock goes on between the two records: on a busy disk for longer than is left of the minute.
    while (judged.millis > 900) judged = await judge();
    expect(judged).toMatchObject({ isTaken: what === 'alive', isThere: what === 'alive' });
  });

  it('of this pid namespace may be as silent as it likes', async () => {
    const directory = makeDirectory();
    const records = recordsOf(directory);
    await records.announce('lint');
    utimesSync(join(directory, readdirSync(directory)[0] ?? ''), 1, 1);
    expect(await records.announce('lint')).toBeUndefined();
  });

  it('says again and again that it lives, for as long as the lock is held', async () => {
    vi.useFakeTimers({ toFake: ['setInterval'] });
    onTestFinished(() => void vi.useRealTimers());
    const directory = makeDirectory();
    const records = recordsOf(directory);
    const release = await records.announce('lint');
    const path = join(directory, readdirSync(directory)[0] ?? '');
    utimesSync(path, 1, 1);
    vi.advanceTimersByTime(5000);
    await until(() => expect(statSync(path).mtimeMs).toBeGreaterThan(1_000_000));
    unlinkSync(path);
    vi.advanceTimersByTime(5000);
    await release?.();
    vi.advanceTimersByTime(5000);
    expect(readdirSync(directory)).toEqual([]);
  });

  it('is whole in its name: what it holds does not matter', async () => {
    const directory = makeDirectory();
    const records = recordsOf(directory);
    await records.announce('lint');
    const path = join(directory, readdirSync(directory)[0] ?? '');
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual({
      host: hostname(),
      command: expect.any(String) as string,
      since: expect.any(String) as string,
    });
    // Older versions write nothing, and who can write here can write anything.
    const red = '\u001b[31m';
    for (const text of ['', 'garbage', '{}', JSON.stringify({ host: red }), 'x'.repeat(100_000)]) {
      writeFileSync(path, text);
      expect(await records.announce('lint')).toBeUndefined();
      const holder = (await records.holderOf('lint', 5)) ?? '';
      expect(holder).toMatch(new RegExp(`^process ${self.pid}(?: \\("\\S.*"\\))?$`));
    }
  });

  it('of another container is named by its host and by its pid there and here', async () => {
    const directory = makeDirectory();
    await recordsOf(directory, { ...self, ...ELSEWHERE }).announce('lint');
    const path = join(directory, readdirSync(directory)[0] ?? '');
    const records = recordsOf(directory);
    const about = { host: 'workspace-7', command: 'airlock boot', since: '2026-05-08T14:15:30.123Z' };
    writeFileSync(path, JSON.stringify(about));
    expect(await records.holderOf('lint', 4271)).toBe(
      'process 1 on the host "workspace-7" ("airlock boot", since 2026-05-08T14:15:30.123Z, process 4271 here)',
    );
    writeFileSync(path, '');
    expect(await records.holderOf('lint')).toBe('process 1 of another container');
    // A pipe is not waited for.
    unlinkSync(path);
    expect(spawnSync('mkfifo', [path]).status).toBe(0);
    expect(await records.holderOf('lint')).toBe('process 1 of another container');
  });

  it('tells no word of its command that may be a secret', () => {
    const { argv } = process;
    onTestFinished(() => {
      process.argv = argv;
    });
    const commandOf = (...words: string[]): unknown => {
      process.argv = ['node', '/app/airlock.mjs', ...words];
      return (JSON.parse(aboutMyself(0)) as { command: string }).command;
    };
    expect(commandOf('pull', 'lint', 'https://plugins.example.com/?key=k')).toBe('airlock pull');
    expect(commandOf('https://plugins.example.com/?key=k')).toBe('airlock');
  });

  it('is found in what the kernel says of its locks', () => {
    const locks = [
      '1: POSIX  ADVISORY  WRITE 11 fe:00:5 0 EOF',
      '2: FLOCK  ADVISORY  WRITE 12 fe:00:55 0 EOF',
      '3: FLOCK  ADVISORY  WRITE 13 fe:00:5 0 EOF',
      '3: -> FLOCK  ADVISORY  WRITE 14 fe:00:6 0 EOF',
    ].join('\n');
    expect(['fe:00:5', 'fe:00:6', 'fe:01:5'].map((place) => pidIn(locks, place))).toEqual([
      13,
      undefined,
      undefined,
    ]);
  });

  it('is told from what else lies there, which is left alone', async () => {
    const directory = makeDirectory();
    const others = [
      'lint.lock',
      'lint.record',
      'lint.x.record',
      '.flock',
      `lint.${OTHER_BOOT}.1.x.1.a.flock`,
    ];
    for (const name of others) writeFileSync(join(directory, name), '');
    expect(await recordsOf(directory).announce('lint')).toBeTypeOf('function');
    expect(readdirSync(directory)).toEqual(expect.arrayContaining(others));
  });

  it('is the one that is named, and not that of a process that only tries', async () => {
    const directory = makeDirectory();
    const parent = { ...self, pid: process.ppid, startTime: startTimeOf(process.ppid) };
    // A listing is sorted: the one that only tries is listed first.
    const [trying, holder] = `${self.pid}` < `${parent.pid}` ? [self, parent] : [parent, self];
    await recordsOf(directory, trying).announce('lint');
    const [record = ''] = readdirSync(directory);
    unlinkSync(join(directory, record));
    const release = await recordsOf(directory, holder).announce('lint');
    writeFileSync(join(directory, record), '');
    setTimeout(() => unlinkSync(join(directory, record)), 50);
    expect(await recordsOf(directory).holderOf('lint')).toContain(`process ${holder.pid} on `);
    await release?.();
    await until(() => expect(readdirSync(directory)).toEqual([]));
  });

  it('who has ended, and whom nobody has asked how, is dead', async (ctx) => {
    if (process.platform !== 'linux') ctx.skip('only Linux has /proc');
    const directory = makeDirectory();
    const shell = spawn('/bin/sh', ['-c', 'sleep 1000 & echo $!; exec sleep 1000']);
    onTestFinished(() => void shell.kill('SIGKILL'));
    const [line] = (await once(shell.stdout, 'data')) as [Buffer];
    const pid = Number(line.toString());
    // A shell asks how its children end; what it becomes does not.
    await until(() => expect(readFileSync(`/proc/${shell.pid}/comm`, 'utf8')).toBe('sleep\n'));
    await recordsOf(directory, { ...self, pid, startTime: startTimeOf(pid) }).announce('lint');
    process.kill(pid, 'SIGKILL');
    await until(() => expect(readFileSync(`/proc/${pid}/stat`, 'utf8')).toContain(') Z '));
    expect(await recordsOf(directory).announce('lint')).toBeTypeOf('function');
  });

  it('that cannot be removed keeps nobody out, and no other stays behind', async () => {
    const directory = makeDirectory();
    await recordsOf(directory, { ...self, pid: deadPid() }).announce('lint');
    const [theirs = ''] = readdirSync(directory);
    unlinkSync(join(directory, theirs));
    mkdirSync(join(directory, theirs));
    const records = recordsOf(directory);
    expect(await records.holderOf('lint')).toBeUndefined();
    const release = await records.announce('lint');
    expect(release).toBeTypeOf('function');
    await release?.();
    expect(readdirSync(directory)).toEqual([theirs]);
  });
});

describe('one with flock who can make no record', () => {
  // Its record's name would be too long, as if the disk were full.
  const mute = { ...self, startTime: '4'.repeat(250) };
  const calls = linuxCalls();

  it('sees those without it all the same, and takes what is free', async (ctx) => {
    if (typeof calls === 'string') return ctx.skip(calls);
    const directory = makeDirectory();
    const locks = await createLocks(directory, mute);
    const theirs = await recordsOf(directory).announce('lint');
    expect(await locks.take('lint')).toBeUndefined();
    await theirs?.();
    const release = await locks.take('lint');
    expect([release === undefined, await locks.take('lint')]).toEqual([false, undefined]);
    await release?.();
    expect(await locks.take('lint')).toBeTypeOf('function');
  });

  it('gives the lock back also where its record cannot be removed', async (ctx) => {
    if (typeof calls === 'string') return ctx.skip(calls);
    const directory = makeDirectory();
    const locks = await createLocks(directory, self);
    const release = await locks.take('lint');
    const record = readdirSync(directory).find((name) => name.endsWith('.flock')) ?? '';
    unlinkSync(join(directory, record));
    mkdirSync(join(directory, record));
    await expect(release?.()).resolves.toBeUndefined();
    expect(await locks.take('lint')).toBeTypeOf('function');
  });
});
