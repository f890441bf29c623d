import { describe, expect, test } from 'vitest';

import { makeStamp } from '../../../shared/format/name.ts';
import { expiredSnapshots } from '../../../shared/rule/retention.ts';

const DAY = 24 * 60 * 60 * 1000;
const NOW = Date.UTC(2026, 4, 8);
const BUNDLE = '9f86d081'.repeat(8);
const ago = (days: number): string => makeStamp(NOW - days * DAY, BUNDLE);
const WEEK = { keep: 3, keepMillis: 7 * DAY };

describe('expired are', () => {
  test('the snapshots beyond the number, in the order of displacement', () => {
    const stamps = [ago(1), ago(3), ago(2), ago(4)];
    expect(expiredSnapshots(stamps, { ...WEEK, keep: 2 }, ago(1), NOW)).toEqual([ago(2), ago(4)]);
  });

  test('the snapshots that were displaced too long ago', () => {
    expect(expiredSnapshots([ago(1), ago(8)], WEEK, ago(1), NOW)).toEqual([ago(8)]);
    expect(expiredSnapshots([ago(7)], WEEK, undefined, NOW)).toEqual([]);
  });

  test('all, where none is to be kept', () => {
    expect(expiredSnapshots([ago(1), ago(2)], { ...WEEK, keep: 0 }, ago(1), NOW)).toEqual([ago(1), ago(2)]);
  });
});

describe('no snapshot is too old where the clock is behind', () => {
  test.each([
    ['a snapshot', [ago(-1), ago(8)], ago(9)],
    ['the live version', [ago(8)], ago(-1)],
  ])('the stamp of %s', (_, stamps, live) => {
    expect(expiredSnapshots(stamps, WEEK, live, NOW)).toEqual([]);
  });

  test('but the number counts all the same', () => {
    expect(expiredSnapshots([ago(-1), ago(8)], { ...WEEK, keep: 1 }, ago(-1), NOW)).toEqual([ago(8)]);
  });
});

test('a stamp of no real moment is never too old, and says nothing of the clock', () => {
  const unreal = '29993999T000000000Z-00000000';
  expect(expiredSnapshots([unreal, ago(8)], WEEK, undefined, NOW)).toEqual([ago(8)]);
});
