/** The disk of this machine, through node:fs. */
import { errorCode } from '../../shared/api/fault.ts';
import * as fs from 'node:fs';
import { release } from 'node:os';

import { ifThere } from './disk-fault.ts';
import { isHeldOpen } from './held-open.ts';
import { linuxCalls } from './linux.ts';
import type { Disk, Kind, Stat } from './port.ts';

const { O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = fs.constants;

const HAS_PROC = process.platform === 'linux' && fs.existsSync('/proc/self/fd');

export const nodeDisk: Disk = {
  mkdir: (path, mode) => fs.mkdirSync(path, { mode }),
  create: (path, mode) => fs.openSync(path, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, mode),
  append: (path) => fs.openSync(path, O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_WRONLY),
  open: (path) => fs.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK),
  clone: HAS_PROC ? cloneFile : undefined,
  read: (fd, into) => fs.readSync(fd, into, 0, into.length, null),
  write(fd, bytes) {
    for (let done = 0; done < bytes.length;) {
      done += fs.writeSync(fd, bytes, done, bytes.length - done);
    }
  },
  sync: (fd) => fs.fsyncSync(fd),
  close: (fd) => fs.closeSync(fd),
  rename: (from, to) => fs.renameSync(from, to),
  get exchange() {
    const calls = linuxCalls();
    return typeof calls === 'string' ? undefined : calls.exchange;
  },
  unlink: (path) => fs.unlinkSync(path),
  rmdir: (path) => fs.rmdirSync(path),
  list: (path) =>
    fs.readdirSync(path, { withFileTypes: true }).map((entry) => ({ name: entry.name, kind: kindOf(entry) })),
  stat: (path) => ifThere(() => statOf(fs.lstatSync(path))),
  changedAt: (path) => ifThere(() => fs.lstatSync(path, { bigint: true }).ctimeNs),
  within: (fd) => (HAS_PROC ? `/proc/self/fd/${fd}` : undefined),
  statOpen: (fd) => statOf(fs.fstatSync(fd)),
  chown: (path, uid, gid) => fs.lchownSync(path, uid, gid),
  sameOverlay: (a, b) => isOverlay(a) && isOverlay(b) && mountOf(a) === mountOf(b),
  isHeldOpen: (path) => isHeldOpen(path),
  get syncAll() {
    const calls = linuxCalls();
    return typeof calls === 'string' ? undefined : calls.syncfs;
  },
  canSyncAll: (path) => isRecentLinux() && SYNCFS_KEEPS_ITS_PROMISE.has(fs.statfsSync(path).type),
  spread(path, fd) {
    const calls = linuxCalls();
    if (typeof calls !== 'string' && fs.statfsSync(path).type === EXT_MAGIC) {
      calls.spread(fd);
    }
  },
  space(path) {
    const { bavail, bsize } = fs.statfsSync(path);
    return bavail * bsize;
  },
};

/** A descriptor is opened again by its path in /proc, so no link is followed that was put in its place meanwhile. */
function cloneFile(fd: number, to: string): boolean {
  try {
    const { COPYFILE_EXCL, COPYFILE_FICLONE_FORCE } = fs.constants;
    fs.copyFileSync(`/proc/self/fd/${fd}`, to, COPYFILE_EXCL | COPYFILE_FICLONE_FORCE);
    return true;
  } catch (error) {
    if (MEETS_COPIES_TOO.test(errorCode(error) ?? '')) throw error;
    return false;
  }
}

/**
 * Failures that a copy would meet as well. Any other one means that there are no such copies here: file systems and sandboxes
 * answer with many codes, and NFS with one that has no name.
 */
const MEETS_COPIES_TOO = /^(?:ENOSPC|EDQUOT|EROFS|EIO|EEXIST|EMFILE|ENFILE|ENOMEM)$/;

/** The same disk without syncs: fast, and a power cut may destroy what was written. */
export const withoutSyncs = (disk: Disk): Disk => ({
  ...disk,
  sync: () => undefined,
  syncAll: () => undefined,
  canSyncAll: () => true,
});

const EXT_MAGIC = 0xef_53;

/**
 * ext4, xfs, btrfs and tmpfs, by the magic numbers of statfs. On overlayfs syncfs returned 0 although files were lost.
 * Other file systems were not tested.
 */
const SYNCFS_KEEPS_ITS_PROMISE: ReadonlySet<number> = new Set([
  EXT_MAGIC,
  0x58_46_53_42,
  0x91_23_68_3e,
  0x01_02_19_94,
]);

const OVERLAYFS_MAGIC = 0x79_4c_76_30;

const isOverlay = (path: string): boolean => fs.statfsSync(path).type === OVERLAYFS_MAGIC;

/** The id of the mount that holds a path; for a path that cannot be found, a value that equals no other. */
function mountOf(path: string): string | symbol {
  const fd = fs.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const info = fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
    return /^mnt_id:\s*(\d+)$/m.exec(info)?.[1] ?? Symbol('unknown');
  } catch {
    return Symbol('unknown');
  } finally {
    fs.closeSync(fd);
  }
}

/** Before Linux 5.8 syncfs did not report failed writes. */
function isRecentLinux(): boolean {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  return major > 5 || (major === 5 && minor >= 8);
}

function kindOf(entry: Pick<fs.Stats, 'isFile' | 'isDirectory' | 'isSymbolicLink'>): Kind {
  if (entry.isFile()) {
    return 'file';
  }
  if (entry.isDirectory()) {
    return 'directory';
  }
  return entry.isSymbolicLink() ? 'symlink' : 'other';
}

function statOf(stats: fs.Stats): Stat {
  const { mode, size, uid, gid, dev, ino, mtimeMs, ctimeMs } = stats;
  return { kind: kindOf(stats), mode: mode & 0o7777, size, uid, gid, dev, ino, mtimeMs, ctimeMs };
}
