import { expect, it } from 'vitest';

import { Recent } from '../../agent/service/recent.ts';
import { deferred } from '../../agent/worker/deferred.ts';
import { FakeClock } from '../_kit/clock.ts';
import { settle } from '../_kit/engines.ts';

const LIMITS = { freshMillis: 1000, restFactor: 19, patienceMillis: 500 };

it('asks once for all who come meanwhile, and not again while the answer is fresh', async () => {
  const clock = new FakeClock();
  let asked = 0;
  const recent = new Recent({ get: () => Promise.resolve((asked += 1)), clock, ...LIMITS });
  const [a, b] = await Promise.all([recent.ask(), recent.ask()]);
  expect([a.value, b.value, a.late]).toEqual([1, 1, false]);
  clock.advance(999);
  expect(await recent.ask()).toMatchObject({ value: 1, age: 999, took: 0 });
  clock.advance(1);
  expect(await recent.ask()).toMatchObject({ value: 2, age: 0 });
});

it('works a twentieth of the time at most, however often it is asked', async () => {
  const clock = new FakeClock();
  let asked = 0;
  const get = async (): Promise<number> => {
    clock.advance(300);
    return (asked += 1);
  };
  const recent = new Recent({ get, clock, ...LIMITS });
  await recent.ask();
  clock.advance(300 * 19 - 1);
  expect(await recent.ask()).toMatchObject({ value: 1, took: 300 });
  clock.advance(1);
  expect(await recent.ask()).toMatchObject({ value: 2 });
});

it('gives the last answer, and says so, to who has waited long enough; one question stays open', async () => {
  const clock = new FakeClock();
  const answers = [deferred<string>(), deferred<string>()];
  let asked = 0;
  const recent = new Recent({
    get: () => {
      asked += 1;
      return answers[asked - 1]?.promise ?? Promise.reject(new Error('too many'));
    },
    clock,
    ...LIMITS,
  });
  const first = recent.ask();
  clock.advance(500);
  expect(await first).toEqual({
    value: undefined,
    error: undefined,
    age: undefined,
    took: undefined,
    late: true,
  });
  answers[0]?.resolve('old');
  await settle();
  expect(await recent.ask()).toMatchObject({ value: 'old', late: false, took: 500 });
  clock.advance(60_000);
  const waiting = [recent.ask(), recent.ask()];
  clock.advance(500);
  for (const answer of await Promise.all(waiting)) {
    expect(answer).toMatchObject({ value: 'old', late: true, age: 61_000 });
  }
  expect(asked).toBe(2);
  answers[1]?.resolve('new');
  await settle();
  expect(await recent.ask()).toMatchObject({ value: 'new', late: false });
});

it('has no value after a failure, and asks again later', async () => {
  const clock = new FakeClock();
  const no = new Error('no');
  let fails = false;
  const recent = new Recent({
    get: () => (fails ? Promise.reject(no) : Promise.resolve(1)),
    clock,
    ...LIMITS,
  });
  await recent.ask();
  fails = true;
  clock.advance(1000);
  expect(await recent.ask()).toMatchObject({ value: undefined, error: no, late: false });
  fails = false;
  clock.advance(1000);
  expect(await recent.ask()).toMatchObject({ value: 1, error: undefined });
});
