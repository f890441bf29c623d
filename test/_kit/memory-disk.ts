/**
 * The disk port in memory. memfs lets through what Linux refuses, a rename over a full directory above all; those
 * refusals are restored here, and the contract in test/disk/ is run over both, so that nobody believes the difference.
 */
import type { Stats } from 'node:fs';

import { Volume, createFsFromVolume } from 'memfs';

import type { Disk, Kind, Stat } from '../../agent/disk/port.ts';

const NAME_BYTES = 255;
/** The agent sets it, and so do most machines. */
const UMASK = 0o022;

type Fs = ReturnType<typeof createFsFromVolume>;
type FsStats = Pick<Stats, 'isFile' | 'isDirectory' | 'isSymbolicLink'>;

/** A disk of its own, empty but for `/`; with an exchange if it is to have one. */
export function createMemoryDisk({ exchange = false } = {}): Disk & {
  link: (target: string, path: string) => void;
} {
  const fs = createFsFromVolume(new Volume());
  const { O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_WRONLY } = fs.constants as Record<string, number>;
  const look = new Look(fs);
  /** Which descriptors may do what: memfs does not ask. */
  const writable = new Set<number>();

  return {
    mkdir(path, mode) {
      look.refuse(path, 'mkdir', { absent: true });
      fs.mkdirSync(path, { mode: mode & ~UMASK });
    },
    create(path, mode) {
      look.refuse(path, 'open', { absent: true });
      const flags = (O_CREAT ?? 0) | (O_EXCL ?? 0) | (O_WRONLY ?? 0);
      const fd = fs.openSync(path, flags, mode & ~UMASK);
      writable.add(fd);
      return fd;
    },
    append(path) {
      look.refuse(path, 'open', { present: true });
      if (look.kind(path) === 'symlink') {
        throw refusal('ELOOP', 'open', path);
      }
      if (look.kind(path) === 'directory') {
        throw refusal('EISDIR', 'open', path);
      }
      const fd = fs.openSync(path, (O_APPEND ?? 0) | (O_WRONLY ?? 0));
      writable.add(fd);
      return fd;
    },
    open(path) {
      look.refuse(path, 'open', { present: true });
      if (look.kind(path) === 'symlink') {
        throw refusal('ELOOP', 'open', path);
      }
      return fs.openSync(path, O_RDONLY ?? 0);
    },
    clone: undefined,
    read(fd, into) {
      if (writable.has(fd)) {
        throw refusal('EBADF', 'read', fd);
      }
      if (fs.fstatSync(fd).isDirectory()) {
        throw refusal('EISDIR', 'read', fd);
      }
      return fs.readSync(fd, into, 0, into.length, null);
    },
    write(fd, bytes) {
      if (!writable.has(fd)) {
        throw refusal('EBADF', 'write', fd);
      }
      fs.writeSync(fd, bytes, 0, bytes.length);
    },
    sync: (fd) => fs.fsyncSync(fd),
    close(fd) {
      writable.delete(fd);
      fs.closeSync(fd);
    },
    rename(from, to) {
      look.refuse(from, 'rename', { present: true });
      look.refuse(to, 'rename', {});
      look.refuseRename(from, to);
      if (from === to) {
        return;
      }
      if (look.kind(to) === 'symlink') {
        fs.unlinkSync(to);
      }
      if (look.kind(from) === 'symlink') {
        // memfs would move what the link leads to.
        fs.symlinkSync(String(fs.readlinkSync(from)), to);
        fs.unlinkSync(from);
      } else {
        fs.renameSync(from, to);
      }
    },
    exchange: exchange ? (a, b) => exchangeIn(fs, look, a, b) : undefined,
    syncAll: undefined,
    canSyncAll: () => false,
    unlink(path) {
      look.refuse(path, 'unlink', { present: true });
      if (look.kind(path) === 'directory') {
        throw refusal('EISDIR', 'unlink', path);
      }
      fs.unlinkSync(path);
    },
    rmdir(path) {
      look.refuse(path, 'rmdir', { present: true, directory: true });
      if (fs.readdirSync(path).length > 0) {
        throw refusal('ENOTEMPTY', 'rmdir', path);
      }
      fs.rmdirSync(path);
    },
    list(path) {
      look.refuse(path, 'scandir', { present: true, directory: true });
      const names = fs.readdirSync(path).map(String);
      return names.map((name) => ({ name, kind: look.kind(`${path}/${name}`) ?? 'other' }));
    },
    stat(path) {
      look.refuse(path, 'lstat', {}, 'absent');
      return look.kind(path) === undefined ? undefined : statOf(fs.lstatSync(path));
    },
    changedAt: (path) =>
      look.kind(path) === undefined ? undefined : fs.lstatSync(path, { bigint: true }).ctimeNs,
    statOpen: (fd) => statOf(fs.fstatSync(fd)),
    chown(path, uid, gid) {
      look.refuse(path, 'chown', { present: true });
      fs.lchownSync(path, uid, gid);
    },
    space: () => 1024 ** 3,
    sameOverlay: () => false,
    within: () => undefined,
    isHeldOpen: () => false,
    spread: () => undefined,
    /** Only tests make links. */
    link: (target, path) => fs.symlinkSync(target, path),
  };
}

type Wanted = { present?: boolean; absent?: boolean; directory?: boolean };

/** Looks at paths as the kernel walks them, name by name. */
class Look {
  readonly #fs: Fs;

  constructor(fs: Fs) {
    this.#fs = fs;
  }

  kind(path: string): Kind | undefined {
    try {
      return kindOf(this.#fs.lstatSync(path));
    } catch {
      return undefined;
    }
  }

  /** Throws what Linux throws for a path that cannot be walked, is too long, is there or is not. */
  refuse(path: string, call: string, wanted: Wanted, missingParent: 'throws' | 'absent' = 'throws'): void {
    const names = path.split('/').filter((name) => name !== '');
    if (names.some((name) => Buffer.byteLength(name) > NAME_BYTES)) {
      throw refusal('ENAMETOOLONG', call, path);
    }
    for (let i = 1; i < names.length; i += 1) {
      const above = this.#behind(`/${names.slice(0, i).join('/')}`);
      if (above === undefined && missingParent === 'throws') {
        throw refusal('ENOENT', call, path);
      }
      if (above !== undefined && above !== 'directory') {
        throw refusal('ENOTDIR', call, path);
      }
    }
    const kind = this.kind(path);
    if (wanted.absent === true && kind !== undefined) {
      throw refusal('EEXIST', call, path);
    }
    if (wanted.present === true && kind === undefined) {
      throw refusal('ENOENT', call, path);
    }
    if (wanted.directory === true && kind !== 'directory') {
      throw refusal('ENOTDIR', call, path);
    }
  }

  refuseRename(from: string, to: string): void {
    const [moved, there] = [this.kind(from), this.kind(to)];
    if (moved === 'directory' && to.startsWith(`${from}/`)) {
      throw refusal('EINVAL', 'rename', from);
    }
    if (from.startsWith(`${to}/`)) {
      throw refusal('ENOTEMPTY', 'rename', from);
    }
    if (there === undefined || from === to) {
      return;
    }
    if (moved === 'directory' && there !== 'directory') {
      throw refusal('ENOTDIR', 'rename', from);
    }
    if (moved !== 'directory' && there === 'directory') {
      throw refusal('EISDIR', 'rename', from);
    }
    if (there === 'directory' && this.#fs.readdirSync(to).length > 0) {
      throw refusal('ENOTEMPTY', 'rename', from);
    }
  }

  /** Of what a name leads to, links followed. */
  #behind(path: string): Kind | undefined {
    try {
      return kindOf(this.#fs.statSync(path));
    } catch {
      return undefined;
    }
  }
}

function refusal(code: string, call: string, path: string | number): Error {
  return Object.assign(new Error(`${code}: ${call} "${path}"`), { code });
}

function kindOf(stats: FsStats): Kind {
  if (stats.isFile()) {
    return 'file';
  }
  if (stats.isDirectory()) {
    return 'directory';
  }
  return stats.isSymbolicLink() ? 'symlink' : 'other';
}

function statOf(stats: FsStats): Stat {
  const { mode, size, uid, gid, dev, ino, mtimeMs, ctimeMs } = stats as unknown as Record<keyof Stat, number>;
  return { kind: kindOf(stats), mode: mode & 0o7777, size, uid, gid, dev, ino, mtimeMs, ctimeMs };
}

/** In one call, so that nothing that fails beside it can come in between. */
function exchangeIn(fs: Fs, look: Look, a: string, b: string): void {
  look.refuse(a, 'renameat2', { present: true });
  look.refuse(b, 'renameat2', { present: true });
  const aside = `${a}.exchange`;
  fs.renameSync(a, aside);
  fs.renameSync(b, a);
  fs.renameSync(aside, b);
}
