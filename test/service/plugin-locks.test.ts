/** Who may work on a plugin, under a clock that stands still and locks that do as the test says. */
import { describe, expect, it } from 'vitest';

import type { Release } from '../../agent/disk/lock-record.ts';
import type { Locks } from '../../agent/disk/lock.ts';
import { deferred } from '../../agent/worker/deferred.ts';
import { PluginLocks } from '../../agent/service/plugin-locks.ts';
import { FakeClock } from '../_kit/clock.ts';
import { settle } from '../_kit/engines.ts';
import { faultOf } from '../_kit/scene.ts';

/** Locks of one process, beside another one that takes what the test says. */
class TwoSides implements Locks {
  readonly kind = 'flock';
  readonly mine = new Set<string>();
  readonly foreign = new Set<string>();
  holder: string | undefined = 'process 7 of pid:[1]';
  error: Error | undefined;
  queries = 0;
  taken = 0;

  /** The disk answers nothing until this is resolved. */
  hung: Promise<void> | undefined;

  async take(name: string): Promise<Release | undefined> {
    this.queries += 1;
    await this.hung;
    if (this.error !== undefined) throw this.error;
    if (this.foreign.has(name) || this.mine.has(name)) return undefined;
    this.taken += 1;
    this.mine.add(name);
    return async () => {
      await this.hung;
      this.mine.delete(name);
    };
  }

  async holderOf(): Promise<string | undefined> {
    await this.hung;
    return this.holder;
  }
}

function makeHolds(recover: (plugin: string) => Promise<void> = () => Promise.resolve()) {
  const locks = new TwoSides();
  const clock = new FakeClock();
  const recovered: string[] = [];
  const pluginLocks = new PluginLocks({
    locks,
    clock,
    wait: 30_000,
    recover: (plugin) => {
      recovered.push(plugin);
      return recover(plugin);
    },
  });
  /** Lets time pass in small steps: who waits sets his next timer when the one before has rung. */
  const pass = async (millis: number): Promise<void> => {
    for (let passed = 0; passed < millis; passed += 10) {
      clock.advance(10);
      await settle();
    }
  };
  return { locks, clock, pluginLocks, recovered, pass };
}

/** Whether a promise is settled by now. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const note = (): void => void (settled = true);
  promise.then(note, note);
  await settle();
  return settled;
}

describe('a hold', () => {
  it('is shared in one process: one lock, given back by the last', async () => {
    const { locks, pluginLocks } = makeHolds();
    const [a, b] = await Promise.all([pluginLocks.hold('lint'), pluginLocks.hold('lint')]);
    const c = await pluginLocks.hold('lint');
    await a();
    await c();
    expect([locks.taken, locks.mine.has('lint')]).toEqual([1, true]);
    await b();
    expect(locks.mine.has('lint')).toBe(false);
  });

  it('is given back once, however often that is said', async () => {
    const { locks, pluginLocks } = makeHolds();
    const [a, b] = [await pluginLocks.hold('lint'), await pluginLocks.hold('lint')];
    await a();
    await a();
    expect(locks.mine.has('lint')).toBe(true);
    await b();
    expect(locks.mine.has('lint')).toBe(false);
  });

  it('of one plugin is none of another', async () => {
    const { locks, pluginLocks } = makeHolds();
    const a = await pluginLocks.hold('lint');
    await pluginLocks.hold('other');
    await a();
    expect([...locks.mine]).toEqual(['other']);
  });

  // Was a bug: the lock was free only some turns later, and who asked at once waited or found it busy.
  it('is free as soon as it is given back', async () => {
    const { locks, clock, pluginLocks } = makeHolds();
    await (
      await pluginLocks.hold('lint')
    )();
    const next = await pluginLocks.tryHold('lint');
    expect(next).toBeTypeOf('function');
    await next?.();
    await pluginLocks.hold('lint');
    expect([locks.queries, clock.running]).toEqual([3, 0]);
  });

  it('recovers the plugin once, before the first; the next first does so again', async () => {
    const gate = deferred<void>();
    const { locks, pluginLocks, recovered } = makeHolds(() => gate.promise);
    const [first, second] = [pluginLocks.hold('lint'), pluginLocks.hold('lint')];
    expect([await isSettled(first), await isSettled(second), recovered]).toEqual([false, false, ['lint']]);
    expect(locks.mine.has('lint')).toBe(true);
    gate.resolve();
    for (const release of await Promise.all([first, second, pluginLocks.hold('lint')])) await release();
    expect(recovered).toEqual(['lint']);
    await pluginLocks.hold('lint');
    expect(recovered).toEqual(['lint', 'lint']);
  });
});

describe('a hold while another process works on the plugin', () => {
  it('waits, and goes on when that one is done', async () => {
    const { locks, pluginLocks, recovered, pass } = makeHolds();
    locks.foreign.add('lint');
    const both = [pluginLocks.hold('lint'), pluginLocks.hold('lint')];
    await pass(20_000);
    expect([await isSettled(Promise.race(both)), recovered]).toEqual([false, []]);
    locks.foreign.clear();
    await pass(250);
    await Promise.all(both);
    expect([locks.taken, recovered]).toEqual([1, ['lint']]);
  });

  it('ends with LOCKED after the wait, names who has it, and leaves nothing behind', async () => {
    const { locks, clock, pluginLocks, recovered, pass } = makeHolds();
    locks.foreign.add('lint');
    const both = [faultOf(pluginLocks.hold('lint')), faultOf(pluginLocks.hold('lint'))];
    await pass(29_000);
    expect(await isSettled(Promise.race(both))).toBe(false);
    await pass(1500);
    for (const fault of await Promise.all(both)) {
      expect(fault).toMatchObject({ code: 'LOCKED', status: 423, retry: 'later', executed: 'no' });
      expect(fault.message).toBe('Another process has worked on "lint" for more than 30 s');
      expect(fault.hint).toContain('process 7 of pid:[1]');
    }
    expect([clock.running, recovered]).toEqual([0, []]);
    locks.foreign.clear();
    await pluginLocks.hold('lint');
    expect(locks.taken).toBe(1);
  });

  it('has a hint also where nobody can say who it is', async () => {
    const { locks, pluginLocks, pass } = makeHolds();
    locks.foreign.add('lint');
    locks.holder = undefined;
    const fault = faultOf(pluginLocks.hold('lint'));
    await pass(31_000);
    expect((await fault).hint).toMatch(/^Wait for it, /);
  });

  it('looks soon at first and then seldom', async () => {
    const { locks, pluginLocks, pass } = makeHolds();
    locks.foreign.add('lint');
    const fault = faultOf(pluginLocks.hold('lint'));
    await pass(100);
    expect(locks.queries).toBeGreaterThanOrEqual(3);
    await pass(31_000);
    await fault;
    expect(locks.queries).toBeLessThan(150);
  });
});

describe('a try', () => {
  it('gets what is free, without recovering it', async () => {
    const { locks, pluginLocks, recovered } = makeHolds();
    const release = await pluginLocks.tryHold('lint');
    expect([locks.mine.has('lint'), recovered]).toEqual([true, []]);
    await release?.();
    await release?.();
    expect(locks.mine.has('lint')).toBe(false);
  });

  it('leaves alone what is held here, recovered, waited for, tried or held elsewhere', async () => {
    const gate = deferred<void>();
    const { locks, pluginLocks } = makeHolds((plugin) =>
      plugin === 'slow' ? gate.promise : Promise.resolve(),
    );
    locks.foreign.add('foreign').add('wanted');
    const held = await pluginLocks.hold('held');
    await pluginLocks.tryHold('tried');
    const pending = [pluginLocks.hold('slow'), pluginLocks.hold('wanted')];
    for (const name of ['held', 'slow', 'wanted', 'tried', 'foreign']) {
      expect([name, await pluginLocks.tryHold(name)]).toEqual([name, undefined]);
    }
    await held();
    expect(await pluginLocks.tryHold('held')).toBeTypeOf('function');
    gate.resolve();
    expect(await isSettled(Promise.all(pending))).toBe(false);
  });

  // Was a bug: an install that began while the house-keeping recovered its plugin lost its fresh slot to it.
  it('is shared with nobody: who holds meanwhile waits for its end, then locks and recovers himself', async () => {
    const { locks, pluginLocks, recovered } = makeHolds();
    const release = await pluginLocks.tryHold('lint');
    const both = [pluginLocks.hold('lint'), pluginLocks.hold('lint')];
    expect([await isSettled(Promise.race(both)), recovered]).toEqual([false, []]);
    await release?.();
    const [a, b] = await Promise.all(both);
    expect([locks.taken, recovered, await pluginLocks.tryHold('lint')]).toEqual([2, ['lint'], undefined]);
    await a?.();
    await b?.();
    expect(locks.mine.size).toBe(0);
  });

  // Was a fault: who came meanwhile waited without end.
  it('is waited for as long as another process is, and no longer', async () => {
    const { pluginLocks, pass } = makeHolds();
    const release = await pluginLocks.tryHold('lint');
    const waiting = faultOf(pluginLocks.hold('lint'));
    await pass(29_990);
    expect(await isSettled(waiting)).toBe(false);
    await pass(20);
    expect(await waiting).toMatchObject({ code: 'LOCKED', retry: 'later', executed: 'no' });
    await release?.();
    expect(await pluginLocks.hold('lint')).toBeTypeOf('function');
  });
});

describe('a disk that does not answer', () => {
  const hang = (locks: TwoSides): (() => Promise<void>) => {
    const { promise, resolve } = deferred<void>();
    locks.hung = promise;
    return async () => {
      locks.hung = undefined;
      resolve();
      await settle();
    };
  };
  const SAID = 'The lock of "lint" was not to be had for more than 30 s';

  it('is waited for as long as another process is; a lock that comes late is given back', async () => {
    const { locks, clock, pluginLocks, recovered, pass } = makeHolds();
    const answer = hang(locks);
    const both = [faultOf(pluginLocks.hold('lint')), faultOf(pluginLocks.hold('lint'))];
    await pass(29_990);
    expect(await isSettled(Promise.race(both))).toBe(false);
    await pass(2020);
    for (const fault of await Promise.all(both)) {
      expect(fault).toMatchObject({ code: 'LOCKED', retry: 'later', executed: 'no', message: SAID });
    }
    const next = faultOf(pluginLocks.hold('lint'));
    await pass(30_010);
    expect(await next).toMatchObject({ code: 'LOCKED', message: SAID });
    expect([locks.queries, clock.running]).toEqual([1, 0]);
    await answer();
    expect([locks.taken, locks.mine.size, recovered]).toEqual([1, 0, []]);
    await pluginLocks.hold('lint');
    expect([locks.taken, recovered]).toEqual([2, ['lint']]);
  });

  it('that answers in time has lost nobody his turn', async () => {
    const { locks, pluginLocks, recovered, pass } = makeHolds();
    const answer = hang(locks);
    const both = [pluginLocks.hold('lint'), pluginLocks.hold('lint')];
    await pass(20_000);
    await answer();
    await Promise.all(both);
    expect([locks.taken, recovered]).toEqual([1, ['lint']]);
  });

  it('keeps whoever comes later waiting while a lock is given back', async () => {
    const { locks, pluginLocks, pass } = makeHolds();
    const release = await pluginLocks.hold('lint');
    const answer = hang(locks);
    const given = release();
    const [held, tried] = [pluginLocks.hold('lint'), pluginLocks.tryHold('lint')];
    await pass(10_000);
    expect(await isSettled(Promise.race([given, held, tried]))).toBe(false);
    expect(locks.queries).toBe(1);
    await answer();
    await given;
    expect(await held).toBeTypeOf('function');
    expect([await tried, locks.taken]).toEqual([undefined, 2]);
  });

  it('does not keep a try for ever, nor who comes while it tries', async () => {
    const { locks, pluginLocks, pass } = makeHolds();
    const answer = hang(locks);
    const [tried, held] = [faultOf(pluginLocks.tryHold('lint')), faultOf(pluginLocks.hold('lint'))];
    await pass(32_010);
    expect(await tried).toMatchObject({ code: 'LOCKED', message: SAID });
    expect((await held).code).toBe('LOCKED');
    await answer();
    expect(locks.mine.size).toBe(0);
    expect(await pluginLocks.tryHold('lint')).toBeTypeOf('function');
  });

  it('in a recovery keeps nobody for longer, and the lock is given back after it', async () => {
    const gate = deferred<void>();
    const { locks, pluginLocks, pass } = makeHolds(() => gate.promise);
    const held = faultOf(pluginLocks.hold('lint'));
    await pass(32_010);
    expect(await held).toMatchObject({ code: 'LOCKED', message: SAID });
    expect(locks.mine.has('lint')).toBe(true);
    gate.resolve();
    await settle();
    expect(locks.mine.size).toBe(0);
  });
});

describe('a lock that cannot be made', () => {
  it.each([
    ['EROFS', 'READ_ONLY'],
    ['ENOSPC', 'NO_SPACE'],
    ['EDQUOT', 'NO_SPACE'],
    ['EACCES', 'INTERNAL'],
    ['EIO', 'INTERNAL'],
  ])('because of %s is answered with %s, and the next one tries again', async (errno, code) => {
    const { locks, pluginLocks } = makeHolds();
    locks.error = Object.assign(new Error(`${errno}: as the test says`), { code: errno });
    for (const attempt of [() => pluginLocks.hold('lint'), () => pluginLocks.tryHold('lint')]) {
      const fault = await faultOf(attempt());
      expect(fault).toMatchObject({ code, executed: 'no' });
      expect(fault.message).toContain('Locking "lint" failed');
      expect(fault.cause).toBe(locks.error);
    }
    locks.error = undefined;
    expect(await pluginLocks.hold('lint')).toBeTypeOf('function');
  });
});
