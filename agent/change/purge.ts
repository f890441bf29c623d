/** Removes what a plugin has written for itself: `<root>/../plugin-data/<name>`. Follows no link, and leaves no other place. */
import { basename, dirname, join } from 'node:path';

import { errorCode, Fault } from '../../shared/api/fault.ts';
import { diskFault } from '../disk/disk-fault.ts';
import { removeTree } from '../disk/record.ts';
import { walkTree } from '../disk/walk.ts';
import { attempt, type StoreContext } from '../store/context.ts';

/**
 * Removes the data of a plugin. When it returns, that is durable. Data that is not there is removed already. It is renamed
 * first, so that the plugin never finds a part of it, and what a crash has left is removed with the next purge.
 *
 * @throws Fault CONFLICT for a place that a purge must not remove; the faults of the disk. The data is then as it was, or
 *   its rest waits under a hidden name.
 */
export function purgeData(context: StoreContext, plugin: string): void {
  const { disk, layout } = context;
  const data = layout.data(plugin);
  const above = dirname(data);
  const fd = openAbove(context, above);
  if (fd === undefined) {
    return;
  }
  // Held open, so that nobody can put a link in its place meanwhile.
  const inside = disk.within(fd) ?? above;
  try {
    if (disk.statOpen(fd).kind !== 'directory') {
      throw refused(`"${above}" is not a directory`, 'Look what is there, and remove it by hand');
    }
    const place = join(inside, basename(data));
    // No plugin has a name that begins with a dot.
    const aside = join(inside, `.${basename(data)}.purged`);
    refuseMounts(context, place, data);
    refuseMounts(context, aside, data);
    removeTree(disk, aside);
    if (disk.stat(place) !== undefined) {
      disk.rename(place, aside);
      disk.sync(fd);
      removeTree(disk, aside);
    }
    disk.sync(fd);
  } catch (error) {
    // Names a path that an operator can look at.
    if (error instanceof Error) {
      error.message = error.message
        .replaceAll(inside, above)
        .replaceAll(/\/proc\/self\/fd\/\d+/g, `${data}/…`);
    }
    throw diskFault(error, `Removing "${data}"`);
  } finally {
    attempt(context, 'Closing the directory of the data', () => disk.close(fd));
  }
}

/** Undefined if there is no data of any plugin. */
function openAbove({ disk }: StoreContext, above: string): number | undefined {
  try {
    return disk.open(above);
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT') {
      return undefined;
    }
    if (code === 'ELOOP' || code === 'EMLINK') {
      throw refused(
        `"${above}" is a symbolic link, which a purge does not follow`,
        'Remove the data where the link leads',
      );
    }
    throw diskFault(error, `Opening "${above}"`);
  }
}

/** What is mounted in the data belongs to somebody else. */
function refuseMounts({ disk }: StoreContext, place: string, data: string): void {
  const top = disk.stat(place);
  if (top?.kind !== 'directory') {
    return;
  }
  walkTree(disk, place, {
    enter: (path) => {
      const dev = disk.stat(join(place, path))?.dev;
      if (dev !== undefined && dev !== top.dev) {
        throw refused(
          `"${join(data, path)}" is on another file system than "${data}"`,
          'Unmount it, or remove the data by hand',
        );
      }
    },
    entry: () => undefined,
  });
}

const refused = (detail: string, hint: string): Fault => new Fault('CONFLICT', detail, { hint });
