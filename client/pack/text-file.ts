/** Reads a text of a plugin, as whatever it turns out to be. */
import { constants } from 'node:fs';
import { type FileHandle, open, realpath } from 'node:fs/promises';
import { join, sep } from 'node:path';

import { errorCode } from '../../shared/api/fault.ts';
import type { FileReading } from '../../shared/format/layout.ts';
import { textIn } from '../../shared/format/text.ts';

/**
 * The text of a regular file. It does not wait for a pipe, and follows no link in the last name of the path. Never throws.
 *
 * @param maxBytes a larger file is not read.
 */
export async function readTextFile(path: string, maxBytes: number): Promise<FileReading> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const stats = await file.stat();
    if (!stats.isFile()) return { kind: 'unreadable', why: 'it is not a regular file' };
    if (stats.size > maxBytes) {
      return { kind: 'unreadable', why: `it has ${stats.size} bytes, more than ${maxBytes}` };
    }
    return textIn(await file.readFile());
  } catch (error) {
    return notRead(error);
  } finally {
    await file?.close();
  }
}

/** As {@link readTextFile}. Links are followed, but not out of the directory. @param root a real path. */
export async function readTextInside(root: string, path: string, maxBytes: number): Promise<FileReading> {
  try {
    const real = await realpath(join(root, path));
    const isInside = real.startsWith(root.endsWith(sep) ? root : root + sep);
    return isInside
      ? await readTextFile(real, maxBytes)
      : { kind: 'unreadable', why: 'it is a link out of the directory' };
  } catch (error) {
    return notRead(error);
  }
}

function notRead(error: unknown): FileReading {
  const code = errorCode(error);
  return code === 'ENOENT' || code === 'ENOTDIR'
    ? { kind: 'absent' }
    : { kind: 'unreadable', why: (error as Error).message };
}
