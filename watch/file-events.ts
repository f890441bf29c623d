/** File events of the system: one watch for each directory, none for files. */
import { readdir, realpath } from 'node:fs/promises';
import { basename, join, relative, sep } from 'node:path';

import type { FSWatcher } from 'chokidar';

import type { FileEvents } from './ports.ts';

let loading: Promise<typeof import('chokidar')> | undefined;

/** Loads what the file events of the system need, once. A process that must not wait for its disk later calls this first. */
export const loadFileEvents = (): Promise<typeof import('chokidar')> => (loading ??= import('chokidar'));

/**
 * Loads chokidar when the first directory is watched, so a process that watches nothing does not need it.
 *
 * Only chokidar's raw events are used. They report changes of the entries of a directory, so a plugin of 10,000 files in
 * 50 directories costs 50 watches. `persistent` is false because otherwise two watchers in one process share a handle by
 * path: after a swap a new watcher would get the handle of the removed directory.
 */
export const systemFileEvents: FileEvents = {
  open(directory, deep, onPath, onError) {
    let watcher: FSWatcher | undefined;
    let closed = false;
    const begin = async (): Promise<void> => {
      const { watch } = await loadFileEvents();
      // A link is followed only here. Below it no link is followed.
      const top = await realpath(directory);
      if (closed) return;
      const opened = watch(top, {
        persistent: false,
        ignoreInitial: true,
        followSymlinks: false,
        usePolling: false,
        // Otherwise chokidar leaves out directories whose names look like temporary files of editors.
        atomic: false,
        ignored: (path, stats) => (deep ? stats?.isDirectory() === false : path !== top),
      });
      watcher = opened;
      opened.on('raw', (_event: string, name: string | null, details: unknown) => {
        const at = (details as { watchedPath?: string }).watchedPath;
        // The system reports changes of the directory itself, such as its removal, under the directory's own name.
        const isOwn = at === top && name === basename(top);
        const path = name === null || at === undefined || isOwn ? undefined : relative(top, join(at, name));
        if (path !== '..' && path?.startsWith(`..${sep}`) !== true) onPath(path?.replaceAll(sep, '/'));
      });
      await new Promise<void>((resolve, reject) => {
        let isReady = false;
        opened.once('ready', () => {
          isReady = true;
          resolve();
        });
        opened.on('error', (cause) => {
          const error = cause instanceof Error ? cause : new Error(String(cause));
          if (isReady) onError(error);
          else reject(error);
        });
      });
      if (!deep) return;
      // chokidar lists each directory before it watches it. A directory that appears in between is not watched.
      const seen = new Set(Object.keys(opened.getWatched()));
      for await (const path of directoriesIn(top)) {
        if (!seen.has(path)) onPath(relative(top, path).replaceAll(sep, '/'));
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

/** All directories below one directory. */
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
