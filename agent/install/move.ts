/** Renames and exchanges with their barrier: both parent directories are durable before the next step begins. */
import { dirname } from 'node:path';

import { syncDirectory } from '../disk/record.ts';
import type { Ground } from './ground.ts';

/** A move that has been made, how to take it back, and how to make that durable. */
export type Move = { what: string; undo: () => void; durable: () => void };

/** Renames, and returns when that is durable. */
export function renameDurably(ground: Ground, from: string, to: string): void {
  ground.disk.rename(from, to);
  settle(ground, from, to);
}

/** Lets two trees change places in one step, and returns when that is durable. Only where the disk can. */
export function exchangeDurably(ground: Ground, a: string, b: string): void {
  if (ground.disk.exchange === undefined) {
    throw new Error('This disk has no exchange');
  }
  ground.disk.exchange(a, b);
  settle(ground, a, b);
}

/** Makes the names of two entries durable. */
export function settle({ disk }: Ground, ...paths: string[]): void {
  for (const directory of new Set(paths.map((path) => dirname(path)))) {
    syncDirectory(disk, directory);
  }
}
