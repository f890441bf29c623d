/** Fills a file system until nothing, or nearly nothing, can be written to it any more. */
import { errorCode } from '../../shared/api/fault.ts';
import { closeSync, fsyncSync, ftruncateSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const KIB = 1024;
const BLOCKS = [256 * KIB, 4 * KIB, KIB];

export class Filler {
  readonly #folder: string;
  readonly #path: string;

  /** @param folder on the file system that is to be filled. */
  constructor(folder: string) {
    this.#folder = folder;
    this.#path = join(folder, 'filler');
  }

  /** Leaves so many KiB, rounded down to blocks. */
  fill(left: number): void {
    const fd = openSync(this.#path, 'w');
    try {
      let size = 0;
      for (const block of BLOCKS) size = writeOn(fd, size, Buffer.alloc(block, 7));
      ftruncateSync(fd, Math.max(0, size - left * KIB));
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }

  /** How many bytes can be written. */
  get free(): number {
    const { bavail, bsize } = statfsSync(this.#folder);
    return bavail * bsize;
  }

  release(): void {
    rmSync(this.#path, { force: true });
  }
}

function writeOn(fd: number, from: number, block: Buffer): number {
  for (let size = from; ;) {
    try {
      size += writeSync(fd, block, 0, block.length, size);
    } catch (error) {
      if (errorCode(error) !== 'ENOSPC') throw error;
      return size;
    }
  }
}
