/** File events by polling: for file systems that report no changes, and when the system has no watches left. */
import type { BigIntStats } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import type { Clock } from '../shared/clock.ts';
import type { FileEvents } from './ports.ts';

export const POLL_MILLIS = 1000;
/**
 * The pause between two polls is at least this many times as long as a poll takes, so polling takes a small part of the
 * machine.
 */
const REST = 20;
/** Times are as coarse as the kernel's tick: a file younger than this may change again without a new time. */
const RECENT_MILLIS = 100;

type Stamps = Map<string, string>;

/** @param time a clock in milliseconds, which measures how long a poll takes. */
export function pollingFileEvents(clock: Clock, time = (): number => performance.now()): FileEvents {
  return {
    open(directory, below, onPath) {
      const deep = below !== false;
      let closed = false;
      let cancel = (): void => {};
      let stamps: Stamps = new Map();
      let seen = Date.now();
      const look = async (): Promise<void> => {
        const before = stamps;
        const now = Date.now();
        stamps = await stampsOf(directory, deep);
        if (closed) return;
        seen = now;
        for (const [path, stamp] of stamps) {
          if (stamp === RECENT || before.get(path) !== stamp) onPath(path);
        }
        for (const path of before.keys()) {
          if (!stamps.has(path)) onPath(path);
        }
      };
      const again = (millis = POLL_MILLIS): void => {
        cancel = clock.after(millis, () => {
          const began = time();
          const goOn = (): void =>
            closed ? undefined : again(Math.max(POLL_MILLIS, (time() - began) * REST));
          void look().then(goOn);
        });
      };
      const ready = (async () => {
        stamps = await stampsOf(directory, deep);
        if (!closed) again();
      })();
      return {
        ready,
        seen: () => seen,
        close: () => {
          closed = true;
          cancel();
          return Promise.resolve();
        },
      };
    },
  };
}

const RECENT = 'recent';

/** A file that is renamed during a poll may be found under neither name. Then the poll is repeated, at most so often. */
const ATTEMPTS = 3;

async function stampsOf(top: string, deep: boolean): Promise<Stamps> {
  for (let i = 1; ; i += 1) {
    const { stamps, vanished } = await statOnce(top, deep);
    if (!vanished || i === ATTEMPTS) return stamps;
  }
}

/**
 * The stamp of each entry that can be read. The stamp of a directory only identifies it, because its entries have stamps
 * of their own.
 */
async function statOnce(top: string, deep: boolean): Promise<{ stamps: Stamps; vanished: boolean }> {
  const stamps: Stamps = new Map();
  let vanished = false;
  const young = BigInt(Date.now() - RECENT_MILLIS);
  const work = [''];
  for (let directory = work.pop(); directory !== undefined; directory = work.pop()) {
    const names = await readdir(join(top, directory)).catch(() => []);
    const here = directory;
    await Promise.all(
      names.map(async (name) => {
        const path = here === '' ? name : `${here}/${name}`;
        const stats = await lstat(join(top, path), { bigint: true }).catch((error: unknown) => {
          if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) return;
          // A name that is not UTF-8 cannot be found under the name in the listing.
          if (name.includes('\u{FFFD}')) stamps.set(path, 'listed');
          else vanished = true;
        });
        if (stats === undefined) return;
        if (stats.isDirectory() && deep) work.push(path);
        stamps.set(path, stampOf(stats, young, deep));
      }),
    );
  }
  return { stamps, vanished };
}

function stampOf(stats: BigIntStats, young: bigint, deep: boolean): string {
  const { dev, ino, ctimeNs, size, mode } = stats;
  if (stats.isDirectory() && deep) return `${dev}-${ino}`;
  return !stats.isDirectory() && ctimeNs / 1_000_000n >= young
    ? RECENT
    : `${dev}-${ino}-${ctimeNs}-${size}-${mode}`;
}
