/** What the records of locks say, of holders alive and dead. */
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

import { describe, expect, it, onTestFinished, vi } from 'vitest';

import { processIdentity } from '../../agent/disk/identity.ts';
import { type LockRecords, createRecords } from '../../agent/disk/lock-record.ts';

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
  ] as const)('%s', ([, changes, what], ctx) => {
    if (process.platform !== 'linux' && 'startTime' in changes) ctx.skip('only Linux has /proc');
    const directory = makeDirectory();
    recordsOf(directory, { ...self, ...changes }).announce('lint');
    const [theirs] = readdirSync(directory);
    const records = recordsOf(directory);
    const release = records.announce('lint');
    if (what === 'alive') {
      expect(release).toBeUndefined();
      expect(records.holderOf('lint')).toContain(`process ${{ ...self, ...changes }.pid} of `);
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
    recordsOf(directory, { ...self, ...ELSEWHERE }).announce('lint');
    const [theirs = ''] = readdirSync(directory);
    const then = Date.now() / 1000 - silent;
    utimesSync(join(directory, theirs), then, then);
    const records = recordsOf(directory);
    // Asking who it is judges nobody: there is no record of one's own to compare the time with.
    expect(records.holderOf('lint')).toContain('process 1 of pid:[4026599999]');
    expect(records.announce('lint') === undefined).toBe(what === 'alive');
    expect(readdirSync(directory).includes(theirs)).toBe(what === 'alive');
  });

  it('of this pid namespace may be as silent as it likes', () => {
    const directory = makeDirectory();
    const records = recordsOf(directory);
    records.announce('lint');
    utimesSync(join(directory, readdirSync(directory)[0] ?? ''), 1, 1);
    expect(records.announce('lint')).toBeUndefined();
  });

  it('says again and again that it lives, for as long as the lock is held', () => {
    vi.useFakeTimers({ toFake: ['setInterval'] });
    onTestFinished(() => void vi.useRealTimers());
    const directory = makeDirectory();
    const records = recordsOf(directory);
    const release = records.announce('lint');
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
    const records = recordsOf(directory);
    records.announce('lint');
    const path = join(directory, readdirSync(directory)[0] ?? '');
    expect(readFileSync(path, 'utf8')).toBe('');
    writeFileSync(path, 'garbage');
    expect(records.announce('lint')).toBeUndefined();
  });

  it('is told from what else lies there, which is left alone', () => {
    const directory = makeDirectory();
    const others = [
      'lint.lock',
      'lint.record',
      'lint.x.record',
      '.flock',
      `lint.${OTHER_BOOT}.1.x.1.a.flock`,
    ];
    for (const name of others) writeFileSync(join(directory, name), '');
    expect(recordsOf(directory).announce('lint')).toBeTypeOf('function');
    expect(readdirSync(directory)).toEqual(expect.arrayContaining(others));
  });
});
