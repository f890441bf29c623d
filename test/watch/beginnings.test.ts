/** What happens while a watcher begins, and since when its verdicts hold. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { systemFileEvents } from '../../watch/file-events.ts';
import type { FileEvents, Watched } from '../../watch/ports.ts';
import { install, makeRoot } from '../_kit/loader-root.ts';
import { watching } from '../_kit/watching.ts';

/** Those that the system wakes up, but for what is said otherwise of each. */
const eyesWith = (
  more: (watched: Watched, tell: (path: string) => void) => Partial<Watched>,
): FileEvents => ({
  open(directory, deep, tell, fail) {
    const watched = systemFileEvents.open(directory, deep, tell, fail);
    return { ready: watched.ready, close: () => watched.close(), ...(deep ? more(watched, tell) : {}) };
  },
});

test('what stirs while it is looked at for the first time, and is the same, is told to nobody', async () => {
  const layout = await makeRoot();
  await install(layout, 'lint');
  // Nobody says that a version was swapped in.
  await writeFile(join(layout.live('lint'), '.complete'), '');
  const fileEvents = eyesWith(({ ready }, tell) => ({ ready: ready.then(() => tell('plugin.yaml')) }));
  const { rest } = await watching(layout, { fileEvents });
  expect(await rest()).toEqual([]);
});

test('a verdict holds since the eyes have looked: what was changed after that has not been seen', async () => {
  const layout = await makeRoot();
  await install(layout, 'lint');
  const { next } = await watching(layout, { fileEvents: eyesWith(() => ({ seen: () => 5 })) });
  await writeFile(join(layout.live('lint'), 'SKILL.md'), 'new');
  expect(await next()).toMatchObject({ kind: 'cold', at: 5 });
});
