/** What is taken for unchanged without being read: only what really cannot have changed. */
import { rename, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { expect, test } from 'vitest';

import { writeMarker } from '../../shared/format/marker.ts';
import type { FileEvents } from '../../watch/ports.ts';
import { LATER, install, makeRoot, yamlOf } from '../_kit/loader-root.ts';
import { watching } from '../_kit/watching.ts';

const FILES = { 'plugin.yaml': yamlOf('lint'), 'a/f': 'a', 'b/f': 'b', 'c/f': 'c' };

/** More than the kernel's tick, by which the times of files differ. */
const TICK_MILLIS = 60;

/** A plugin whose files are older than its marker, and eyes that see what they are told to. */
async function room() {
  const layout = await makeRoot();
  const live = (path: string): string => join(layout.live('lint'), path);
  const marker = await install(layout, 'lint', FILES);
  await pause(TICK_MILLIS);
  const touch = (): Promise<void> => utimes(live('.complete'), new Date(), new Date());
  await touch();
  let tell = (_path: string): void => undefined;
  const fileEvents: FileEvents = {
    open(_directory, deep, told) {
      if (deep) tell = told;
      return { ready: Promise.resolve(), close: () => Promise.resolve() };
    },
  };
  const seen = await watching(layout, { fileEvents });
  await pause(TICK_MILLIS);
  /** More paths than are looked at one by one. */
  const tellMany = (): void => {
    for (let i = 0; i < 1100; i += 1) tell(`many/${i}`);
  };
  return { live, marker, touch, tell: (path: string) => tell(path), tellMany, ...seen };
}

const COLD = (...paths: string[]) => [{ kind: 'cold', reasons: paths.map((path) => ({ path })) }];

test('a file that changed before the marker was touched is read', async () => {
  const { live, touch, tellMany, rest } = await room();
  await writeFile(live('a/f'), 'x');
  await pause(TICK_MILLIS);
  await touch();
  tellMany();
  expect(await rest()).toMatchObject(COLD('a/f'));
});

test('files that came with a directory of another name are read', async () => {
  const { live, tellMany, rest } = await room();
  await rename(live('a'), live('d'));
  await rename(live('b'), live('a'));
  await rename(live('d'), live('b'));
  tellMany();
  expect(await rest()).toMatchObject(COLD('a/f', 'b/f'));
});

test('a version that comes back is read where it changed after its install, whenever its marker was written', async () => {
  const { live, marker, tell, rest } = await room();
  const put = async (installId: string): Promise<void> => {
    await writeFile(live('.complete'), writeMarker({ ...marker, installId }));
    tell('.complete');
  };
  await put(LATER);
  await rest();
  await writeFile(live('c/f'), 'x');
  await pause(TICK_MILLIS);
  await put(marker.installId);
  expect(await rest()).toMatchObject([{ ...COLD('c/f')[0], cause: { by: 'swap' } }]);
});

test('what is ignored fills the queue of the system, too: then nothing is believed', async () => {
  const { live, tell, rest } = await room();
  await writeFile(live('a/f'), 'x');
  expect(await rest()).toEqual([]);
  for (let i = 0; i < 5000; i += 1) tell(`hooks/__pycache__/${i}.pyc`);
  expect(await rest()).toMatchObject(COLD('a/f'));
});
