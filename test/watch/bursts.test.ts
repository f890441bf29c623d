/** One verdict for each burst, also where a look falls into the middle of one. */
import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, onTestFinished, test, vi } from 'vitest';

import { pollingFileEvents } from '../../watch/poll.ts';
import type { FileEvents, WatchEvent } from '../../watch/ports.ts';
import { createWatch } from '../../watch/watch.ts';
import { SETTLE_MAX_MILLIS, SETTLE_MILLIS } from '../../watch/watched-plugin.ts';
import { FakeClock } from '../_kit/clock.ts';
import { install, makeRoot, yamlOf } from '../_kit/loader-root.ts';
import { until } from '../_kit/until.ts';

const SKILL = 'skills/a/SKILL.md';
const HOOK = 'hooks/run.sh';
const FILES = { 'plugin.yaml': yamlOf('lint'), [SKILL]: 'one', [HOOK]: 'one' };

/** A watch over one plugin, of which the test is all the eyes, unless it polls. */
async function makeWatch(how: 'woken' | 'polling') {
  const layout = await makeRoot();
  await install(layout, 'lint', FILES);
  const live = layout.live('lint');
  const clock = new FakeClock();
  // A look takes no time, so the next one comes a second later, however busy the machine is.
  const polling = pollingFileEvents(clock, () => 0);
  let events = 0;
  let tell: (path: string) => void = () => undefined;
  /** Called when a file is looked at. */
  const hooks = new Map<string, () => void>();
  const fileEvents: FileEvents = {
    open(directory, deep, hear, fail) {
      const heard = (path: string | undefined): void => {
        events += deep ? 1 : 0;
        hear(path);
      };
      if (deep) tell = heard;
      const silent = { ready: Promise.resolve(), close: () => Promise.resolve() };
      return how === 'woken' ? silent : polling.open(directory, deep, heard, fail);
    },
  };
  const watch = createWatch({
    roots: [layout.root],
    admit: () =>
      Promise.resolve({
        status: 'admitted',
        path: live,
        generation: 'one',
        installId: undefined,
        hotReload: undefined,
      }),
    installed: () => Promise.resolve(undefined),
    ignore: (path) => {
      hooks.get(path)?.();
      return false;
    },
    clock,
    fileEvents,
    polling,
    notice: () => undefined,
  });
  onTestFinished(() => watch.close());
  const told: WatchEvent[] = [];
  void (async () => {
    for await (const event of watch) told.push(event);
  })();
  await watch.ready;
  /** Resolves when all that has been begun is over. */
  const idle = (): Promise<void> => watch.reported('lint', 'another', 0);
  const settle = async (millis = SETTLE_MILLIS): Promise<void> => {
    clock.advance(millis);
    await idle();
  };
  /** Looks again as polling does, and lets what it sees settle. */
  const poll = async (): Promise<void> => {
    const before = events;
    clock.advance(1000);
    await until(() => expect(events).toBeGreaterThan(before), 2);
    await settle();
  };
  const write = async (path: string, text: string): Promise<number> => {
    await writeFile(join(live, path), text);
    return Math.ceil((await stat(join(live, path))).ctimeMs);
  };
  return { clock, told, hooks, settle, poll, write, tell: (path: string) => tell(path) };
}

for (const [path, kind] of [
  [SKILL, 'skill-content-only'],
  [HOOK, 'cold'],
] as const) {
  // Was a fault: half of an edit of a skill was told, and then the whole.
  test(`a file that is written while it is looked at is told once: ${path}`, async () => {
    const { told, hooks, settle, write, tell } = await makeWatch('woken');
    await write(path, '');
    tell(path);
    hooks.set(path, () => {
      hooks.clear();
      tell(path);
    });
    await settle();
    expect([hooks.size, told]).toEqual([0, []]);
    await write(path, 'two');
    await settle();
    expect(told).toMatchObject([{ kind, cause: { by: 'edit' } }]);
    await settle();
    expect(told).toHaveLength(1);
  });

  // Was a fault, seen where a busy machine polled between the two halves of a write.
  test(`a file that was written just now is not told by polling before it stands still: ${path}`, async () => {
    const { told, poll, settle, write } = await makeWatch('polling');
    const now = vi.spyOn(Date, 'now');
    onTestFinished(() => now.mockRestore());
    now.mockReturnValue((await write(path, '')) + 5);
    await poll();
    expect(told).toEqual([]);
    now.mockReturnValue((await write(path, 'two')) + SETTLE_MILLIS + 50);
    await poll();
    await settle();
    expect(told).toMatchObject([{ kind, reasons: [{ path }] }]);
  });

  test(`a file that never stands still is told all the same: ${path}`, async () => {
    const { told, hooks, settle, write, tell } = await makeWatch('woken');
    hooks.set(path, () => tell(path));
    tell(path);
    await write(path, 'two');
    for (let waited = 0; told.length === 0 && waited <= 3 * SETTLE_MAX_MILLIS; waited += SETTLE_MILLIS) {
      await settle();
    }
    expect(told).toMatchObject([{ kind }]);
  });
}
