/** Reads one small file of unknown origin. */
import type { BigIntStats } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';

import type { FileReading } from '../../shared/format/layout.ts';
import { textIn } from '../../shared/format/text.ts';
import { OPEN_CAUTIOUSLY } from '../../watch/files.ts';
import { isMissing, systemErrorOf } from './system-error.ts';

export type SmallFile = {
  reading: FileReading;
  /** The stats of the file that was read; undefined if none was. */
  stats: BigIntStats | undefined;
};

/** Reads a regular file of at most `maxBytes`. Anything else is `unreadable`, with the reason. */
export async function readSmall(path: string, maxBytes: number): Promise<SmallFile> {
  let file: FileHandle;
  try {
    file = await open(path, OPEN_CAUTIOUSLY);
  } catch (error) {
    const problem = systemErrorOf(error);
    return isMissing(problem)
      ? { reading: { kind: 'absent' }, stats: undefined }
      : unreadable(openingSaid(problem));
  }
  try {
    const stats = await file.stat({ bigint: true });
    if (!stats.isFile()) {
      return unreadable('it is not a regular file');
    }
    if (stats.size > BigInt(maxBytes)) {
      return unreadable(`it has ${stats.size} bytes, at most ${maxBytes} are read`);
    }
    const bytes = await readAll(file, Number(stats.size), maxBytes);
    return bytes === undefined
      ? unreadable(`it grew beyond ${maxBytes} bytes while it was read`)
      : { reading: textIn(bytes), stats };
  } catch (error) {
    return unreadable(systemErrorOf(error).why);
  } finally {
    await file.close();
  }
}

const unreadable = (why: string): SmallFile => ({ reading: { kind: 'unreadable', why }, stats: undefined });

/** With O_NOFOLLOW a link fails with ELOOP (EMLINK on FreeBSD). A socket cannot be opened. */
function openingSaid({ code, why }: { code: string; why: string }): string {
  switch (code) {
    case 'ELOOP':
    case 'EMLINK':
      return 'it is a symbolic link';
    case 'ENXIO':
      return 'it is not a regular file';
    default:
      return why;
  }
}

/** Reads to the current end of the file; undefined if that is beyond `maxBytes`. */
async function readAll(file: FileHandle, expected: number, maxBytes: number): Promise<Buffer | undefined> {
  // One byte more than expected: a read that does not fill the buffer has reached the end of the file.
  let buffer = Buffer.allocUnsafe(expected + 1);
  let filled = 0;
  for (;;) {
    const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, filled);
    filled += bytesRead;
    if (filled > maxBytes) {
      return undefined;
    }
    if (bytesRead === 0 || (filled < buffer.length && filled >= expected)) {
      return buffer.subarray(0, filled);
    }
    if (filled === buffer.length) {
      buffer = Buffer.concat([buffer], Math.min(buffer.length * 2, maxBytes + 1));
    }
  }
}
