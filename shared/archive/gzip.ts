/** Writes gzip (RFC 1952) whose bytes depend on the content alone. */
import { crc32 } from 'node:zlib';

import { Deflater } from './deflate.ts';

/** Deflate, no flags, no time, no level, "unknown" as system. */
const HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);

export class Gzip {
  readonly #deflater = new Deflater();
  #crc = 0;
  #size = 0;
  #begun = false;

  /** @returns the compressed bytes so far; they come a block at a time. */
  write(bytes: Uint8Array): Buffer[] {
    this.#crc = crc32(bytes, this.#crc);
    this.#size += bytes.length;
    return [...this.#head(), ...this.#deflater.write(bytes)];
  }

  /** @returns the rest. */
  end(): Buffer[] {
    const trailer = Buffer.alloc(8);
    trailer.writeUInt32LE(this.#crc, 0);
    trailer.writeUInt32LE(this.#size % 2 ** 32, 4);
    return [...this.#head(), this.#deflater.end(), trailer];
  }

  #head(): Buffer[] {
    if (this.#begun) return [];
    this.#begun = true;
    return [HEADER];
  }
}

/** So many bytes are compressed at once. The event loop of the caller has its turn between them. */
const AT_ONCE = 64 * 1024;

/** The same as a step of a pipeline. */
export async function* gzipped(blocks: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  const gzip = new Gzip();
  for await (const block of blocks) {
    for (let at = 0; at < block.length; at += AT_ONCE) {
      yield* gzip.write(block.subarray(at, at + AT_ONCE));
    }
  }
  yield* gzip.end();
}
