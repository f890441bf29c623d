/** A bundle whose size or digest is not known yet, in a file without a name: it is gone with the process. */
import { type Hash, createHash } from 'node:crypto';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';

import { errorCode } from '../../shared/api/fault.ts';
import { diskFault } from '../disk/disk-fault.ts';

let counter = 0;

export class Spool {
  readonly #handle: FileHandle;
  #hash: Hash = createHash('sha256');
  #at = 0;

  /**
   * Makes the file in staging and removes its name at once. If the process ends in between, recovery removes it, because
   * the name is that of a temporary record of the plugin.
   *
   * @throws Fault NO_SPACE, READ_ONLY, INTERNAL
   */
  static async open(staging: string, plugin: string): Promise<Spool> {
    counter += 1;
    const path = join(staging, `.tmp-${plugin}-${process.pid}-spool-${counter}`);
    try {
      const handle = await open(path, 'wx+', 0o600);
      await unlink(path).catch((error: unknown) => {
        // Recovery was faster.
        if (errorCode(error) !== 'ENOENT') throw error;
      });
      return new Spool(handle);
    } catch (error) {
      throw diskFault(error, 'Making a file for the bundle');
    }
  }

  private constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /** How many bytes it holds. */
  get at(): number {
    return this.#at;
  }

  /** The sha256 of all bytes, in hex. */
  get sha256(): string {
    return this.#hash.copy().digest('hex');
  }

  /** Appends bytes. @throws Fault NO_SPACE … */
  async write(bytes: Buffer): Promise<boolean> {
    try {
      for (let from = 0; from < bytes.length;) {
        const { bytesWritten } = await this.#handle.write(bytes, from, bytes.length - from, this.#at + from);
        from += bytesWritten;
      }
    } catch (error) {
      throw diskFault(error, 'Writing the bundle');
    }
    this.#hash.update(bytes);
    this.#at += bytes.length;
    return true;
  }

  /** Forgets all bytes. */
  async restart(): Promise<void> {
    await this.#handle.truncate(0);
    this.#hash = createHash('sha256');
    this.#at = 0;
  }

  read(): AsyncIterable<Buffer> {
    return this.#handle.createReadStream({ start: 0, autoClose: false });
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}
