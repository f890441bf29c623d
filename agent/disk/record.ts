/** Small files that are there whole or not at all, and how to make a directory's names durable. */
import { dirname, join } from 'node:path';

import { errorCode } from '../../shared/api/fault.ts';
import { attempt } from '../../shared/attempt.ts';
import { type FileReading, MARKER } from '../../shared/format/layout.ts';
import { isDenied } from './disk-fault.ts';
import type { Disk } from './port.ts';

/**
 * Makes the names in a directory durable: what was renamed, made or removed in it. The dot goes through a link, for
 * the owner may have put the root behind one.
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

/** Whom a file is given to. */
type Owner = { uid: number; gid: number };

/**
 * Writes a new file and makes its content and owner durable; its name is durable once the directory is synced.
 *
 * @param owner undefined: whoever runs this.
 */
export function writeDurably(disk: Disk, path: string, text: string, mode: number, owner?: Owner): void {
  const fd = disk.create(path, mode);
  try {
    disk.write(fd, Buffer.from(text, 'utf8'));
    if (owner !== undefined) {
      disk.chown(path, owner.uid, owner.gid);
    }
    disk.sync(fd);
  } finally {
    disk.close(fd);
  }
}

let counter = 0;

const TEMPORARY = /^\.tmp-(.*)-\d+-[a-z0-9]+-\d+$/;

/** Whose record a temporary file of staging was to be: a plugin's name, or '' for the root's own; undefined if it is none. */
export const temporaryOf = (entry: string): string | undefined => TEMPORARY.exec(entry)?.[1];

/**
 * Puts a text in place: a temporary name in `staging`, sync, rename, sync of the directory. A crash leaves the old text
 * or the new one, and perhaps a temporary file, which recovery of the plugin deletes.
 *
 * @param plugin whose text it is; '' for the root's own. Its lock is the caller's to hold.
 * @param owner undefined: whoever runs this.
 */
export function putText(
  disk: Disk,
  staging: string,
  plugin: string,
  path: string,
  text: string,
  owner?: Owner,
): void {
  counter += 1;
  const temporary = join(staging, `.tmp-${plugin}-${process.pid}-${threadTag}-${counter}`);
  try {
    writeDurably(disk, temporary, text, 0o644, owner);
    disk.rename(temporary, path);
  } catch (error) {
    // One that stays is recovery's to remove.
    attempt(() => removeTree(disk, temporary));
    throw error;
  }
  syncDirectory(disk, dirname(path));
}

/** Puts a record in place, as {@link putText} does a text. */
export function putRecord(disk: Disk, staging: string, plugin: string, path: string, value: unknown): void {
  putText(disk, staging, plugin, path, `${JSON.stringify(value)}\n`);
}

/**
 * The entries of a directory: none where there is no directory, undefined where this user may not list it. Other failures are
 * thrown.
 */
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

/** Threads share a process id, so a temporary name carries something that they do not share. */
const threadTag = Math.random().toString(36).slice(2, 8);

/**
 * Reads a small text file. Anything but a regular file of at most `maxBytes` is `unreadable`; nothing is thrown,
 * because a stranger's or a half-made file is an answer, not an accident.
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
    return { kind: 'unreadable', why: code === 'ELOOP' ? 'it is a symbolic link' : (code ?? String(error)) };
  }
  try {
    const stat = disk.statOpen(fd);
    if (stat.kind !== 'file') {
      return { kind: 'unreadable', why: 'it is not a regular file' };
    }
    if (stat.size > maxBytes) {
      return { kind: 'unreadable', why: `it has ${stat.size} bytes, more than ${maxBytes}` };
    }
    return { kind: 'text', text: readAll(disk, fd, maxBytes).toString('utf8') };
  } catch (error) {
    return { kind: 'unreadable', why: errorCode(error) ?? String(error) };
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
 * Removes a tree or a file if it is there. Links are removed, never followed. A plugin's marker goes first: a reader that
 * holds the tree open can tell by it whether what it read was still whole.
 */
export function removeTree(disk: Disk, path: string): void {
  const stat = disk.stat(path);
  if (stat === undefined) {
    return;
  }
  if (stat.kind !== 'directory') {
    disk.unlink(path);
    return;
  }
  // Held open, so that nobody puts a link in its place while it is worked through.
  const fd = disk.open(path);
  try {
    const inside = disk.within(fd) ?? path;
    const names = disk.list(inside).map(({ name }) => name);
    for (const name of names.toSorted((a, b) => Number(b === MARKER) - Number(a === MARKER))) {
      removeTree(disk, join(inside, name));
    }
  } finally {
    attempt(() => disk.close(fd));
  }
  disk.rmdir(path);
}
