/** One plugin does not keep the others waiting, and many of them do not work at once. */
import { mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, onTestFinished, test } from 'vitest';

import { deferred } from '../../agent/worker/deferred.ts';
import { createIgnore } from '../../shared/format/tree.ts';
import { systemFileEvents } from '../../watch/file-events.ts';
import { Semaphore } from '../../shared/semaphore.ts';
import { pollingFileEvents } from '../../watch/poll.ts';
import { createWatch } from '../../watch/watch.ts';
import { scratch } from '../_kit/agent.ts';
import { FakeClock } from '../_kit/clock.ts';
import { install, makeRoot, yamlOf } from '../_kit/loader-root.ts';
import { until } from '../_kit/until.ts';
import { watching } from '../_kit/watching.ts';

test('so many work at once, the others in their order, also after one that failed', async () => {
  const semaphore = new Semaphore(2);
  const ends: ((error?: Error) => void)[] = [];
  const begun: number[] = [];
  const work = Array.from({ length: 5 }, (_, i) =>
    semaphore.run(async () => {
      begun.push(i);
      await new Promise<void>((resolve, reject) => {
        ends.push((error) => (error === undefined ? resolve() : reject(error)));
      });
    }),
  );
  expect(begun).toEqual([0, 1]);
  ends[0]?.(new Error('it fails'));
  await expect(work[0]).rejects.toThrow('it fails');
  expect(begun).toEqual([0, 1, 2]);
  ends[2]?.();
  ends[1]?.();
  await work[1];
  await until(() => expect(begun).toEqual([0, 1, 2, 3, 4]));
  for (const end of ends) end();
  await Promise.all(work.slice(1));
});

test('a file of a terabyte is not read, and what is changed beside it is told', async () => {
  const layout = await makeRoot();
  for (const name of ['evil', 'lint']) {
    await install(layout, name, { 'plugin.yaml': yamlOf(name), 'SKILL.md': 'one' });
  }
  const { rest, next } = await watching(layout);
  const path = join(layout.live('evil'), 'huge');
  const huge = await open(path, 'w');
  await huge.truncate(2 ** 40);
  await huge.close();
  const reasons = [{ path: 'huge', change: 'added', why: 'it is too large to be compared' }];
  expect(await next()).toMatchObject({ plugin: 'evil', kind: 'cold', reasons });
  await writeFile(join(layout.live('lint'), 'SKILL.md'), 'two');
  expect(await next()).toMatchObject({ plugin: 'lint', kind: 'skill-content-only' });
  // Written to it is another one, and its size alone says nothing.
  await writeFile(path, 'x', { flag: 'r+' });
  expect(await next()).toMatchObject({ plugin: 'evil', kind: 'cold', reasons });
  expect(await rest()).toEqual([]);
});

test('a plugin whose look takes long keeps no other one waiting', async () => {
  const root = await scratch();
  for (const name of ['slow', 'lint']) await mkdir(join(root, name));
  const clock = new FakeClock();
  let busy = Promise.resolve();
  const watch = createWatch({
    roots: [root],
    admit: async (name) => {
      if (name === 'slow') await busy;
      const path = join(root, name);
      return { status: 'admitted', path, generation: name, installId: undefined, hotReload: undefined };
    },
    installed: () => Promise.resolve(undefined),
    ignore: createIgnore(),
    clock,
    fileEvents: systemFileEvents,
    polling: pollingFileEvents(clock),
    notice: () => undefined,
  });
  onTestFinished(() => watch.close());
  await watch.ready;
  const told: string[] = [];
  const reading = (async () => {
    for await (const { plugin } of watch) told.push(plugin);
  })();
  reading.catch(() => told.push('broken'));
  const look = deferred<void>();
  busy = look.promise;
  const after = (count: number): Promise<void> =>
    until(() => {
      clock.advance(300);
      expect(told).toHaveLength(count);
    });
  await writeFile(join(root, 'slow/rules.md'), '');
  await until(() => expect(clock.running).toBeGreaterThan(1));
  clock.advance(300);
  await writeFile(join(root, 'lint/rules.md'), '');
  await after(1);
  look.resolve();
  await after(2);
  expect(told).toEqual(['lint', 'slow']);
});
