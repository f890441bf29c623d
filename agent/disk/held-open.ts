/**
 * Finds out through /proc which processes have a tree open. It sees the processes of this pid namespace that this user
 * may look at.
 */
import { readdirSync, readlinkSync, realpathSync } from 'node:fs';

import { attempt } from '../../shared/attempt.ts';

/** Whether a process has an open file or its working directory at or below the path. False without /proc. */
export function isHeldOpen(path: string): boolean {
  if (process.platform !== 'linux') {
    return false;
  }
  // The kernel reports paths without links.
  const real = attempt(() => realpathSync(path)) ?? path;
  const isInside = (link: string): boolean => link === real || link.startsWith(`${real}/`);
  return (attempt(() => readdirSync('/proc')) ?? [])
    .filter((name) => /^\d+$/.test(name))
    .some((pid) => linksOf(`/proc/${pid}`).some(isInside));
}

/** The working directory and the open files of a process. The process may end meanwhile. */
function linksOf(process: string): string[] {
  const descriptors = attempt(() => readdirSync(`${process}/fd`)) ?? [];
  return [`${process}/cwd`, ...descriptors.map((fd) => `${process}/fd/${fd}`)].flatMap(
    (link) => attempt(() => readlinkSync(link)) ?? [],
  );
}
