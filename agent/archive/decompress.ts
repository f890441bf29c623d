/**
 * Turns the bytes of a bundle into the plain bytes of a tar: hashes them as they arrive, and decompresses them up to a
 * ratio.
 */
import { createHash } from 'node:crypto';
import type { Transform } from 'node:stream';
import * as zlib from 'node:zlib';

import { Fault, errorCode } from '../../shared/api/fault.ts';
import { bundleKind } from '../../shared/format/bundle-kind.ts';
import { diskFault } from '../disk/disk-fault.ts';

const RATIO_FREE_BYTES = 1024 * 1024;
/** Most messages of an upload expand to less than this. Each chunk costs a way to another thread and back. */
const CHUNK_BYTES = 1024 * 1024;
/** Windows of zstd beyond 8 MiB are refused: each upload would cost that much memory. */
const ZSTD_WINDOW_LOG = 23;

/** ZSTD_d_windowLogMax; this Node may not have its name. */
const ZSTD_D_WINDOW_LOG_MAX = 100;
/** A stream of node:zlib; `bytesWritten` is the number of bytes of the bundle that it has used. */
type Decompressor = Transform & { readonly bytesWritten: number };
type Kind = 'gzip' | 'zstd';

/** The part of newer versions of Node that the types lack. */
type Zstd = (options: { chunkSize: number; params: Record<number, number> }) => Decompressor;
const zstdOf = (): Zstd | undefined =>
  'createZstdDecompress' in zlib ? (zlib.createZstdDecompress as Zstd) : undefined;

/** The compressions that this Node can read. */
export const readable = (): Kind[] => (zstdOf() === undefined ? ['gzip'] : ['gzip', 'zstd']);

/** Receives the plain bytes. An error that it throws ends the unpacking. */
type Sink = (plain: Buffer) => void;

/**
 * Hashes and decompresses. After the first failure it only hashes, so that the sha256 of the bundle is known at the end:
 * altered bytes are then reported as altered, not by what they look like.
 */
export class Unpacker {
  readonly #hash = createHash('sha256');
  readonly #sink: Sink;
  readonly #maxRatio: number;
  readonly #complete: () => boolean;
  #decompressor: Decompressor | undefined;
  #kind: Kind | 'unknown' | 'plain' = 'unknown';
  #head = Buffer.alloc(0);
  #plainBytes = 0;
  /** The first plain bytes, until there are enough to check. */
  #plainHead: Buffer | undefined = Buffer.alloc(0);
  /** Output of the decompressor that was not handled yet. */
  #chunks: Buffer[] = [];
  /** Where the zeros at the end of the bundle begin, in bytes. */
  #zerosFrom = 0;
  /** Bytes of the bundle so far. */
  received = 0;
  /** The first failure. */
  failure: Fault | undefined;

  /** @param complete whether the sink has all that it needs: then a stream that is cut lacks only its trailer. */
  constructor(sink: Sink, maxRatio: number, complete: () => boolean = () => false) {
    this.#sink = sink;
    this.#complete = complete;
    this.#maxRatio = maxRatio;
  }

  /**
   * Resolves when the bytes are taken in; never rejects, see {@link failure}. The last of the output goes to the sink a
   * moment later, while the next bytes are decompressed.
   */
  async write(bytes: Buffer): Promise<void> {
    const last = bytes.findLastIndex((byte) => byte !== 0);
    if (last !== -1) {
      this.#zerosFrom = this.received + last + 1;
    }
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

  /** Ends the stream. @returns the hex sha256 of all received bytes. */
  async end(): Promise<string> {
    if (this.#kind === 'unknown' && this.failure === undefined) {
      this.failure = corrupt(85, 'it has fewer than four bytes');
    }
    const decompressor = this.#decompressor;
    if (decompressor !== undefined && this.failure === undefined) {
      await ended(decompressor);
      this.#passOn();
      // The decompressor silently leaves what follows a zero after its end unread. Zeros alone are padding.
      if (this.#zerosFrom > decompressor.bytesWritten) {
        this.failure ??= corrupt(90, `bytes follow after the end of its ${this.#kind}`);
      }
    }
    this.stop();
    return this.#hash.digest('hex');
  }

  /** Frees the decompressor. */
  stop(): void {
    this.#chunks = [];
    this.#decompressor?.destroy();
  }

  async #begin(): Promise<void> {
    const head = this.#head;
    this.#head = Buffer.alloc(0);
    const found = bundleKind(head);
    const zstd = zstdOf();
    if (found === 'gzip') {
      this.#decompress('gzip', zlib.createGunzip({ chunkSize: CHUNK_BYTES }));
    } else if (found === 'zstd' && zstd !== undefined) {
      const params = { [ZSTD_D_WINDOW_LOG_MAX]: ZSTD_WINDOW_LOG };
      this.#decompress('zstd', zstd({ chunkSize: CHUNK_BYTES, params }));
    } else if (found === 'zip') {
      this.failure = corrupt(85, 'it is a zip, not a tar: pack it with "airlock pack"');
    } else if (found === undefined || found === 'text') {
      // The name of the first entry of a tar is text as well: its reader tells.
      this.#kind = 'plain';
    } else {
      this.failure = corrupt(92, unreadable(found));
    }
    await this.#feed(head);
  }

  #decompress(kind: Kind, decompressor: Decompressor): void {
    this.#kind = kind;
    this.#decompressor = decompressor;
    decompressor.on('data', (plain: Buffer) => {
      // Deferred, so that the decompressor can go on in its own thread when this function returns.
      if (this.#chunks.push(plain) === 1) {
        setImmediate(() => this.#passOn());
      }
    });
    decompressor.on('error', (error) => {
      this.#passOn();
      const rule = ruleOf(error, this.#complete());
      this.#fail(corrupt(rule, `${kind} says "${error.message}"`, error));
    });
  }

  async #feed(bytes: Buffer): Promise<void> {
    const decompressor = this.#decompressor;
    if (decompressor === undefined) {
      this.#pass(bytes);
      return;
    }
    // A decompressor that an error destroyed calls no callback, so its close counts as an answer.
    await new Promise<void>((resolve) => {
      decompressor.once('close', resolve);
      decompressor.write(bytes, () => {
        decompressor.off('close', resolve);
        resolve();
      });
    });
  }

  #passOn(): void {
    const chunks = this.#chunks;
    this.#chunks = [];
    for (const chunk of chunks) {
      this.#pass(chunk);
    }
  }

  #pass(plain: Buffer): void {
    if (this.failure !== undefined) {
      return;
    }
    this.#plainBytes += plain.length;
    if (this.#plainBytes > RATIO_FREE_BYTES && this.#plainBytes > this.received * this.#maxRatio) {
      const what = `The archive expands to more than ${this.#maxRatio} times its size`;
      this.#fail(
        new Fault('LIMIT_RATIO', what, {
          hint: 'Pack real content; the owner can raise AIRLOCK_MAX_RATIO',
          violations: [{ path: '', rule: 93, code: 'LIMIT_RATIO', what }],
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
      this.#fail(corrupt(91, 'it is compressed twice'));
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

/** An error of the disk while a file is written is not a fault of the archive. */
function sinkFault(error: unknown): Fault {
  return error instanceof Fault || /^E(?!RR_)/.test(errorCode(error) ?? '')
    ? diskFault(error, 'Writing a file of the archive')
    : corrupt(85, `it cannot be read (${String(error)})`, error);
}

const isGzip = (head: Buffer): boolean => head[0] === 0x1f && head[1] === 0x8b;

/** Resolves when the end of an uncut stream is reached, or when the stream is destroyed. */
async function ended(decompressor: Decompressor): Promise<void> {
  if (!decompressor.destroyed) {
    await new Promise<void>((resolve) => {
      decompressor.once('end', resolve);
      decompressor.once('close', resolve);
      decompressor.end();
    });
  }
}

function ruleOf({ message }: Error, complete: boolean): number {
  if (/unexpected end|premature|truncat/i.test(message)) {
    return complete ? 87 : 86;
  }
  if (/too much memory/i.test(message)) {
    return 92;
  }
  // The head of the first member was checked before.
  return /incorrect header check|unknown frame/i.test(message) ? 90 : 88;
}

function unreadable(compression: string): string {
  const here = readable().join(' and ');
  return `it is compressed with ${compression}, which this agent cannot read (it reads ${here}): pack it with gzip`;
}

/** ARCHIVE_CORRUPT with the number of the rule and a reason. */
function corrupt(rule: number, why: string, cause?: unknown): Fault {
  return new Fault('ARCHIVE_CORRUPT', `The archive cannot be read: ${why}`, {
    cause,
    hint: 'Pack it again, and check that "tar -tzf" reads it to the end',
    violations: [{ path: '', rule, code: 'ARCHIVE_CORRUPT', what: why }],
  });
}
