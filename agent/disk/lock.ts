/**
 * Locks that hold across processes and die with their holder, `kill -9` included. By flock where the system has it, and
 * always by records of who holds what, so that processes with flock and without keep each other out, too. Nothing here
 * waits for the disk synchronously: a disk that does not answer must not stop the thread that takes locks.
 */
import { errorCode } from '../../shared/api/fault.ts';
import * as fs from 'node:fs';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import type { Intent } from '../../shared/format/intent.ts';
import { Semaphore } from '../../shared/semaphore.ts';
import { linuxCalls } from './linux.ts';
import { kernelHolder, kernelHolderInWords } from './lock-holder.ts';
import { type LockKind, type LockRecords, type Release, createRecords } from './lock-record.ts';

type Owner = Intent['owner'];
/** The system call, or why it cannot be had. */
type Calls = Flock | string;
type Flock = { tryLock: (fd: number) => Promise<boolean> };

export type Locks = {
  readonly kind: LockKind;
  /**
   * Takes a lock if nobody else has it; also whoever asks in this process is somebody else.
   *
   * @throws what the file system throws where no lock file can be made.
   */
  take(name: string): Promise<Release | undefined>;
  /** Who has the lock, in words for an operator; undefined if that cannot be said. */
  holderOf(name: string): Promise<string | undefined>;
};

/** The kind of locks that a directory allows, tried out with a file that is removed again. */
export const lockKindOf = async (directory: string, calls: Calls = linuxCalls()): Promise<LockKind> =>
  typeof calls !== 'string' && (await canFlock(directory, calls)) ? 'flock' : 'record';

/** So many work on lock files at once: the threads that Node has for such calls are few, and a disk may keep them. */
const AT_ONCE = 2;

/** @param directory where the lock files are; it is there. @param owner who this process is. */
export async function createLocks(
  directory: string,
  owner: Owner,
  calls: Calls = linuxCalls(),
): Promise<Locks> {
  const kind = await lockKindOf(directory, calls);
  const flock = typeof calls !== 'string' && kind === 'flock' ? calls : undefined;
  const records = createRecords(directory, owner, kind);
  const semaphore = new Semaphore(AT_ONCE);
  return {
    kind,
    take: (name) =>
      semaphore.run(async () => {
        const release = await (flock === undefined
          ? records.announce(name)
          : takeFlock(directory, name, records, flock));
        return release && (() => semaphore.run(release));
      }),
    holderOf: (name) =>
      semaphore.run(async () => {
        const file = lockFile(directory, name);
        const pid = flock === undefined ? undefined : await kernelHolder(file);
        return (await records.holderOf(name, pid)) ?? (await kernelHolderInWords(pid));
      }),
  };
}

/** Numbers and not handles: a handle that nobody keeps is closed some day, and the lock with it. */
const [open, close, statOpen] = [promisify(fs.open), promisify(fs.close), promisify(fs.fstat)];

const { O_CREAT, O_NOFOLLOW, O_RDONLY } = fs.constants;
/** Open for reading only: a lock must not keep the file system from being remounted read-only. */
const LOCK_FLAGS = O_CREAT | O_NOFOLLOW | O_RDONLY;
const lockFile = (directory: string, name: string): string => join(directory, `${name}.lock`);

/** Says that a file system has no flock, not that this one failed. */
const NO_FLOCK: ReadonlySet<string | undefined> = new Set([
  'ENOSYS',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOLCK',
  'EINVAL',
]);

const PROBE = '.probe-';
/** A probe lasts no longer than this (milliseconds) but where its process was killed. */
const PROBE_MILLIS = 60_000;

async function removeProbes(directory: string): Promise<void> {
  try {
    const probes = (await readdir(directory)).filter((name) => name.startsWith(PROBE));
    for (const path of probes.map((name) => join(directory, name))) {
      const stats = await statIfThere(path);
      if (stats !== undefined && Date.now() - stats.mtimeMs > PROBE_MILLIS) {
        await rm(path, { force: true });
      }
    }
  } catch {
    // They are in nobody's way.
  }
}

/** Some file systems have no flock, and some say yes to everybody: a second descriptor must be told no. */
async function canFlock(directory: string, calls: Flock): Promise<boolean> {
  await removeProbes(directory);
  const path = lockFile(directory, `${PROBE}${process.pid}-${Math.random().toString(36).slice(2)}`);
  const fds: number[] = [];
  const tryOne = async (): Promise<boolean> => {
    const fd = await open(path, LOCK_FLAGS, 0o600);
    fds.push(fd);
    return calls.tryLock(fd);
  };
  try {
    return (await tryOne()) && !(await tryOne());
  } catch (error) {
    // Only a file system without flock changes the kind of locks: two processes must not have two kinds because the disk
    // was full, or read-only, when one of them tried it out. Locks that are there already can be had all the same.
    return !NO_FLOCK.has(errorCode(error));
  } finally {
    await Promise.all(fds.map((fd) => close(fd)));
    await rm(path, { force: true });
  }
}

async function takeFlock(
  directory: string,
  name: string,
  records: LockRecords,
  calls: Flock,
): Promise<Release | undefined> {
  const path = lockFile(directory, name);
  for (;;) {
    const fd = await open(path, LOCK_FLAGS, 0o644);
    let release: Release | undefined;
    try {
      if (!(await calls.tryLock(fd))) {
        return undefined;
      }
      // Nobody of ours deletes lock files; whoever did it has let two have a lock of one name.
      const [there, opened] = await Promise.all([statIfThere(path), statOpen(fd)]);
      if (there?.ino === opened.ino) {
        release = await records.announce(name);
        return release && closeOnce(fd, release);
      }
    } finally {
      if (release === undefined) {
        await close(fd);
      }
    }
  }
}

/** The number of a closed descriptor is soon another file's. */
function closeOnce(fd: number, before: Release): Release {
  let isOpen = true;
  return async () => {
    if (isOpen) {
      isOpen = false;
      await before();
      await close(fd);
    }
  };
}

async function statIfThere(path: string): Promise<fs.Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') {
      return undefined;
    }
    throw error;
  }
}
