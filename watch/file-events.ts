/** File events of the system: one watch for each directory, none for files. */
import { type FSWatcher, watch } from 'node:fs';
import { readdir, realpath } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';

import type { FileEvents } from './ports.ts';
import { isGone } from './read-path.ts';

/** Directories that are listed at the same time. */
const AT_ONCE = 16;
/** Watches that are added before other work has its turn: half a millisecond. */
const ADDED_AT_ONCE = 32;

/**
 * A plugin of 10,000 files in 50 directories costs 50 watches and 50 lists, and no call for a file.
 *
 * Each directory is watched before it is listed. So a directory that appears meanwhile is either in the list or reported.
 */
export const systemFileEvents: FileEvents = {
  // inotify watches the directory. The events of macOS belong to a path, and Windows moves no directory that is watched.
  movesAlong: process.platform === 'linux',
  open(directory, deep, onPath, onError) {
    const watchers = new Set<FSWatcher>();
    let closed = false;
    let isReady = false;
    let failed: Error | undefined;
    const close = (): void => {
      closed = true;
      for (const watcher of watchers) watcher.close();
      watchers.clear();
    };
    const fail = (error: Error): void => {
      if (closed || failed !== undefined) return;
      failed = error;
      if (isReady) onError(error);
    };
    const add = (top: string, path: string): FSWatcher => {
      const own = path === '' ? basename(top) : undefined;
      const watcher = watch(join(top, path), { persistent: false }, (_event, name) => {
        if (closed) return;
        // The system reports changes of the directory itself, such as its removal, under the directory's own name.
        onPath(name === null || name === own ? undefined : below(path, name));
      });
      watchers.add(watcher);
      watcher.on('error', fail);
      return watcher;
    };
    /** @returns the directories in a directory that is watched now. */
    const enter = async (top: string, path: string): Promise<string[]> => {
      try {
        const watcher = add(top, path);
        if (!deep) return [];
        const entries = await readdir(join(top, path), { withFileTypes: true });
        // A link that has taken the place of a directory meanwhile was followed.
        if ((await realpath(join(top, path))) !== join(top, path)) {
          watchers.delete(watcher);
          watcher.close();
          return [];
        }
        return entries.filter((entry) => entry.isDirectory()).map(({ name }) => below(path, name));
      } catch (error) {
        // Its removal is an event of the directory above it.
        if (path !== '' && isGone(error)) return [];
        throw error;
      }
    };
    const begin = async (): Promise<void> => {
      // A link is followed only here. Below it no link is followed.
      const top = await realpath(directory);
      await (typeof deep === 'boolean' ? enterAll(top) : addAll(top, ['', ...deep]));
      if (failed !== undefined) throw failed;
      isReady = true;
      // It was closed while a directory was entered.
      if (closed) close();
    };
    const addAll = async (top: string, paths: readonly string[]): Promise<void> => {
      for (const [i, path] of paths.entries()) {
        if (i % ADDED_AT_ONCE === 0) await setImmediate();
        if (closed || failed !== undefined) break;
        add(top, path);
      }
    };
    const enterAll = async (top: string): Promise<void> => {
      const work = [''];
      while (work.length > 0) {
        if (closed || failed !== undefined) break;
        const found = await Promise.all(work.splice(-AT_ONCE).map((path) => enter(top, path)));
        work.push(...found.flat());
      }
    };
    return {
      ready: begin().catch((error: unknown) => {
        close();
        throw error;
      }),
      close: () => {
        close();
        return Promise.resolve();
      },
    };
  },
};

const below = (directory: string, name: string): string => (directory === '' ? name : `${directory}/${name}`);
