/** Eyes that the system wakes up: one watch for each directory, none for files. */
import { readdir, realpath } from 'node:fs/promises';
import { basename, join, relative, sep } from 'node:path';

import type { FSWatcher } from 'chokidar';

import type { FileEvents } from './ports.ts';

/**
 * Loads chokidar when something is first watched, so that who watches nothing needs it not.
 *
 * Only chokidar's raw events are used: that is what a directory's watch says of the entries in it, so that a plugin of
 * 10,000 files in 50 directories costs 50 watches. `persistent: false` because otherwise two watchers in one process
 * share a handle by path, and after a swap the one that looks again is handed the directory that is gone.
 */
export const systemFileEvents: FileEvents = {
  open(directory, deep, tell, fail) {
    let watcher: FSWatcher | undefined;
    let closed = false;
    const begin = async (): Promise<void> => {
      const { watch } = await import('chokidar');
      // A link is followed once, here: below it none is.
      const top = await realpath(directory);
      if (closed) return;
      const opened = watch(top, {
        persistent: false,
        ignoreInitial: true,
        followSymlinks: false,
        usePolling: false,
        // Otherwise directories are left out whose names look like those of an editor's temporary files.
        atomic: false,
        ignored: (path, stats) => (deep ? stats?.isDirectory() === false : path !== top),
      });
      watcher = opened;
      opened.on('raw', (_event: string, name: string | null, details: unknown) => {
        const at = (details as { watchedPath?: string }).watchedPath;
        // What happens to a directory itself, its end above all, the system tells under the directory's own name.
        const isOwn = at === top && name === basename(top);
        const path = name === null || at === undefined || isOwn ? undefined : relative(top, join(at, name));
        if (path !== '..' && path?.startsWith(`..${sep}`) !== true) tell(path?.replaceAll(sep, '/'));
      });
      await new Promise<void>((resolve, reject) => {
        let isReady = false;
        opened.once('ready', () => {
          isReady = true;
          resolve();
        });
        opened.on('error', (cause) => {
          const error = cause instanceof Error ? cause : new Error(String(cause));
          if (isReady) fail(error);
          else reject(error);
        });
      });
      if (!deep) return;
      // Each directory is listed before it is watched: what came into it between the two, nobody watches.
      const seen = new Set(Object.keys(opened.getWatched()));
      for await (const path of directoriesIn(top)) {
        if (!seen.has(path)) tell(relative(top, path).replaceAll(sep, '/'));
      }
    };
    const ready = begin();
    return {
      ready,
      close: async () => {
        closed = true;
        await watcher?.close();
      },
    };
  },
};

/** All directories below one. */
async function* directoriesIn(top: string): AsyncGenerator<string, void, undefined> {
  const work = [top];
  for (let above = work.pop(); above !== undefined; above = work.pop()) {
    for (const entry of await readdir(above, { withFileTypes: true }).catch(() => [])) {
      if (!entry.isDirectory()) continue;
      const path = join(above, entry.name);
      work.push(path);
      yield path;
    }
  }
}
