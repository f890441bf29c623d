/**
 * Who has which lock, said by the names of files: what keeps processes apart where there is no flock, and what those that
 * have it and those that have it not know each other by. A dead holder is told by its boot, its pid and when it began.
 */
import { errorCode } from '../../shared/api/fault.ts';
import { constants } from 'node:fs';
import { type FileHandle, open, readFile, readdir, stat, unlink, utimes } from 'node:fs/promises';
import { join } from 'node:path';

import { pause } from '../../shared/clock.ts';
import type { Intent } from '../../shared/format/intent.ts';
import { holderInWords, writeAbout } from './lock-holder.ts';

type Owner = Intent['owner'];
/** What a holder relies on: with flock it is alone among those that have flock. */
export type LockKind = 'flock' | 'record';

/** Gives a lock back, once. When it resolves, the lock is free. */
export type Release = () => Promise<void>;

export type LockRecords = {
  /**
   * Says that this process has a lock, unless somebody else who lives says so. With flock it has that lock already, and
   * only those without count; where no file can be made they cannot be told, and it holds among those with it.
   *
   * @throws what the file system throws where nobody can look, or, without flock, no file can be made.
   */
  announce(name: string): Promise<Release | undefined>;
  /**
   * Who says that he has the lock, in words for an operator; undefined if nobody does. Whoever only tries to take it is not
   * named.
   *
   * @param seenAs the pid, as seen from here, of whoever has the kernel lock.
   */
  holderOf(name: string, seenAs?: number): Promise<string | undefined>;
};

/** A holder in another pid namespace that has not said for so long (milliseconds) that it lives is dead. */
const SILENT_MILLIS = 60_000;
const BEAT_MILLIS = 5000;
/** A process that only tries to take a lock removes its record at once. So who has it is asked again, at most so often. */
const LOOKS = { most: 10, pauseMillis: 20 };
const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR } = constants;

/**
 * Said by the name alone, which is there whole or not at all: a power cut empties files. What a record holds is for
 * operators; see {@link holderInWords}.
 */
const RECORD = /^(.+)\.([0-9a-f-]*)\.(\d*)\.(\d+)\.(\d*)\.[a-z0-9]+\.(flock|record)$/;

/** A record of a lock: which, whose, and what he relies on. */
type Held = { name: string; owner: Owner; kind: LockKind };

function recordName(name: string, { bootId, pidNamespace, pid, startTime }: Owner, kind: LockKind): string {
  const random = Math.random().toString(36).slice(2);
  return [name, bootId, pidNamespace.replaceAll(/\D/g, ''), pid, startTime, random, kind].join('.');
}

function readRecord(entry: string): Held | undefined {
  const [, name, bootId = '', pidNamespace = '', pid, startTime = '', kind] = RECORD.exec(entry) ?? [];
  if (name === undefined) {
    return undefined;
  }
  const owner = { bootId, pidNamespace: `pid:[${pidNamespace}]`, pid: Number(pid), startTime };
  return { name, owner, kind: kind === 'flock' ? 'flock' : 'record' };
}

/**
 * Everybody announces himself in a file of his own, then looks whether anybody else who lives has done so too; of two who
 * do it at once at least one steps back. A dead one's file is nobody's, so removing it harms nobody.
 */
export function createRecords(directory: string, owner: Owner, kind: LockKind): LockRecords {
  const held = new Set<string>();
  let isBeating = false;
  const beat = setInterval(() => {
    // A disk that does not answer is told once, and not every five seconds again.
    if (!isBeating) {
      isBeating = true;
      void Promise.all([...held].map(touch)).finally(() => {
        isBeating = false;
      });
    }
  }, BEAT_MILLIS);
  beat.unref();
  /** @param mine the record of this process, if it is to take the lock and not only to say who has it. */
  const othersOf = async (name: string, mine: string | undefined): Promise<Map<string, Owner>> => {
    const others = new Map<string, Owner>();
    for (const entry of await readdir(directory)) {
      const record = entry.startsWith(`${name}.`) ? readRecord(entry) : undefined;
      const path = join(directory, entry);
      if (record?.name !== name || path === mine) {
        continue;
      }
      // Whoever has the flock knows that all who had it before him are gone.
      const isOver = mine !== undefined && kind === 'flock' && record.kind === 'flock';
      if (!isOver && (await isAlive(path, record.owner, owner, mine))) {
        others.set(entry, record.owner);
      } else {
        await remove(path);
      }
    }
    return others;
  };
  /** @returns the record, made and open; undefined where it cannot be made and need not. */
  const say = async (mine: string): Promise<FileHandle | undefined> => {
    try {
      return await open(mine, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR, 0o644);
    } catch (error) {
      if (kind === 'record') {
        throw error;
      }
      return undefined;
    }
  };
  return {
    async announce(name) {
      const mine = join(directory, recordName(name, owner, kind));
      const record = await say(mine);
      const release = async (): Promise<void> => {
        held.delete(mine);
        await remove(mine);
      };
      let taken = false;
      try {
        const [others] = await Promise.all([othersOf(name, mine), record && writeAbout(record, Date.now())]);
        taken = others.size === 0;
      } finally {
        if (!taken) {
          await release();
        }
      }
      if (!taken) {
        return undefined;
      }
      held.add(mine);
      return release;
    },
    async holderOf(name, seenAs) {
      let others = [...(await othersOf(name, undefined))];
      for (let look = 1; others.length > 1 && look < LOOKS.most; look += 1) {
        await pause(LOOKS.pauseMillis, undefined);
        const still = await othersOf(name, undefined);
        others = others.filter(([entry]) => still.has(entry));
      }
      const [holder] = others;
      return holder && holderInWords(join(directory, holder[0]), holder[1], owner, seenAs);
    },
  };
}

/** Of a lock that is given back, or of a dead holder: nobody's, also where the disk takes no changes just now. */
async function remove(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch {
    // Perhaps it is gone. This process's own says that it has the lock until it ends; that of a dead one is tried again by the next who asks.
  }
}

async function touch(path: string): Promise<void> {
  try {
    const now = new Date();
    await utimes(path, now, now);
  } catch {
    // Somebody removed it; there is no one to tell, and the lock's work goes on.
  }
}

/** In doubt a holder lives. */
const isAlive = async (path: string, other: Owner, self: Owner, mine: string | undefined): Promise<boolean> =>
  !(await isDead(other, self)) && !(await isSilent(path, other, self, mine));

async function isDead(owner: Owner, self: Owner): Promise<boolean> {
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
  const { startTime, isOver } = await processOf(owner.pid);
  return isOver || (owner.startTime !== '' && owner.startTime !== startTime);
}

/** Where there is no /proc there is one namespace. */
const isSameNamespace = (a: Owner, b: Owner): boolean =>
  a.pidNamespace.replaceAll(/\D/g, '') === b.pidNamespace.replaceAll(/\D/g, '');

/** Whether a process in another namespace, whose pid says nothing here, has stopped saying that it lives. */
async function isSilent(path: string, owner: Owner, self: Owner, mine: string | undefined): Promise<boolean> {
  if (isSameNamespace(owner, self) || mine === undefined) {
    return false;
  }
  // Both times are of the same file system's clock: this one's record was made just now.
  const [then, now] = await Promise.all([path, mine].map(changedAt));
  return then !== undefined && now !== undefined && now - then > SILENT_MILLIS;
}

/** Milliseconds since the epoch; undefined if there is nothing. */
async function changedAt(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).mtimeMs;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') {
      return undefined;
    }
    throw error;
  }
}

type ProcessStat = { startTime: string; isOver: boolean };

async function processOf(pid: number): Promise<ProcessStat> {
  try {
    return readProcessStat(await readFile(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return { startTime: '', isOver: false };
  }
}

/**
 * Reads `/proc/<pid>/stat`. `startTime`: when the process began, in the kernel's own count. `isOver`: it has ended, all its
 * threads too, and keeps its pid only until its parent asks how.
 */
export function readProcessStat(text: string): ProcessStat {
  // The command may hold spaces and brackets; the fields after its closing bracket are fixed.
  const fields = text.replace(/^.*\) /s, '').split(' ');
  return { startTime: fields[19] ?? '', isOver: fields[0] === 'Z' && Number(fields[17]) <= 1 };
}
