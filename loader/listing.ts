/** Lists the names in a root, and checks whether the list is reliable. */
import { readdir, stat } from 'node:fs/promises';

import { isPluginName } from '../shared/format/name.ts';
import { mountedPlugins } from './disk/mounts.ts';
import { isMissing, systemErrorOf } from './disk/system-error.ts';

/** The times of a file system are as coarse as the kernel's tick: a change this recent may hide another one. */
const RECENT_MILLIS = 20;

export type Listing = {
  /** Only plugin names: neither names with a leading dot nor `lost+found`. */
  names: readonly string[];
  /** Why the root could not be listed. */
  warning: string | undefined;
  /** Whether the root has not changed since shortly before it was listed. */
  isSettled: () => Promise<boolean>;
};

/** @param now milliseconds since the epoch. */
export async function listRoot(root: string, now: number): Promise<Listing> {
  try {
    const before = await changedAt(root);
    const entries = await readdir(root);
    return {
      names: entries.filter(isPluginName),
      warning: undefined,
      isSettled: async () => {
        const after = await changedAt(root).catch(() => undefined);
        return after === before && now - before > RECENT_MILLIS;
      },
    };
  } catch (error) {
    const problem = systemErrorOf(error);
    const warning = isMissing(problem)
      ? `There is no directory "${root}"`
      : `The root "${root}" cannot be listed: ${problem.why}`;
    return { names: [], warning, isSettled: () => Promise.resolve(true) };
  }
}

/** What people should know about the way in which a root is mounted. */
export async function mountWarnings(root: string): Promise<string[]> {
  return (await mountedPlugins(root)).map(
    (name) =>
      `"${name}" is mounted by itself below "${root}", so no update of it arrives here: mount "${root}" as a whole instead`,
  );
}

const changedAt = async (root: string): Promise<number> => (await stat(root)).mtimeMs;
