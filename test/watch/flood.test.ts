/** When everything is doubted, and that a flood that lasts does not have everything looked at all the time. */
import { expect, test } from 'vitest';

import { Flood } from '../../watch/flood.ts';
import { FakeClock } from '../_kit/clock.ts';

function begin() {
  const clock = new FakeClock();
  const began = clock.now();
  const doubted: number[] = [];
  const flood = new Flood(clock, () => doubted.push((clock.now() - began) / 1000));
  const hear = (count: number): void => {
    for (let i = 0; i < count; i += 1) flood.hear();
  };
  return { clock, doubted, flood, hear };
}

test('many events in long are no flood, many at once are', () => {
  const { clock, doubted, hear } = begin();
  for (let i = 0; i < 100; i += 1) {
    hear(4095);
    clock.advance(1000);
  }
  expect(doubted).toEqual([]);
  hear(4096);
  expect(doubted).toEqual([100]);
});

test('while it lasts everything is looked at every half minute, and once when it is over', () => {
  const { clock, doubted, flood, hear } = begin();
  for (let second = 0; second < 70; second += 1) {
    hear(5000);
    clock.advance(1000);
  }
  clock.advance(120_000);
  expect(doubted).toEqual([0, 30, 60, 72]);
  hear(5000);
  hear(5000);
  flood.close();
  clock.advance(120_000);
  expect(doubted).toEqual([0, 30, 60, 72, 190]);
  expect(clock.running).toBe(0);
});
