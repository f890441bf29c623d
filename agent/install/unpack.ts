/** From the bytes of a bundle to the plain bytes of a tar: hashed as they come, decompressed under a ratio. */
import { createHash } from 'node:crypto';
import { type Gunzip, createGunzip } from 'node:zlib';

import { Fault } from '../../shared/fault.ts';
import { diskFault } from '../disk/disk-fault.ts';
import { errorCode } from '../disk/port.ts';

const RATIO_FREE_BYTES = 1024 * 1024;
const CHUNK_BYTES = 128 * 1024;

/** Where the plain bytes go; what it throws ends the unpacking. */
type Sink = (plain: Buffer) => void;

/**
 * Hashes and decompresses. After the first thing that goes wrong it only hashes on, so that in the end the bundle's
 * sha256 can still be told: altered bytes are named as such, not by what they happen to look like.
 */
export class Unpacker {
  readonly #hash = createHash('sha256');
  readonly #sink: Sink;
  readonly #maxRatio: number;
  #gunzip: Gunzip | undefined;
  #kind: 'unknown' | 'gzip' | 'plain' = 'unknown';
  #head = Buffer.alloc(0);
  #plainBytes = 0;
  /** The first plain bytes, until there are enough to look at. */
  #plainHead: Buffer | undefined = Buffer.alloc(0);
  /** Bytes of the bundle so far. */
  received = 0;
  /** The first thing that went wrong. */
  failure: Fault | undefined;

  constructor(sink: Sink, maxRatio: number) {
    this.#sink = sink;
    this.#maxRatio = maxRatio;
  }

  /** Resolves when the bytes are taken in; never rejects: see {@link failure}. */
  async write(bytes: Buffer): Promise<void> {
    this.received += bytes.length;
    this.#hash.update(bytes);
    if (this.failure !== undefined) {
      return;
    }
    if (this.#kind !== 'unknown') {
      await this.#feed(bytes);
      return;
    }
    this.#head = Buffer.concat([this.#head, bytes]);
    if (this.#head.length >= 4) {
      await this.#begin();
    }
  }

  /** Ends the stream. @returns the hex sha256 of all that was received. */
  async end(): Promise<string> {
    if (this.#kind === 'unknown' && this.failure === undefined) {
      this.failure = corrupt('it has fewer than four bytes');
    }
    const gunzip = this.#gunzip;
    if (gunzip !== undefined && !gunzip.destroyed && this.failure === undefined) {
      await new Promise<void>((resolve) => {
        gunzip.once('end', resolve);
        gunzip.once('close', resolve);
        gunzip.end();
      });
    }
    this.stop();
    return this.#hash.digest('hex');
  }

  /** Frees what the decompressor holds. */
  stop(): void {
    this.#gunzip?.destroy();
  }

  async #begin(): Promise<void> {
    const head = this.#head;
    this.#head = Buffer.alloc(0);
    if (isGzip(head)) {
      this.#kind = 'gzip';
      this.#gunzip = createGunzip({ chunkSize: CHUNK_BYTES });
      this.#gunzip.on('data', (plain: Buffer) => this.#pass(plain));
      this.#gunzip.on('error', (error) => this.#fail(corrupt(`gzip says "${error.message}"`, error)));
    } else if (head.readUInt32BE(0) === 0x28_b5_2f_fd) {
      this.failure = corrupt('it is compressed with zstd, which this agent does not read: pack it with gzip');
    } else if (head.readUInt32BE(0) === 0x50_4b_03_04) {
      this.failure = corrupt('it is a zip, not a tar: pack it with "airlock pack"');
    } else {
      this.#kind = 'plain';
    }
    await this.#feed(head);
  }

  async #feed(bytes: Buffer): Promise<void> {
    const gunzip = this.#gunzip;
    if (gunzip === undefined) {
      this.#pass(bytes);
      return;
    }
    // Destroyed by an error, a gunzip calls nobody back: its close is as good an answer.
    await new Promise<void>((resolve) => {
      gunzip.once('close', resolve);
      gunzip.write(bytes, () => {
        gunzip.off('close', resolve);
        resolve();
      });
    });
  }

  #pass(plain: Buffer): void {
    if (this.failure !== undefined) {
      return;
    }
    this.#plainBytes += plain.length;
    if (this.#plainBytes > RATIO_FREE_BYTES && this.#plainBytes > this.received * this.#maxRatio) {
      this.#fail(
        new Fault('LIMIT_RATIO', `The archive expands to more than ${this.#maxRatio} times its size`, {
          hint: 'Pack real content; the owner can raise AIRLOCK_MAX_RATIO',
        }),
      );
      return;
    }
    const whole = this.#plainHead === undefined ? plain : Buffer.concat([this.#plainHead, plain]);
    if (this.#plainHead !== undefined && whole.length < 2) {
      this.#plainHead = whole;
      return;
    }
    if (this.#plainHead !== undefined && isGzip(whole)) {
      // The tar parser would decompress it by itself, out of sight of every limit.
      this.#fail(corrupt('it is compressed twice'));
      return;
    }
    this.#plainHead = undefined;
    try {
      this.#sink(whole);
    } catch (error) {
      this.#fail(sinkFault(error));
    }
  }

  #fail(fault: Fault): void {
    this.failure ??= fault;
    this.stop();
  }
}

/** What the disk says of the file that was being written is no fault of the archive. */
function sinkFault(error: unknown): Fault {
  return error instanceof Fault || /^E(?!RR_)/.test(errorCode(error) ?? '')
    ? diskFault(error, 'Writing a file of the archive')
    : corrupt(`it cannot be read (${String(error)})`, error);
}

const isGzip = (head: Buffer): boolean => head[0] === 0x1f && head[1] === 0x8b;

/** ARCHIVE_CORRUPT with one sentence of why. */
export function corrupt(why: string, cause?: unknown): Fault {
  return new Fault('ARCHIVE_CORRUPT', `The archive cannot be read: ${why}`, {
    cause,
    hint: 'Pack it again and see that "tar -tzf" reads it to the end',
  });
}
