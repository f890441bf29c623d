/** Who has a tree open: asked of /proc, so of the processes of this pid namespace that this user may look at. */
import { readdirSync, readlinkSync, realpathSync } from 'node:fs';

import { attempt } from '../../shared/attempt.ts';

/** Whether a process has something at or below the path open, or stands in it. False where there is no /proc. */
export function isHeldOpen(path: string): boolean {
  if (process.platform !== 'linux') {
    return false;
  }
  // The kernel tells where things lie behind all links.
  const real = attempt(() => realpathSync(path)) ?? path;
  const isInside = (link: string): boolean => link === real || link.startsWith(`${real}/`);
  return (attempt(() => readdirSync('/proc')) ?? [])
    .filter((name) => /^\d+$/.test(name))
    .some((pid) => linksOf(`/proc/${pid}`).some(isInside));
}

/** Where a process stands, and what it has open. It may end while it is looked at. */
function linksOf(process: string): string[] {
  const descriptors = attempt(() => readdirSync(`${process}/fd`)) ?? [];
  return [`${process}/cwd`, ...descriptors.map((fd) => `${process}/fd/${fd}`)].flatMap(
    (link) => attempt(() => readlinkSync(link)) ?? [],
  );
}
