/** Files that change while the agent runs: written over, replaced by a rename, or behind a link that moves. */
import { readFileSync, statSync } from 'node:fs';

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
   * Reads the files, all of them, if they may have changed since the last time.
   *
   * @returns undefined if they have not.
   * @throws Fault INVALID_PARAMS if one is not there, may not be read, or is no regular file.
   */
  read(): Buffer[] | undefined {
    const started = Date.now();
    const stats = this.#files.map((file) => this.#try(file, () => regular(file)));
    const seen = stats
      .map(({ dev, ino, size, mtimeNs, ctimeNs }) => [dev, ino, size, mtimeNs, ctimeNs].join(' '))
      .join('\n');
    if (seen === this.#seen && this.#settled) {
      return undefined;
    }
    const contents = this.#files.map((file) => this.#try(file, () => readFileSync(file)));
    this.#seen = seen;
    this.#settled = stats.every(({ ctimeMs }) => started - Number(ctimeMs) > FRESH_MILLIS);
    return contents;
  }

  #try<T>(file: string, read: () => T): T {
    try {
      return read();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Fault('INVALID_PARAMS', `The ${this.#what} "${file}" cannot be read: ${why}`, {
        cause: error,
        hint: 'Name a regular file that the agent may read',
      });
    }
  }
}

function regular(file: string): ReturnType<typeof statOf> {
  const stats = statOf(file);
  if (!stats.isFile()) {
    throw new Error('it is no regular file');
  }
  return stats;
}

const statOf = (file: string) => statSync(file, { bigint: true });
