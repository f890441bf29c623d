/**
 * Remembers admitted plugins, and state files that disable none, while their files do not change: a few stats replace reading and parsing. Every change of a
 * file or of a directory's entries changes its ctime, which nobody can set.
 */
import type { BigIntStats } from 'node:fs';
import { lstat } from 'node:fs/promises';

import type { Plugin } from './plugin.ts';

/** A time stamp is as coarse as the kernel's tick (at most 10 ms): a more recent one may hide a second change. */
const SETTLED_MILLIS = 100;

/** The files that a plugin was read from: path → its stats, taken before it was read. */
export type Sources = ReadonlyMap<string, BigIntStats>;

export type Memory = {
  /** The plugin in that directory, if none of its files has changed. */
  recall(path: string): Promise<Plugin | undefined>;
  /** @param begun when the reading began, in milliseconds since the epoch. */
  remember(plugin: Plugin, sources: Sources, begun: number): void;
  /** Whether the state file at the path disabled no plugin and has not changed since. */
  isEnabled(path: string): Promise<boolean>;
  /** @param stats of the state file that was read. @param begun as of {@link Memory.remember}. */
  rememberEnabled(path: string, stats: BigIntStats, begun: number): void;
};

export function createMemory(): Memory {
  const remembered = new Map<string, { plugin: Plugin; sources: Sources }>();
  const enabled = new Map<string, BigIntStats>();
  return {
    recall: async (path) => {
      const memory = remembered.get(path);
      if (memory === undefined) {
        return undefined;
      }
      const checks = [...memory.sources].map(([source, stats]) => isUntouched(source, stats));
      if ((await Promise.all(checks)).every(Boolean)) {
        return memory.plugin;
      }
      remembered.delete(path);
      return undefined;
    },
    remember: (plugin, sources, begun) => {
      if ([...sources.values()].every((stats) => isSettled(stats, begun))) {
        remembered.set(plugin.path, { plugin, sources });
      }
    },
    isEnabled: async (path) => {
      const stats = enabled.get(path);
      if (stats === undefined) {
        return false;
      }
      const isSame = await isUntouched(path, stats);
      if (!isSame) enabled.delete(path);
      return isSame;
    },
    rememberEnabled: (path, stats, begun) => {
      if (isSettled(stats, begun)) enabled.set(path, stats);
    },
  };
}

async function isUntouched(path: string, before: BigIntStats): Promise<boolean> {
  try {
    const now = await lstat(path, { bigint: true });
    return (
      now.ctimeNs === before.ctimeNs &&
      now.ino === before.ino &&
      now.dev === before.dev &&
      now.size === before.size
    );
  } catch {
    return false;
  }
}

/** Whether the time is old enough, and the file system counts in less than seconds. */
function isSettled({ ctimeNs }: BigIntStats, begun: number): boolean {
  return ctimeNs % 1_000_000_000n !== 0n && Number(ctimeNs / 1_000_000n) < begun - SETTLED_MILLIS;
}
