/** Eyes that look again and again: for file systems that tell nothing, and where the system's watches are used up. */
import type { BigIntStats } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import type { Clock } from '../shared/clock.ts';
import type { FileEvents } from './ports.ts';

export const POLL_MILLIS = 1000;
/** Where a look takes long, the time between two is so many times as long: looking stays a small part of what the machine does. */
const REST = 20;
/** Times are as coarse as the kernel's tick: what is younger than this may change again unseen. */
const RECENT_MILLIS = 100;

type Stamps = Map<string, string>;

/** @param time in milliseconds, by which it is measured how long a look takes. */
export function pollingFileEvents(clock: Clock, time = (): number => performance.now()): FileEvents {
  return {
    open(directory, deep, tell) {
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
          if (stamp === RECENT || before.get(path) !== stamp) tell(path);
        }
        for (const path of before.keys()) {
          if (!stamps.has(path)) tell(path);
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

/** What is renamed while it is looked at is seen under neither name: then it is looked at again, so often. */
const LOOKS = 3;

async function stampsOf(top: string, deep: boolean): Promise<Stamps> {
  for (let i = 1; ; i += 1) {
    const { stamps, vanished } = await lookOnce(top, deep);
    if (!vanished || i === LOOKS) return stamps;
  }
}

/** Of every entry; what cannot be looked at has none. Of a directory only which one it is: its entries speak for it. */
async function lookOnce(top: string, deep: boolean): Promise<{ stamps: Stamps; vanished: boolean }> {
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
          // What is not UTF-8 is not found under the name that it is listed with.
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
