/** Files that change while the agent runs: written over, replaced by a rename, or behind a link that moves. */
import type { BigIntStats } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';

import { Fault } from '../../shared/api/fault.ts';

/** Clocks of file systems tick coarsely: what changed so lately (milliseconds) may change again without a trace. */
const FRESH_MILLIS = 2000;

export class ReloadedFiles {
  readonly #files: readonly string[];
  /** What the files are, in messages. */
  readonly #what: string;
  #seen = '';
  #settled = false;

  constructor(what: string, files: readonly string[]) {
    this.#what = what;
    this.#files = files;
  }

  /**
   * Reads the files, all of them, if they may have changed since the last time. One read at a time: of two the later one
   * might end first.
   *
   * @returns undefined if they have not.
   * @throws Fault INVALID_PARAMS if one is not there, may not be read, or is no regular file.
   */
  async read(): Promise<Buffer[] | undefined> {
    const started = Date.now();
    const stats = await this.#each(regular);
    const seen = stats
      .map(({ dev, ino, size, mtimeNs, ctimeNs }) => [dev, ino, size, mtimeNs, ctimeNs].join(' '))
      .join('\n');
    if (seen === this.#seen && this.#settled) {
      return undefined;
    }
    const contents = await this.#each((file) => readFile(file));
    this.#seen = seen;
    this.#settled = stats.every(({ ctimeMs }) => started - Number(ctimeMs) > FRESH_MILLIS);
    return contents;
  }

  #each<T>(read: (file: string) => Promise<T>): Promise<T[]> {
    return Promise.all(
      this.#files.map(async (file) => {
        try {
          return await read(file);
        } catch (error) {
          const why = error instanceof Error ? error.message : String(error);
          throw new Fault('INVALID_PARAMS', `The ${this.#what} "${file}" cannot be read: ${why}`, {
            cause: error,
            hint: 'Name a regular file that the agent may read',
          });
        }
      }),
    );
  }
}

async function regular(file: string): Promise<BigIntStats> {
  const stats = await stat(file, { bigint: true });
  if (!stats.isFile()) {
    throw new Error('it is no regular file');
  }
  return stats;
}
