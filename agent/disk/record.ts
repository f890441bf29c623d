/** Small files that are written as a whole, and syncs of a directory's names. */
import { dirname, join } from 'node:path';

import { errorCode } from '../../shared/api/fault.ts';
import { attempt } from '../../shared/attempt.ts';
import { type FileReading, MARKER } from '../../shared/format/layout.ts';
import { textIn } from '../../shared/format/text.ts';
import { ifThere, isDenied } from './disk-fault.ts';
import type { Disk, Kind } from './port.ts';

/**
 * Makes the names in a directory durable: renames, new entries, removals. The dot follows a link, because the owner may
 * have put the root behind one.
 */
export function syncDirectory(disk: Disk, path: string): void {
  syncFile(disk, `${path}/.`);
}

/** Makes durable what was changed about a file after its content was: its owner. */
export function syncFile(disk: Disk, path: string): void {
  const fd = disk.open(path);
  try {
    disk.sync(fd);
  } finally {
    disk.close(fd);
  }
}

/** The owner that a file gets. */
type Owner = { uid: number; gid: number };

/**
 * Writes a new file and makes its content and owner durable. Its name is durable when the directory is synced.
 *
 * @param owner undefined: the user of this process.
 */
export const writeDurably = (disk: Disk, path: string, text: string, mode: number, owner?: Owner): void =>
  writeNew(disk, path, text, { mode, owner, isSynced: true });

/** How a new file is written. */
type NewFile = {
  mode: number;
  /** Undefined: the user of this process. */
  owner: Owner | undefined;
  /** False: the caller makes the content durable. Until then a power cut leaves any part of it, or zeros. */
  isSynced: boolean;
};

/** Writes a new file. Throws the errors of the disk. */
export function writeNew(disk: Disk, path: string, text: string, { mode, owner, isSynced }: NewFile): void {
  const fd = disk.create(path, mode);
  try {
    disk.write(fd, Buffer.from(text, 'utf8'));
    if (owner !== undefined) {
      disk.chown(path, owner.uid, owner.gid);
    }
    if (isSynced) {
      disk.sync(fd);
    }
  } finally {
    disk.close(fd);
  }
}

/**
 * Adds a text to the end of a file that is there. When it returns, the text is durable. After a crash a part of it may be
 * there.
 */
export function appendDurably(disk: Disk, path: string, text: string): void {
  const fd = disk.append(path);
  try {
    disk.write(fd, Buffer.from(text, 'utf8'));
    disk.sync(fd);
  } finally {
    disk.close(fd);
  }
}

let counter = 0;

/** The tries to put a record of the root in place. */
const PUTS_MAX = 5;

const TEMPORARY = /^\.tmp-(.*)-\d+-[a-z0-9]+-\d+$/;

/**
 * The plugin whose record a temporary file in staging was to become; '' for a record of the root; undefined for other
 * entries.
 */
export const temporaryOf = (entry: string): string | undefined => TEMPORARY.exec(entry)?.[1];

/**
 * Puts a text in place: writes a temporary file in `staging`, syncs and renames it, and syncs the directory. After a
 * crash the old or the new text is there, and perhaps a temporary file, which the plugin's recovery removes.
 *
 * @param plugin the plugin of the text, whose lock the caller holds; '' for the root, which has no lock.
 * @param owner undefined: the user of this process.
 */
export function putText(
  disk: Disk,
  staging: string,
  plugin: string,
  path: string,
  text: string,
  owner?: Owner,
): void {
  for (let failures = 0; ;) {
    try {
      draftText(disk, staging, plugin, text, { mode: 0o644, owner, isSynced: true }).place(path);
      break;
    } catch (error) {
      failures += 1;
      // An agent that starts removes the temporary files of the root, also those of another process that works on it.
      if (plugin !== '' || errorCode(error) !== 'ENOENT' || failures === PUTS_MAX) {
        throw error;
      }
    }
  }
  syncDirectory(disk, dirname(path));
}

/** A text that has only a temporary name. If both calls fail, recovery removes it. */
type Draft = {
  /** Gives it its name, which is durable when the directory is synced. Throws the errors of the disk. */
  place: (path: string) => void;
  /** Removes it, if it has no name yet. Never throws. */
  drop: () => void;
};

/** Writes a text under a temporary name in `staging`. @param plugin as of {@link putText}. */
function draftText(disk: Disk, staging: string, plugin: string, text: string, how: NewFile): Draft {
  counter += 1;
  const temporary = join(staging, `.tmp-${plugin}-${process.pid}-${threadTag}-${counter}`);
  let isPlaced = false;
  const drop = (): void => void (isPlaced || attempt(() => removeTree(disk, temporary)));
  const orDrop = (work: () => void): void => {
    try {
      work();
    } catch (error) {
      drop();
      throw error;
    }
  };
  orDrop(() => writeNew(disk, temporary, text, how));
  return {
    place: (path) =>
      orDrop(() => {
        disk.rename(temporary, path);
        isPlaced = true;
      }),
    drop,
  };
}

const textOf = (value: unknown): string => `${JSON.stringify(value)}\n`;

/** Puts a record in place, as {@link putText} does with a text. */
export function putRecord(disk: Disk, staging: string, plugin: string, path: string, value: unknown): void {
  putText(disk, staging, plugin, path, textOf(value));
}

/** Writes a record without a sync, under a temporary name. It must be durable before it gets its name. */
export const draftRecord = (disk: Disk, staging: string, plugin: string, value: unknown): Draft =>
  draftText(disk, staging, plugin, textOf(value), { mode: 0o644, owner: undefined, isSynced: false });

/**
 * Puts a record in place without a sync, where nothing is and nobody needs it yet. Until the caller makes its content and
 * its name durable, a power cut may leave any part of it.
 */
export const putUnsynced = (
  disk: Disk,
  staging: string,
  plugin: string,
  path: string,
  value: unknown,
): void => draftRecord(disk, staging, plugin, value).place(path);

/** The entries of a directory; none if it does not exist, undefined if this user may not list it. Other failures are thrown. */
export function listAllowed(disk: Disk, path: string): ReturnType<Disk['list']> | undefined {
  try {
    return disk.list(path);
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      return [];
    }
    if (isDenied(error)) {
      return undefined;
    }
    throw error;
  }
}

/** Threads share a process id, so a temporary name needs another part. */
const threadTag = Math.random().toString(36).slice(2, 8);

/**
 * Reads a small text file. Anything but a regular file of at most `maxBytes` is `unreadable`. Nothing is thrown, because
 * a file of unknown origin or an incomplete one is an expected answer.
 */
export function readText(disk: Disk, path: string, maxBytes: number): FileReading {
  let fd: number;
  try {
    fd = disk.open(path);
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      return { kind: 'absent' };
    }
    return code === 'ELOOP'
      ? { kind: 'unreadable', why: 'it is a symbolic link' }
      : { kind: 'unreadable', why: code ?? String(error), code };
  }
  try {
    const stat = disk.statOpen(fd);
    if (stat.kind !== 'file') {
      return { kind: 'unreadable', why: 'it is not a regular file' };
    }
    if (stat.size > maxBytes) {
      return { kind: 'unreadable', why: `it has ${stat.size} bytes, more than ${maxBytes}` };
    }
    return textIn(readAll(disk, fd, maxBytes));
  } catch (error) {
    const code = errorCode(error);
    return { kind: 'unreadable', why: code ?? String(error), code };
  } finally {
    attempt(() => disk.close(fd));
  }
}

function readAll(disk: Disk, fd: number, maxBytes: number): Buffer {
  const chunks: Buffer[] = [];
  for (let total = 0; total <= maxBytes;) {
    const chunk = Buffer.allocUnsafe(16 * 1024);
    const count = disk.read(fd, chunk);
    if (count === 0) {
      break;
    }
    chunks.push(chunk.subarray(0, count));
    total += count;
  }
  return Buffer.concat(chunks);
}

/**
 * Removes a tree or a file if it exists. Links are removed, never followed. A plugin's marker is removed first: a reader
 * that has the tree open can tell by it whether the tree was still complete. Another process may remove the same tree.
 */
export function removeTree(disk: Disk, path: string): void {
  const kind = disk.stat(path)?.kind;
  if (kind !== undefined) {
    removeEntry(disk, path, kind);
  }
}

function removeEntry(disk: Disk, path: string, kind: Kind): void {
  if (kind !== 'directory') {
    ifThere(() => disk.unlink(path));
    return;
  }
  // Held open, so that nobody can put a link in its place meanwhile.
  const fd = ifThere(() => disk.open(path));
  if (fd === undefined) {
    return;
  }
  try {
    const inside = disk.within(fd) ?? path;
    const entries = ifThere(() => disk.list(inside)) ?? [];
    for (const { name, kind: inner } of entries.toSorted(markerFirst)) {
      removeEntry(disk, join(inside, name), inner);
    }
  } finally {
    attempt(() => disk.close(fd));
  }
  ifThere(() => disk.rmdir(path));
}

const markerFirst = (a: { name: string }, b: { name: string }): number =>
  Number(b.name === MARKER) - Number(a.name === MARKER);
