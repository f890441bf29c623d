/** The names that lie in a root, and whether that can be believed. */
import { readdir, stat } from 'node:fs/promises';

import { isPluginName } from '../shared/format/name.ts';
import { isAbsence, troubleOf } from './probe/trouble.ts';

/** The times of a file system are as coarse as the kernel's tick: a change this young may hide another one. */
const RECENT_MILLIS = 20;

export type Listing = {
  /** Only names of plugins: what begins with a dot and `lost+found` are none. */
  names: readonly string[];
  /** Why the root could not be listed. */
  warning: string | undefined;
  /** Whether the root was not written to since shortly before it was listed. */
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
    const trouble = troubleOf(error);
    const warning = isAbsence(trouble)
      ? `There is no directory "${root}"`
      : `The root "${root}" cannot be listed: ${trouble.why}`;
    return { names: [], warning, isSettled: () => Promise.resolve(true) };
  }
}

const changedAt = async (root: string): Promise<number> => (await stat(root)).mtimeMs;
