/** The watch on a root: which plugins appear, disappear and are swapped. Names with a leading dot are ignored. */
import { readdir } from 'node:fs/promises';

import type { Clock } from '../shared/clock.ts';
import { isPluginName } from '../shared/format/name.ts';
import { type FileEventsFor, identityOf } from './directory-watch.ts';
import type { FileEvents, Watched } from './ports.ts';
import { isGone } from './read-path.ts';

/**
 * How often the root is checked: whether another directory is at its path. No event reports a change of a link to it, of
 * a directory above it, or of a mount.
 */
const CHECK_MILLIS = 1000;

/** No plugin has this name. A change of it makes the root be checked. */
const NOBODY = '-';

export class RootWatch {
  readonly #root: string;
  readonly #fileEvents: FileEventsFor;
  readonly #clock: Clock;
  readonly #onChange: (name: string | undefined) => void;
  #watched: Watched | undefined;
  #identity: string | undefined;
  #stale = false;
  #cancel = (): void => {};
  #closed = false;

  constructor(
    root: string,
    fileEvents: FileEventsFor,
    clock: Clock,
    onChange: (name: string | undefined) => void,
  ) {
    this.#root = root;
    this.#fileEvents = fileEvents;
    this.#clock = clock;
    this.#onChange = onChange;
  }

  reopen(): void {
    this.#stale = true;
  }

  /** Makes sure that the root is watched. @returns the names in it if it is new, otherwise nothing. */
  async settle(): Promise<string[]> {
    // A link to a root is a root.
    const identity = await identityOf(`${this.#root}/.`);
    this.#await();
    if (identity === this.#identity && identity !== undefined && !this.#stale) return [];
    // The plugins in the previous root may be gone.
    if (this.#identity !== undefined && identity !== this.#identity) this.#onChange(undefined);
    await this.#release();
    if (identity === undefined) return [];
    this.#identity = identity;
    this.#stale = false;
    try {
      await this.#open(this.#fileEvents.current());
    } catch (error) {
      if (isGone(error)) {
        // It is watched once it is there again.
        await this.#release();
        this.#onChange(undefined);
        return [];
      }
      const changed = this.#fileEvents.failed(error);
      await this.#release();
      this.#identity = identity;
      await this.#open(changed ? this.#fileEvents.current() : this.#fileEvents.polling);
    }
    const names = await readdir(this.#root).catch(() => []);
    return names.filter(isPluginName);
  }

  async #open(fileEvents: FileEvents): Promise<void> {
    const onPath = (name: string | undefined): void => {
      if (name === undefined) {
        this.#stale = true;
        this.#onChange(NOBODY);
      }
      if (name?.startsWith('.') !== true) this.#onChange(name);
    };
    const onError = (error: unknown): void => {
      this.#fileEvents.failed(error);
      this.#stale = true;
      this.#onChange(undefined);
    };
    this.#watched = fileEvents.open(this.#root, false, onPath, onError);
    await this.#watched.ready;
  }

  #await(): void {
    this.#cancel();
    if (this.#closed) return;
    this.#cancel = this.#clock.after(CHECK_MILLIS, () => {
      void identityOf(`${this.#root}/.`).then((identity) => {
        if (identity === this.#identity) this.#await();
        else this.#onChange(NOBODY);
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
