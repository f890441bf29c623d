/** Looking again and again: how often, and what happens under a look. */
import promises, { rename, writeFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';

import { POLL_MILLIS, pollingFileEvents } from '../../watch/poll.ts';
import type { Clock } from '../../shared/clock.ts';
import { scratch } from '../_kit/agent.ts';
import { FakeClock } from '../_kit/clock.ts';
import { until } from '../_kit/until.ts';

/** What happens on the disk just before the stats of a path are asked for. */
const hooks = new Map<unknown, () => Promise<unknown>>();

beforeAll(() => {
  const real = promises.lstat;
  vi.spyOn(promises, 'lstat').mockImplementation(async (...asked: Parameters<typeof real>) => {
    await hooks.get(asked[0])?.();
    return real(...asked);
  });
  syncBuiltinESMExports();
});
afterAll(() => {
  vi.restoreAllMocks();
  syncBuiltinESMExports();
});

test('what is renamed under a look is told by both names, in the same look', async () => {
  const folder = await scratch();
  const [old, now] = [join(folder, 'old'), join(folder, 'now')];
  await writeFile(old, '');
  const clock = new FakeClock();
  const told: string[] = [];
  const watched = pollingFileEvents(clock).open(
    folder,
    true,
    (path) => told.push(path ?? ''),
    () => undefined,
  );
  onTestFinished(() => watched.close());
  await watched.ready;
  let asked = 0;
  hooks.set(old, async () => {
    asked += 1;
    if (asked === 1) await rename(old, now);
  });
  onTestFinished(() => hooks.clear());
  clock.advance(POLL_MILLIS);
  await until(() => expect(clock.running).toBe(1));
  expect(asked).toBe(1);
  expect(new Set(told)).toEqual(new Set(['now', 'old']));
});

test('polling rests for twenty times as long as a look takes, for a second at least', async () => {
  const rests: number[] = [];
  let go = (): void => {};
  const clock: Clock = {
    now: () => 0,
    after: (millis, call) => {
      rests.push(millis);
      go = call;
      return () => undefined;
    },
  };
  let now = 0;
  let takes = 0;
  // Asked at the beginning of a look and at its end.
  const fileEvents = pollingFileEvents(clock, () => (now += takes));
  const watched = fileEvents.open(
    await scratch(),
    true,
    () => undefined,
    () => undefined,
  );
  await watched.ready;
  for (takes of [10, 400]) {
    const before = rests.length;
    go();
    await until(() => expect(rests.length).toBe(before + 1));
  }
  await watched.close();
  expect(rests).toEqual([1000, 1000, 8000]);
});

test('what was changed since a look began was perhaps not told by it', async () => {
  const folder = await scratch();
  const file = join(folder, 'file');
  await writeFile(file, '');
  const clock = new FakeClock();
  const { ready, seen, close } = pollingFileEvents(clock).open(
    folder,
    true,
    () => undefined,
    () => undefined,
  );
  onTestFinished(close);
  await ready;
  const opened = seen?.();
  await pause(20);
  const during: { at: number; seen: number | undefined }[] = [];
  hooks.set(file, async () => {
    await pause(20);
    during.push({ at: Date.now(), seen: seen?.() });
  });
  onTestFinished(() => hooks.clear());
  clock.advance(POLL_MILLIS);
  await until(() => expect(clock.running).toBe(1));
  expect(during).toEqual([{ at: expect.any(Number), seen: opened }]);
  expect(seen?.()).toBeGreaterThan(opened ?? Infinity);
  expect(seen?.()).toBeLessThan(during[0]?.at ?? 0);
});
