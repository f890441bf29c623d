/** Who has a lock, in words for an operator. Nothing depends on what is read here but these words. */
import { constants } from 'node:fs';
import { type FileHandle, open, readFile, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename } from 'node:path';

import * as z from 'zod';

import type { Intent } from '../../shared/format/intent.ts';

type Owner = Intent['owner'];

/** No control characters: operators read it on a terminal. */
const plain = z.string().regex(/^[\u0020-\u007e\u00a0-\uffff]{1,128}$/);
const aboutSchema = z.object({ host: plain, command: plain, since: z.iso.datetime() }).partial();
type About = z.infer<typeof aboutSchema>;

const ABOUT_MAX_BYTES = 1024;
const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;

/** This process as its records tell of it: its host, which command it is, and since when it has the lock. */
export function aboutMyself(now: number): string {
  const [, file = '', word = ''] = process.argv;
  // Further words may hold an address with a key, and everybody may read a record.
  const command = [basename(file).replace(/\.[cm]?js$/, ''), /^[a-z]{1,32}$/.test(word) ? word : '']
    .join(' ')
    .trim();
  return JSON.stringify({ host: hostname(), command, since: new Date(now).toISOString() } satisfies About);
}

/** Writes it into a new record, and closes that. What fails leaves a record without it, which counts all the same. */
export async function writeAbout(record: FileHandle, now: number): Promise<void> {
  try {
    await record.writeFile(aboutMyself(now));
  } catch {
    // The disk is full, for example.
  } finally {
    await record.close();
  }
}

/** Empty for a record of an older version, or one that cannot be read. */
async function aboutIn(path: string): Promise<About> {
  let record: FileHandle | undefined;
  try {
    // Whatever lies there, it is not waited for.
    record = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    const { buffer, bytesRead } = await record.read(Buffer.alloc(ABOUT_MAX_BYTES));
    return aboutSchema.parse(JSON.parse(buffer.toString('utf8', 0, bytesRead)));
  } catch {
    return {};
  } finally {
    await record?.close();
  }
}

/**
 * The holder whose record that is.
 *
 * @param seenAs its pid in the namespace of this process, where that is another one and it is known.
 */
export async function holderInWords(
  record: string,
  owner: Owner,
  self: Owner,
  seenAs: number | undefined,
): Promise<string> {
  const { host, command, since } = await aboutIn(record);
  const isNear = digitsOf(owner.pidNamespace) === digitsOf(self.pidNamespace);
  const place = host === undefined ? (isNear ? '' : ' of another container') : ` on the host "${host}"`;
  const name = command ?? (isNear ? await commandOf(owner.pid) : undefined);
  const more = [
    name === undefined ? '' : `"${name}"`,
    since === undefined ? '' : `since ${since}`,
    // It has other pids outside of its container.
    isNear || seenAs === undefined ? '' : `process ${seenAs} here`,
  ].filter((text) => text !== '');
  return `process ${owner.pid}${place}${more.length === 0 ? '' : ` (${more.join(', ')})`}`;
}

const digitsOf = (text: string): string => text.replaceAll(/\D/g, '');

/** The holder of a kernel lock who has left no record; undefined if it is this process. @param pid as seen from here. */
export async function kernelHolderInWords(pid: number | undefined): Promise<string | undefined> {
  if (pid === undefined || pid === process.pid) {
    return undefined;
  }
  const name = await commandOf(pid);
  return `process ${pid}${name === undefined ? '' : ` ("${name}")`}`;
}

/** The pid, as seen from here, of the process that has the file locked. */
export async function kernelHolder(lockFile: string): Promise<number | undefined> {
  try {
    const { dev, ino } = await stat(lockFile);
    const hex = (part: number): string => part.toString(16).padStart(2, '0');
    const place = `${hex((dev >>> 8) & 0xfff)}:${hex((dev & 0xff) | ((dev >>> 12) & 0xfff00))}:${ino}`;
    return pidIn(await readFile('/proc/locks', 'utf8'), place);
  } catch {
    // Only Linux tells it.
    return undefined;
  }
}

/** The process in `/proc/locks` that holds a flock on a file. @param place `major:minor:inode` */
export function pidIn(locks: string, place: string): number | undefined {
  for (const line of locks.split('\n')) {
    // Whoever waits has an arrow in front.
    const [, kind, , , pid, file] = line.split(/\s+/);
    if (kind === 'FLOCK' && file === place && Number(pid) > 0) {
      return Number(pid);
    }
  }
  return undefined;
}

async function commandOf(pid: number): Promise<string | undefined> {
  try {
    return plain.safeParse((await readFile(`/proc/${pid}/comm`, 'utf8')).trim()).data;
  } catch {
    return undefined;
  }
}
