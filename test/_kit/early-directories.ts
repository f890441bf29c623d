/** Directories that are made below a directory while the watch on it is being opened. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises';

import { systemFileEvents } from '../../watch/file-events.ts';
import { scratch } from './agent.ts';

/** Opens a watch once. @returns the directories that were made meanwhile and of which nothing was told. */
export async function lostWhileOpening(): Promise<string[]> {
  const top = await scratch();
  for (let i = 0; i < 20; i += 1) await mkdir(join(top, `old-${i}`));
  for (let i = 0; i < 300; i += 1) await writeFile(join(top, `file-${i}`), '');
  const seen = new Set<string | undefined>();
  const watched = systemFileEvents.open(
    top,
    true,
    (path) => seen.add(path),
    () => undefined,
  );
  const made: string[] = [];
  const state = { opening: true };
  const making = (async () => {
    for (let i = 0; state.opening; i += 1) {
      const path = `old-${i % 20}/new-${i}`;
      await mkdir(join(top, path));
      made.push(path);
      await turn();
    }
  })();
  await watched.ready;
  state.opening = false;
  await making;
  await pause(50);
  for (const path of made) await writeFile(join(top, path, 'file'), '');
  await pause(50);
  // Who is told of the directory watches anew and looks at everything.
  const lost = made.filter((path) => !seen.has(path) && !seen.has(`${path}/file`));
  await watched.close();
  return lost;
}
