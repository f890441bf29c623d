/** A loader's watcher on a real disk, with real eyes and a clock that the test moves. */
import { setTimeout as pause } from 'node:timers/promises';

import { onTestFinished } from 'vitest';

import { createGate } from '../../loader/gate.ts';
import { createMemory } from '../../loader/memory.ts';
import { type LoaderOptions, readOptions } from '../../loader/settings.ts';
import { type WatchOptions, createLoaderWatch } from '../../loader/watch.ts';
import type { Layout } from '../../shared/format/layout.ts';
import type { FileEvents, Watch, WatchEvent } from '../../watch/ports.ts';
import { FakeClock } from './clock.ts';

const LONG_MILLIS = 60_000;
/** So long a look may take (a twentieth, of real time) and polling does not rest beyond the next step of the clock. */
const POLL_STEP_MILLIS = 60_000;
const STEP_MILLIS = 300;

/** Whether this process waits for the disk: a look takes as long as a busy machine likes. */
const isReading = (): boolean => process.getActiveResourcesInfo().some((name) => name.startsWith('FSReq'));

export type WatchBridge = {
  watch: Watch;
  clock: FakeClock;
  /** All that was told so far. */
  told: WatchEvent[];
  notices: string[];
  /** Lets bursts settle until an event comes; fails after a minute of real time. */
  next(): Promise<WatchEvent>;
  /** Lets everything that is under way be seen and settle, and returns what was told since it was last asked. */
  rest(): Promise<WatchEvent[]>;
};

export async function watching(
  layout: Layout | readonly Layout[],
  how: WatchOptions & { fileEvents?: FileEvents; loader?: Partial<LoaderOptions> } = {},
): Promise<WatchBridge> {
  const roots = [layout].flat().map(({ root }) => root);
  const settings = readOptions({ ...how.loader, roots });
  const clock = new FakeClock();
  const notices: string[] = [];
  const { fileEvents, polling } = how;
  const watch = createLoaderWatch(
    settings,
    createGate(settings, createMemory()),
    { polling, notice: (text) => notices.push(text) },
    fileEvents === undefined ? { clock } : { clock, fileEvents },
  );
  onTestFinished(() => watch.close());
  const told: WatchEvent[] = [];
  const reading = (async () => {
    for await (const event of watch) told.push(event);
  })();
  reading.catch((error: unknown) => notices.push(String(error)));
  await watch.ready;
  let asked = 0;
  const step = (): void => clock.advance(polling === true ? POLL_STEP_MILLIS : STEP_MILLIS);
  /** Until nothing has been told for a while, with the clock moving on all the while, and every look at its end. */
  const rest = async (): Promise<WatchEvent[]> => {
    const end = Date.now() + LONG_MILLIS;
    for (let quiet = 0; quiet < 12 && Date.now() < end; quiet += 1) {
      const before = told.length;
      await pause(25);
      step();
      do await pause(25);
      while (isReading() && Date.now() < end);
      if (told.length !== before) quiet = 0;
    }
    const since = told.slice(asked);
    asked = told.length;
    return since;
  };
  const next = async (): Promise<WatchEvent> => {
    for (const end = Date.now() + LONG_MILLIS; Date.now() < end;) {
      const event = told[asked];
      if (event !== undefined) {
        asked += 1;
        return event;
      }
      await pause(20);
      step();
    }
    throw new Error(`No event came; so far: ${JSON.stringify({ told, notices })}`);
  };
  return { watch, clock, told, notices, next, rest };
}
