/** Writes an archive as a bundle. The same blocks give the same bytes. */
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';

import { gzipped } from '../../shared/archive/gzip.ts';

/** @returns what identifies the bundle. Throws the errors of the disk, and of the blocks. */
export async function compress(
  blocks: AsyncIterable<Buffer>,
  file: string,
  signal: AbortSignal | undefined,
): Promise<{ size: number; sha256: string }> {
  const hash = createHash('sha256');
  let size = 0;
  async function* measured(parts: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
    for await (const part of parts) {
      hash.update(part);
      size += part.length;
      yield part;
    }
  }
  await pipeline(blocks, gzipped, measured, createWriteStream(file), { signal });
  return { size, sha256: hash.digest('hex') };
}
