/**
 * Locks that hold across processes and die with their holder, `kill -9` included. By flock where the system has it;
 * elsewhere by records of who holds what, which tell a dead holder by its boot, its pid and when it began.
 */
import * as fs from 'node:fs';
import { join } from 'node:path';

import type { Intent } from '../../shared/intent.ts';
import { intentSchema } from '../../shared/intent.ts';
import { linuxCalls } from './linux.ts';
import { errorCode } from './port.ts';

type Owner = Intent['owner'];
/** The system call, or why it cannot be had. */
type Calls = Flock | string;
type Flock = { tryLock: (fd: number) => boolean };

/** Gives a lock back. */
export type Release = () => void;

export type Locks = {
  readonly kind: 'flock' | 'record';
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
  return typeof calls !== 'string' && canFlock(directory, calls)
    ? flockLocks(directory, owner, calls)
    : recordLocks(directory, owner);
}

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_RDWR } = fs.constants;
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

/** Some file systems have no flock, and some say yes to everybody: a second descriptor must be told no. */
function canFlock(directory: string, calls: Flock): boolean {
  const path = lockFile(directory, `.probe-${process.pid}-${Math.random().toString(36).slice(2)}`);
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

function flockLocks(directory: string, owner: Owner, calls: Flock): Locks {
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
        taken = there !== undefined && there.ino === fs.fstatSync(fd).ino;
        if (taken) {
          sayOwner(path, owner);
          return closeOnce(fd);
        }
      } finally {
        if (!taken) {
          fs.closeSync(fd);
        }
      }
    }
  };
  return {
    kind: 'flock',
    tryLock,
    holderOf: (name) => inWords(readOwner(lockFile(directory, name))),
  };
}

/** The number of a closed descriptor is soon another file's. */
function closeOnce(fd: number): Release {
  let open = true;
  return () => {
    if (open) {
      open = false;
      fs.closeSync(fd);
    }
  };
}

/** For whoever is locked out; the lock holds without it. */
function sayOwner(path: string, owner: Owner): void {
  try {
    fs.writeFileSync(path, `${JSON.stringify(owner)}\n`, { flag: 'r+' });
  } catch {
    // On a full or read-only disk nobody learns who has it.
  }
}

/** A holder in another pid namespace that has not said for so long (milliseconds) that it lives is dead. */
const SILENT_MILLIS = 60_000;
const BEAT_MILLIS = 5000;

/** Who holds what is said by the name of a file alone, which is there whole or not at all: a power cut empties files. */
const RECORD = /^(.+)\.([0-9a-f-]*)\.(\d*)\.(\d+)\.(\d*)\.[a-z0-9]+\.owner$/;

/** A record of a lock: which, and whose. */
type Held = { name: string; owner: Owner };

function recordName(name: string, { bootId, pidNamespace, pid, startTime }: Owner): string {
  const random = Math.random().toString(36).slice(2);
  return [name, bootId, pidNamespace.replaceAll(/\D/g, ''), pid, startTime, random, 'owner'].join('.');
}

function readRecord(entry: string): Held | undefined {
  const [, name, bootId = '', pidNamespace = '', pid, startTime = ''] = RECORD.exec(entry) ?? [];
  return name === undefined
    ? undefined
    : { name, owner: { bootId, pidNamespace: `pid:[${pidNamespace}]`, pid: Number(pid), startTime } };
}

/**
 * Everybody announces himself in a file of his own, then looks whether anybody else who lives has done so too; of two who
 * do it at once at least one steps back. A dead one's file is nobody's, so removing it harms nobody.
 */
function recordLocks(directory: string, owner: Owner): Locks {
  const held = new Set<string>();
  const beat = setInterval(() => held.forEach((path) => touch(path)), BEAT_MILLIS);
  beat.unref();
  const othersOf = (name: string, mine: string | undefined): Owner[] =>
    fs
      .readdirSync(directory)
      .flatMap((entry) => {
        const record = readRecord(entry);
        return record?.name === name ? { path: join(directory, entry), other: record.owner } : [];
      })
      .filter(({ path, other }) => path !== mine && isAlive(path, other, owner, mine))
      .map(({ other }) => other);
  return {
    kind: 'record',
    tryLock(name) {
      const mine = join(directory, recordName(name, owner));
      fs.closeSync(fs.openSync(mine, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR, 0o644));
      const release = (): void => {
        held.delete(mine);
        fs.rmSync(mine, { force: true });
      };
      if (othersOf(name, mine).length > 0) {
        release();
        return undefined;
      }
      held.add(mine);
      return release;
    },
    holderOf: (name) => inWords(othersOf(name, undefined)[0]),
  };
}

function touch(path: string): void {
  try {
    const now = new Date();
    fs.utimesSync(path, now, now);
  } catch {
    // Somebody removed it; there is no one to tell, and the lock's work goes on.
  }
}

/** In doubt a holder lives; the record of one that is dead is removed. */
function isAlive(path: string, other: Owner, self: Owner, mine: string | undefined): boolean {
  if (!isDead(other, self) && !isSilent(path, other, self, mine)) {
    return true;
  }
  fs.rmSync(path, { force: true });
  return false;
}

function isDead(owner: Owner, self: Owner): boolean {
  if (owner.bootId !== '' && self.bootId !== '' && owner.bootId !== self.bootId) {
    return true;
  }
  if (!isSameNamespace(owner, self)) {
    return false;
  }
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    return errorCode(error) === 'ESRCH';
  }
  return owner.startTime !== '' && owner.startTime !== startTimeOf(owner.pid);
}

/** Where there is no /proc there is one namespace. */
const isSameNamespace = (a: Owner, b: Owner): boolean =>
  a.pidNamespace.replaceAll(/\D/g, '') === b.pidNamespace.replaceAll(/\D/g, '');

/** Whether a process in another namespace, whose pid says nothing here, has stopped saying that it lives. */
function isSilent(path: string, owner: Owner, self: Owner, mine: string | undefined): boolean {
  if (isSameNamespace(owner, self) || mine === undefined) {
    return false;
  }
  // Both times are of the same file system's clock: this one's record was made just now.
  const [then, now] = [path, mine].map((file) => fs.statSync(file, { throwIfNoEntry: false })?.mtimeMs);
  return then !== undefined && now !== undefined && now - then > SILENT_MILLIS;
}

/** When a process began, in the kernel's own count; '' where that cannot be said. */
export function startTimeOf(pid: number | 'self'): string {
  try {
    // The command may hold spaces and brackets; the fields after its closing bracket are fixed, and the 20th is it.
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.replace(/^.*\) /s, '').split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

function readOwner(path: string): Owner | undefined {
  try {
    // A longer line of an earlier holder may stick out behind the first.
    const [line = ''] = fs.readFileSync(path, 'utf8').split('\n');
    return intentSchema.shape.owner.parse(JSON.parse(line));
  } catch {
    return undefined;
  }
}

const inWords = (owner: Owner | undefined): string | undefined =>
  owner === undefined ? undefined : `process ${owner.pid} of ${owner.pidNamespace || 'this machine'}`;
