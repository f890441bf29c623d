/** Lock files on the disk. */
import { type FileHandle, open, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';

import { errorCode, Fault } from '../shared/api/fault.ts';
import { unreadable } from '../shared/api/unreadable.ts';
import {
  type Declared,
  LOCK_FILE_MAX_BYTES,
  readLockFile,
  writeLockFile,
} from '../shared/format/lock-file.ts';
import { textIn } from '../shared/format/text.ts';

/** So often, with this pause, another process that changes the file is waited for. */
const TRIES = 100;
const PAUSE_MILLIS = 50;

/** The plugins of a lock file. @throws Fault NOT_FOUND if there is none, INVALID_PARAMS if it cannot be read. */
export async function readLock(file: string): Promise<Declared[]> {
  return pluginsIn(file, await bytesOf(file));
}

/**
 * Changes a lock file as a whole: a reader sees the old or the new one. Without a file it begins with no plugins. Processes that
 * change it at once wait for each other.
 *
 * @returns whether the bytes of the file have changed.
 * @throws Fault INVALID_PARAMS if the file cannot be read or written; LOCKED if another process changes it for too long.
 */
export async function changeLock(
  file: string,
  change: (plugins: Declared[]) => Declared[],
): Promise<boolean> {
  // A link stays a link.
  const place = await realpath(file).catch(() => file);
  const draft = `${place}.new`;
  const handle = await openDraft(draft);
  let isOurs = true;
  try {
    const before = await bytesOf(place).catch((error: unknown) => {
      if (error instanceof Fault && error.code === 'NOT_FOUND') return undefined;
      throw error;
    });
    const after = Buffer.from(writeLockFile(change(before === undefined ? [] : pluginsIn(place, before))));
    const isChanged = before?.equals(after) !== true;
    if (isChanged) {
      await handle.writeFile(after);
      if (before !== undefined) await handle.chmod((await stat(place)).mode & 0o777);
      await handle.sync();
      await rename(draft, place);
      // From now on the name of the draft is free for another process.
      isOurs = false;
    }
    return isChanged;
  } catch (error) {
    throw error instanceof Fault ? error : unwritable(file, error);
  } finally {
    await handle.close();
    if (isOurs) await rm(draft, { force: true });
  }
}

/** The draft is there while a process changes the file. */
async function openDraft(draft: string): Promise<FileHandle> {
  for (let i = 1; ; i += 1) {
    try {
      return await open(draft, 'wx', 0o644);
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') throw unwritable(draft, error);
      if (i === TRIES) {
        throw new Fault(
          'LOCKED',
          `Another process has changed the lock file for too long: "${draft}" is there`,
          {
            cause: error,
            hint: 'Wait for it; if none is running, remove that file and try again',
          },
        );
      }
      await setTimeout(PAUSE_MILLIS);
    }
  }
}

async function bytesOf(file: string): Promise<Buffer> {
  try {
    const { size } = await stat(file);
    if (size > LOCK_FILE_MAX_BYTES) {
      throw invalid(file, `it has ${size} bytes, at most ${LOCK_FILE_MAX_BYTES} are read`);
    }
    return await readFile(file);
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw unreadable(`The lock file "${file}"`, error, 'Name a lock file, or write one with "airlock lock"');
  }
}

function pluginsIn(file: string, bytes: Buffer): Declared[] {
  const reading = textIn(bytes);
  if (reading.kind === 'unreadable') throw invalid(file, reading.why);
  const read = readLockFile(reading.text);
  if (!read.ok) throw invalid(file, read.why);
  return read.plugins;
}

const invalid = (file: string, why: string): Fault =>
  new Fault('INVALID_PARAMS', `The lock file "${file}" is not valid: ${why}`, {
    hint: 'Correct it, or write it again with "airlock lock"',
  });

const unwritable = (file: string, error: unknown): Fault =>
  new Fault(
    'INVALID_PARAMS',
    `The lock file cannot be written: ${error instanceof Error ? error.message : String(error)}`,
    {
      cause: error,
      hint: `Check owner, permissions and free space of the directory of "${file}"`,
    },
  );
