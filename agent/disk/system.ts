/** What the system says about itself and about places on the disk, for whoever has to explain a root. */
import { accessSync, constants, lstatSync, readFileSync, realpathSync, statfsSync, watch } from 'node:fs';

import { errorCode } from '../../shared/api/fault.ts';
import { attempt } from '../../shared/attempt.ts';
import { linuxCalls } from './linux.ts';

/** A line of `/proc/self/mountinfo`. */
export type SystemMount = {
  /** Where it is mounted. */
  point: string;
  /** The kind of file system, such as `ext4`. */
  kind: string;
  /** The options of the file system. */
  options: readonly string[];
};

/** What is left on a file system. Inodes: undefined where it does not count them. */
export type SystemSpace = { free: number; inodes: number | undefined };

/** A port, so that tests can say what no test machine has. Each call throws the errors of the system. */
export type System = {
  platform: NodeJS.Platform;
  /** The version of Node, such as `v20.19.0`. */
  node: string;
  /** The user of this process; undefined: the system has none. */
  uid: number | undefined;
  /** Why the calls of `linux.ts` cannot be had; undefined: they can. */
  callsMissing(): string | undefined;
  /** The mounts that this process sees, the last one on top; empty where the system does not say it. */
  mounts(): readonly SystemMount[];
  /** The path without links. */
  real(path: string): string;
  /** When an entry was made (nanoseconds since the epoch); undefined where the file system does not say it. */
  bornAt(path: string): bigint | undefined;
  mayWrite(path: string): boolean;
  space(path: string): SystemSpace;
  /** Watches a directory and stops at once. @returns the code of the failure, such as ENOSPC; undefined: it works. */
  tryWatch(path: string): string | undefined;
  /** How many file watches a user may have; undefined where the system does not say it. */
  watchLimit(): number | undefined;
};

export const thisSystem: System = {
  platform: process.platform,
  node: process.version,
  uid: process.getuid?.(),
  callsMissing() {
    const calls = linuxCalls();
    return typeof calls === 'string' ? calls : undefined;
  },
  mounts: () => readMounts(attempt(() => readFileSync('/proc/self/mountinfo', 'utf8')) ?? ''),
  real: (path) => realpathSync(path),
  bornAt(path) {
    const { birthtimeNs } = lstatSync(path, { bigint: true });
    // Node gives 1970 where there is no time of birth.
    return birthtimeNs === 0n ? undefined : birthtimeNs;
  },
  mayWrite: (path) =>
    attempt(
      () => {
        accessSync(path, constants.W_OK | constants.X_OK);
        return true;
      },
      () => false,
    ),
  space(path) {
    const { bavail, bsize, files, ffree } = statfsSync(path);
    return { free: bavail * bsize, inodes: files === 0 ? undefined : ffree };
  },
  tryWatch(path) {
    try {
      watch(path, { persistent: false }).close();
      return undefined;
    } catch (error) {
      return errorCode(error) ?? String(error);
    }
  },
  watchLimit() {
    const text = attempt(() => readFileSync('/proc/sys/fs/inotify/max_user_watches', 'utf8'));
    return text === undefined ? undefined : Number(text);
  },
};

/** Reads `/proc/self/mountinfo`. The kernel writes spaces and the like in octal. */
export const readMounts = (text: string): SystemMount[] =>
  text.split('\n').flatMap((line) => {
    const [before = '', after = ''] = line.split(' - ');
    const point = before.split(' ')[4];
    const [kind = '', , options = ''] = after.split(' ');
    return point === undefined
      ? []
      : [{ point: plainPath(point), kind, options: options.split(',').map(plainPath) }];
  });

const plainPath = (text: string): string =>
  text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));

/** The mount that holds a path without links; undefined if that is not known. */
export function mountOf(mounts: readonly SystemMount[], path: string): SystemMount | undefined {
  const holding = mounts.filter(({ point }) => isWithin(path, point));
  const deepest = Math.max(0, ...holding.map(({ point }) => point.length));
  return holding.findLast(({ point }) => point.length === deepest);
}

/** The mounts below a path without links, by their paths relative to it. */
export const mountsBelow = (mounts: readonly SystemMount[], path: string): string[] => [
  ...new Set(
    mounts
      .filter(({ point }) => point !== path && isWithin(point, path))
      .map(({ point }) => point.slice(path === '/' ? 1 : path.length + 1)),
  ),
];

const isWithin = (path: string, top: string): boolean =>
  path === top || path.startsWith(top === '/' ? '/' : `${top}/`);
