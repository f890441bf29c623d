import { describe, expect, it } from 'vitest';

import { systemClock } from '../../shared/clock.ts';
import { Timers } from '../../agent/service/upload.ts';
import { FakeClock } from '../_kit/clock.ts';

function make(): {
  clock: FakeClock;
  timers: Timers<'a' | 'b'>;
  rang: string[];
  ring: (n: string) => () => void;
} {
  const clock = new FakeClock();
  const rang: string[] = [];
  return { clock, timers: new Timers(clock), rang, ring: (name) => () => void rang.push(name) };
}

describe('named timers', () => {
  it('ring once, at their time', () => {
    const { clock, timers, rang, ring } = make();
    timers.start('a', 10, ring('a'));
    clock.advance(9);
    expect(rang).toEqual([]);
    clock.advance(100);
    expect(rang).toEqual(['a']);
  });

  it('begin anew when they are started again, and ring once then', () => {
    const { clock, timers, rang, ring } = make();
    timers.start('a', 10, ring('first'));
    clock.advance(9);
    timers.start('a', 10, ring('second'));
    clock.advance(9);
    expect(rang).toEqual([]);
    clock.advance(1);
    expect(rang).toEqual(['second']);
  });

  it('stop by name, and all at once', () => {
    const { clock, timers, rang, ring } = make();
    timers.start('a', 10, ring('a'));
    timers.start('b', 10, ring('b'));
    timers.stop('a');
    timers.stop('a');
    clock.advance(10);
    expect(rang).toEqual(['b']);
    timers.start('a', 10, ring('a'));
    timers.start('b', 10, ring('b'));
    timers.stopAll();
    expect(clock.running).toBe(0);
  });

  it('can be started again by their own ringing', () => {
    const { clock, timers, rang, ring } = make();
    timers.start('a', 10, () => timers.start('a', 10, ring('again')));
    clock.advance(20);
    expect(rang).toEqual(['again']);
  });

  it('do not keep the process alive on the clock of the system', () => {
    const before = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const cancel = systemClock.after(60_000, () => undefined);
    const after = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    cancel();
    expect(after).toBe(before);
  });
});
