/** A watcher that breaks or ends leaves nothing open, and forgets what never was a plugin. */
import { getEventListeners } from 'node:events';
import { mkdir, open as openFile, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';

import { expect, test, vi } from 'vitest';

import { createLoader } from '../../loader/index.ts';
import { createIgnore } from '../../shared/format/tree.ts';
import type { Admission, FileEvents, Ports } from '../../watch/ports.ts';
import { createWatch } from '../../watch/watch.ts';
import { FakeClock } from '../_kit/clock.ts';
import { install, makeRoot } from '../_kit/loader-root.ts';
import { cannotTell, openFiles } from '../_kit/open-files.ts';
import { until } from '../_kit/until.ts';

function room(
  root: string,
  admit: (name: string) => Promise<Admission>,
  ready = (): Promise<void> => Promise.resolve(),
) {
  const clock = new FakeClock();
  const open = new Set<string>();
  let stir: (name: string | undefined) => void = () => undefined;
  const fileEvents: FileEvents = {
    open(directory, deep, tell) {
      if (!deep) stir = tell;
      const key = `${directory} ${Math.random()}`;
      open.add(key);
      return {
        ready: ready(),
        close: async () => void open.delete(key),
      };
    },
  };
  const ports: Ports = {
    roots: [root],
    admit,
    installed: async () => undefined,
    ignore: createIgnore(),
    clock,
    fileEvents,
    polling: fileEvents,
    notice: () => undefined,
  };
  return { watch: createWatch(ports), clock, open, stir: (name: string | undefined) => stir(name) };
}

test('what is still being looked at when it breaks is closed as well', async () => {
  const layout = await makeRoot();
  for (const name of ['a', 'b']) await install(layout, name);
  let go = (): void => undefined;
  const slow = new Promise<void>((resolve) => (go = resolve));
  const asked: string[] = [];
  const { watch, open } = room(layout.root, async (name) => {
    asked.push(name);
    if (name === 'a') throw new Error('no thread');
    await slow;
    return {
      status: 'admitted',
      path: layout.live(name),
      generation: 'one',
      installId: undefined,
      hotReload: undefined,
    };
  });
  const broken = watch.ready.catch((error: unknown) => String(error));
  await until(() => expect(asked.toSorted()).toEqual(['a', 'b']));
  go();
  expect(await broken).toBe('Error: no thread');
  await watch.close();
  expect([...open]).toEqual([]);
  // Nor is anything opened behind the end.
  for (let i = 0; i < 10; i += 1) await turn();
  expect([...open]).toEqual([]);
});

test('one that is closed while it begins ends at once, also in the middle of a file, and has not broken', async (ctx) => {
  if (cannotTell !== undefined) ctx.skip(cannotTell);
  const layout = await makeRoot();
  await install(layout, 'a');
  // As large as is read at all, and so many that reading them takes minutes.
  for (let i = 0; i < 400; i += 1) {
    const file = await openFile(join(layout.live('a'), `large-${i}`), 'w');
    await file.truncate(256 * 2 ** 20);
    await file.close();
  }
  const { watch, open } = room(layout.root, async (name) => ({
    status: 'admitted',
    path: layout.live(name),
    generation: 'one',
    installId: undefined,
    hotReload: undefined,
  }));
  const large = join(layout.live('a'), 'large-');
  await until(() => expect(openFiles(large)).not.toEqual([]), 1);
  await watch.close();
  await watch.ready;
  expect([...open]).toEqual([]);
  await until(() => expect(openFiles(large)).toEqual([]));
});

test('one that is closed while it sees who is there waits for nobody afterwards', async () => {
  const layout = await makeRoot();
  for (const name of ['a', 'b']) await install(layout, name);
  let go = (): void => undefined;
  let ready = Promise.resolve();
  let opened = 0;
  const { watch, clock, stir } = room(
    layout.root,
    async () => ({ status: 'absent' }),
    () => {
      opened += 1;
      return ready;
    },
  );
  await watch.ready;
  const before = opened;
  ready = new Promise((resolve) => (go = resolve));
  stir(undefined);
  clock.advance(300);
  await until(() => expect(opened).toBe(before + 1));
  const closed = watch.close();
  go();
  await closed;
  expect(clock.running).toBe(0);
});

test('names that never were plugins and are gone cost nothing', async () => {
  const layout = await makeRoot();
  const asked = new Set<string>();
  const { watch, clock, stir } = room(layout.root, async (name) => {
    asked.add(name);
    return { status: 'absent' };
  });
  await watch.ready;
  for (let i = 0; i < 20; i += 1) {
    await mkdir(join(layout.root, `tmp-${i}`));
    stir(`tmp-${i}`);
  }
  await until(() => {
    clock.advance(300);
    expect(asked.size).toBe(20);
  });
  for (let i = 0; i < 20; i += 1) {
    await rmdir(join(layout.root, `tmp-${i}`));
    stir(`tmp-${i}`);
  }
  clock.advance(300);
  await until(() => {
    clock.advance(300);
    // Whoever is known is looked at when nobody can say what changed.
    stir(undefined);
    const { running } = clock;
    clock.advance(300);
    // The root is looked after, and nobody else.
    expect(running).toBe(2);
  });
  await watch.close();
});

test('whoever leaves while it waits for an event, or before it has asked for one, ends it', async () => {
  const layout = await makeRoot();
  const loader = createLoader({ roots: [layout.root] });
  const streamed = loader.watch();
  await streamed.ready;
  const iterator = streamed[Symbol.asyncIterator]();
  const next = vi.spyOn(iterator, 'next');
  const stream = Readable.from({ [Symbol.asyncIterator]: () => iterator });
  stream.resume();
  await until(() => expect(next).toHaveBeenCalledOnce());
  const gone = new Promise((resolve) => stream.once('close', resolve));
  stream.destroy();
  await gone;
  for await (const event of streamed) throw new Error(JSON.stringify(event));

  const unread = loader.watch();
  await unread.ready;
  await unread[Symbol.asyncIterator]().return?.();
  for await (const event of unread) throw new Error(JSON.stringify(event));
});

test('a signal that is aborted already ends it, and one that is not is let go of when it has ended', async () => {
  const layout = await makeRoot();
  const stop = new AbortController();
  const loader = createLoader({ roots: [layout.root], signal: stop.signal });
  for (let i = 0; i < 3; i += 1) {
    const watch = loader.watch();
    expect(getEventListeners(stop.signal, 'abort')).toHaveLength(1);
    await watch.close();
    expect(getEventListeners(stop.signal, 'abort')).toEqual([]);
  }
  await install(layout, 'lint');
  stop.abort();
  const late = loader.watch();
  await late.ready;
  for await (const event of late) throw new Error(JSON.stringify(event));
});
