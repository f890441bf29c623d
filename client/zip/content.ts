/** The bytes of one entry of a zip, in small parts. No more of them come than the entry says that it has. */
import type { FileHandle } from 'node:fs/promises';
import { pipeline } from 'node:stream';
import { crc32, createInflateRaw } from 'node:zlib';

import type { ViolationListener } from './end.ts';
import { DEFLATED } from './entries.ts';
import type { PlacedEntry } from './places.ts';

const CHUNK_BYTES = 64 * 1024;

/** Notes what is wrong with the bytes, and then ends. */
export async function* content(
  file: FileHandle,
  entry: PlacedEntry,
  note: ViolationListener,
): AsyncGenerator<Buffer, void, undefined> {
  const { name, size, crc } = entry;
  let read = 0;
  let sum = 0;
  try {
    for await (const part of entry.method === DEFLATED ? inflated(file, entry, note) : packed(file, entry)) {
      read += part.length;
      if (read > size) {
        note(name, 88, 'it holds more bytes than it says');
        return;
      }
      sum = crc32(part, sum);
      yield part;
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code?.startsWith('Z_') !== true) throw error;
    note(name, 88, `its bytes are damaged (${message})`);
    return;
  }
  if (read < size) {
    note(name, 88, 'it holds fewer bytes than it says');
  } else if (sum !== crc) {
    note(name, 88, 'its checksum is not that of its bytes');
  }
}

async function* inflated(
  file: FileHandle,
  entry: PlacedEntry,
  note: ViolationListener,
): AsyncGenerator<Buffer, void, undefined> {
  const inflate = createInflateRaw({ chunkSize: CHUNK_BYTES });
  // An error of the file destroys the decompressor with it, so that the loop below throws it.
  pipeline(packed(file, entry), inflate, () => undefined);
  for await (const part of inflate as AsyncIterable<Buffer>) yield part;
  if (inflate.bytesWritten !== entry.packed) {
    note(entry.name, 103, 'bytes in it belong to no file');
  }
}

async function* packed(
  file: FileHandle,
  { start, packed: length }: PlacedEntry,
): AsyncGenerator<Buffer, void, undefined> {
  for (let at = 0; at < length;) {
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, length - at));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, start + at);
    if (bytesRead === 0) throw new Error('The zip has become shorter while it was read');
    at += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}
