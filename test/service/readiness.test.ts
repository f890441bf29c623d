/** Whether an agent is ready, and what it says if not. */
import { describe, expect, it } from 'vitest';

import { type ReadinessFacts, readinessOf } from '../../agent/service/readiness.ts';
import { Fault } from '../../shared/api/fault.ts';

const ROOT = { value: { freeBytes: 1e9, freeFiles: 1000 }, error: undefined, age: 0, took: 0, late: false };
const WELL: ReadinessFacts = {
  draining: false,
  root: ROOT,
  unrecovered: undefined,
  watch: { mode: 'on', notices: [] },
  dial: null,
  restart: null,
};

/** The checks that do not pass, with their status. */
const judged = (facts: Partial<ReadinessFacts>): unknown[] => {
  const { status, checks = [] } = readinessOf({ ...WELL, ...facts });
  const bad = checks.filter((one) => one.status !== 'pass');
  for (const { detail, hint } of bad) {
    expect(detail).toMatch(/^[A-Z].*[^.]$/);
    expect(hint).toMatch(/^[A-Z].*[^.]$/);
  }
  return [status, ...bad.map((one) => `${one.check} ${one.status}`)];
};

describe('an agent', () => {
  it('is ready if nothing is wrong, also without a watch, a platform and a restart command', () => {
    expect(judged({})).toEqual(['ok']);
    expect(judged({ watch: { mode: 'off', notices: [] } })).toEqual(['ok']);
    expect(readinessOf(WELL).checks?.length).toBe(6);
  });

  it.each<[string, Partial<ReadinessFacts>, string]>([
    ['shuts down', { draining: true }, 'draining fail'],
    [
      'may not write',
      { root: { ...ROOT, value: undefined, error: new Fault('READ_ONLY', 'The root is read-only') } },
      'root fail',
    ],
    ['gets no answer from its disk', { root: { ...ROOT, late: true } }, 'root fail'],
    ['has a full disk', { root: { ...ROOT, value: { freeBytes: 1000, freeFiles: 5 } } }, 'root fail'],
    ['has no inodes', { root: { ...ROOT, value: { freeBytes: 1e9, freeFiles: 0 } } }, 'root fail'],
  ])('that %s is not ready', (_, facts, why) => {
    expect(judged(facts)).toEqual(['not ok', why]);
  });

  it.each<[string, Partial<ReadinessFacts>, string]>([
    ['has plugins that it could not recover', { unrecovered: 'Recovery has failed' }, 'recovery warn'],
    ['has lost its watch', { watch: { mode: 'failed', notices: ['x'] } }, 'watch warn'],
    ['looks again and again', { watch: { mode: 'on', notices: ['The limit is reached'] } }, 'watch warn'],
    [
      'has a restart command that failed',
      { restart: { state: 'idle', last: { endedAt: '', ok: false, how: 'exit code 7' } } },
      'restart warn',
    ],
    [
      'does not reach its platform',
      { dial: { url: '', state: 'waiting', since: '', next: null, failures: 1, last: null } },
      'dial warn',
    ],
  ])('that %s is ready all the same, and says it', (_, facts, why) => {
    expect(judged(facts)).toEqual(['ok', why]);
  });

  it('has room on a file system without a number of inodes', () => {
    expect(judged({ root: { ...ROOT, value: { freeBytes: 1e9, freeFiles: undefined } } })).toEqual(['ok']);
  });
});
