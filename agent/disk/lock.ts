/**
 * Locks that hold across processes and die with their holder, `kill -9` included. By flock where the system has it, and
 * always by records of who holds what, so that processes with flock and without keep each other out, too.
 */
import { errorCode } from '../../shared/api/fault.ts';
import * as fs from 'node:fs';
import { join } from 'node:path';

import type { Intent } from '../../shared/format/intent.ts';
import { linuxCalls } from './linux.ts';
import { type LockKind, type LockRecords, type Release, createRecords } from './lock-record.ts';

type Owner = Intent['owner'];
/** The system call, or why it cannot be had. */
type Calls = Flock | string;
type Flock = { tryLock: (fd: number) => boolean };

export type Locks = {
  readonly kind: LockKind;
  /**
   * Takes a lock if nobody else has it; also whoever asks in this process is somebody else.
   *
   * @throws what the file system throws where no lock file can be made.
   */
  tryLock(name: string): Release | undefined;
  /** Who has the lock, in words for an operator; undefined if that cannot be said. */
  holderOf(name: string): string | undefined;
};

/** @param directory where the lock files are; it is there. @param owner who this process is. */
export function createLocks(directory: string, owner: Owner, calls: Calls = linuxCalls()): Locks {
  if (typeof calls !== 'string' && canFlock(directory, calls)) {
    return flockLocks(directory, createRecords(directory, owner, 'flock'), calls);
  }
  const records = createRecords(directory, owner, 'record');
  return {
    kind: 'record',
    tryLock: (name) => records.announce(name),
    holderOf: (name) => records.holderOf(name),
  };
}

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

function removeProbes(directory: string): void {
  try {
    const probes = fs.readdirSync(directory).filter((name) => name.startsWith(PROBE));
    for (const path of probes.map((name) => join(directory, name))) {
      const stat = fs.statSync(path, { throwIfNoEntry: false });
      if (stat !== undefined && Date.now() - stat.mtimeMs > PROBE_MILLIS) {
        fs.rmSync(path, { force: true });
      }
    }
  } catch {
    // They are in nobody's way.
  }
}

/** Some file systems have no flock, and some say yes to everybody: a second descriptor must be told no. */
function canFlock(directory: string, calls: Flock): boolean {
  removeProbes(directory);
  const path = lockFile(directory, `${PROBE}${process.pid}-${Math.random().toString(36).slice(2)}`);
  const fds: number[] = [];
  try {
    const open = (): number => {
      const fd = fs.openSync(path, LOCK_FLAGS, 0o600);
      fds.push(fd);
      return fd;
    };
    return calls.tryLock(open()) && !calls.tryLock(open());
  } catch (error) {
    // Only a file system without flock changes the kind of locks: two processes must not have two kinds because the disk
    // was full, or read-only, when one of them tried it out. Locks that are there already can be had all the same.
    return !NO_FLOCK.has(errorCode(error));
  } finally {
    for (const fd of fds) {
      fs.closeSync(fd);
    }
    fs.rmSync(path, { force: true });
  }
}

function flockLocks(directory: string, records: LockRecords, calls: Flock): Locks {
  const tryLock = (name: string): Release | undefined => {
    const path = lockFile(directory, name);
    for (;;) {
      const fd = fs.openSync(path, LOCK_FLAGS, 0o644);
      let taken = false;
      try {
        if (!calls.tryLock(fd)) {
          return undefined;
        }
        // Nobody of ours deletes lock files; whoever did it has let two have a lock of one name.
        const there = fs.statSync(path, { throwIfNoEntry: false });
        if (there !== undefined && there.ino === fs.fstatSync(fd).ino) {
          const release = records.announce(name);
          taken = release !== undefined;
          return release && closeOnce(fd, release);
        }
      } finally {
        if (!taken) {
          fs.closeSync(fd);
        }
      }
    }
  };
  return { kind: 'flock', tryLock, holderOf: (name) => records.holderOf(name) };
}

/** The number of a closed descriptor is soon another file's. */
function closeOnce(fd: number, before: Release): Release {
  let open = true;
  return () => {
    if (open) {
      open = false;
      before();
      fs.closeSync(fd);
    }
  };
}
