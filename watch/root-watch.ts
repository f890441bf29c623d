/** The eyes on a root: which plugins come, go and are swapped. What begins with a dot is not seen. */
import { readdir } from 'node:fs/promises';

import type { Clock } from '../shared/clock.ts';
import { isPluginName } from '../shared/format/name.ts';
import { type FileEventsFor, identityOf } from './directory-watch.ts';
import type { FileEvents, Watched } from './ports.ts';

/**
 * It is looked this often whether another root lies there, or one at last: a link to it, a directory above it and a mount
 * change without anybody being told.
 */
const LOOK_MILLIS = 1000;

/** Nobody is called so: it makes the root be looked at. */
const NOBODY = '-';

export class RootWatch {
  readonly #root: string;
  readonly #fileEvents: FileEventsFor;
  readonly #clock: Clock;
  readonly #stir: (name: string | undefined) => void;
  #watched: Watched | undefined;
  #identity: string | undefined;
  #stale = false;
  #cancel = (): void => {};
  #closed = false;

  constructor(
    root: string,
    fileEvents: FileEventsFor,
    clock: Clock,
    stir: (name: string | undefined) => void,
  ) {
    this.#root = root;
    this.#fileEvents = fileEvents;
    this.#clock = clock;
    this.#stir = stir;
  }

  reopen(): void {
    this.#stale = true;
  }

  /** Sees to it that the root is watched; returns the names in it if that is new, else nothing. */
  async settle(): Promise<string[]> {
    // A link to a root is a root.
    const identity = await identityOf(`${this.#root}/.`);
    this.#await();
    if (identity === this.#identity && identity !== undefined && !this.#stale) return [];
    // What lay in the one before may be gone with it.
    if (this.#identity !== undefined && identity !== this.#identity) this.#stir(undefined);
    await this.#release();
    if (identity === undefined) return [];
    this.#identity = identity;
    this.#stale = false;
    try {
      await this.#open(this.#fileEvents.current());
    } catch (error) {
      const changed = this.#fileEvents.failed(error);
      await this.#release();
      this.#identity = identity;
      await this.#open(changed ? this.#fileEvents.current() : this.#fileEvents.polling);
    }
    const names = await readdir(this.#root).catch(() => []);
    return names.filter(isPluginName);
  }

  async #open(fileEvents: FileEvents): Promise<void> {
    const tell = (name: string | undefined): void => {
      if (name === undefined) {
        this.#stale = true;
        this.#stir(NOBODY);
      }
      if (name?.startsWith('.') !== true) this.#stir(name);
    };
    const fail = (error: unknown): void => {
      this.#fileEvents.failed(error);
      this.#stale = true;
      this.#stir(undefined);
    };
    this.#watched = fileEvents.open(this.#root, false, tell, fail);
    await this.#watched.ready;
  }

  #await(): void {
    this.#cancel();
    if (this.#closed) return;
    this.#cancel = this.#clock.after(LOOK_MILLIS, () => {
      void identityOf(`${this.#root}/.`).then((identity) => {
        if (identity === this.#identity) this.#await();
        else this.#stir(NOBODY);
      });
    });
  }

  async #release(): Promise<void> {
    const watched = this.#watched;
    this.#watched = undefined;
    this.#identity = undefined;
    await watched?.close();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel();
    await this.#release();
  }
}
