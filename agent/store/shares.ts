/** Whether files that are copied within the root share their data, so that copies need no room. */
import { MARKER } from '../../shared/format/layout.ts';
import { attempt } from '../../shared/attempt.ts';
import type { StoreContext } from './context.ts';

let counter = 0;

/** What was found, once for each root of this thread: a file system does not change. */
const known = new WeakMap<StoreContext['layout'], boolean>();

/**
 * Whether a clone of a file of an installed version can be made in staging. Only trying tells: the names of file systems do
 * not, and neither do their versions. In doubt it says no. Never throws.
 *
 * @param directory a tree with a full marker.
 */
export function sharesData({ disk, layout }: StoreContext, directory: string): boolean {
  const before = known.get(layout);
  if (before !== undefined || disk.clone === undefined) return before ?? false;
  counter += 1;
  // The name of a temporary file, so that one that a crash has left is removed.
  const to = `${layout.staging}/.tmp--${process.pid}-clone-${counter}`;
  const { clone } = disk;
  return attempt(
    () => {
      const fd = disk.open(`${directory}/${MARKER}`);
      try {
        const shares = clone(fd, to);
        known.set(layout, shares);
        if (shares) disk.unlink(to);
        return shares;
      } finally {
        disk.close(fd);
      }
    },
    () => false,
  );
}
