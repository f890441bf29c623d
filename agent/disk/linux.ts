/**
 * System calls of Linux that Node lacks: renameat2 with RENAME_EXCHANGE, syncfs, flock and a flag of ext4. They are called in libc
 * through koffi, which is optional. Without it swaps are plain renames, every file is synced on its own, and locks are
 * records of their holders.
 */
import { createRequire } from 'node:module';

/** Each call throws an error with `code` and `syscall`, like those of node:fs. */
type LinuxCalls = {
  /** Exchanges two paths of one file system atomically: neither is ever absent. */
  exchange: (a: string, b: string) => void;
  /**
   * Writes everything of the file system that holds `fd` to the disk. A failure is reported only once, so do not call it
   * again after one.
   */
  syncfs: (fd: number) => void;
  /**
   * Lets ext4 put each new directory in an open directory where there is room, and not beside the others (its flag T of
   * chattr). Does nothing if it is so already.
   */
  spread: (fd: number) => void;
  /** Locks an open file, without waiting, until it is closed. @returns false if another process holds the lock. */
  tryLock: (fd: number) => Promise<boolean>;
};

const AT_FDCWD = -100;
const RENAME_EXCHANGE = 2;
const LOCK_EX_NB = 2 | 4;
/** The requests as the tables of ext4 name them, with the size of a `long`. The kernel reads and writes an `int`. */
const FS_IOC_GETFLAGS = 0x80_08_66_01;
const FS_IOC_SETFLAGS = 0x40_08_66_02;
const EXT4_TOPDIR_FL = 0x2_00_00;

/** The part of koffi that is used. It is loaded by name at run time, so that an image without it still starts. */
type Koffi = Pick<typeof import('koffi'), 'load' | 'errno' | 'os'>;

let loaded: LinuxCalls | string | undefined;

/** The calls, or why they are not available. Loaded at the first call. */
export function linuxCalls(): LinuxCalls | string {
  loaded ??= load();
  return loaded;
}

function load(): LinuxCalls | string {
  if (process.platform !== 'linux') {
    return `${process.platform} does not have these calls`;
  }
  try {
    return bind();
  } catch (error) {
    return `koffi cannot be used: ${error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)}`;
  }
}

function bind(): LinuxCalls {
  const koffi = createRequire(import.meta.url)('koffi') as Koffi;
  // The process itself is linked with libc, glibc or musl.
  const libc = koffi.load(null);
  const call = (definition: string): ((...values: unknown[]) => number) => {
    const bound = libc.func(definition);
    return (...values) => Number(bound(...values));
  };
  const renameat2 = call('int renameat2(int, const char *, int, const char *, unsigned int)');
  const syncfs = call('int syncfs(int)');
  const ioctl = call('int ioctl(int, unsigned long, void *)');
  const flock = libc.func('int flock(int, int)');
  const names = new Map(Object.entries(koffi.os.errno).map(([name, number]) => [number, name]));
  const failure = (syscall: string, detail: string): Error & { code: string } => {
    const errno = koffi.errno();
    const code = names.get(errno) ?? `E${errno}`;
    return Object.assign(new Error(`${code}: ${syscall} ${detail}`), { code, errno, syscall });
  };
  /** On a network file system the call may take long. The error number is valid only during the callback. */
  const lock = (fd: number): Promise<ReturnType<typeof failure> | undefined> =>
    new Promise((resolve, reject) => {
      flock.async(fd, LOCK_EX_NB, (error: Error | null, result: number) => {
        if (error === null) {
          resolve(result === 0 ? undefined : failure('flock', String(fd)));
        } else {
          reject(error);
        }
      });
    });
  return {
    exchange(a, b) {
      if (renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) !== 0) {
        throw failure('renameat2', `'${a}' <-> '${b}'`);
      }
    },
    syncfs(fd) {
      if (syncfs(fd) !== 0) {
        throw failure('syncfs', String(fd));
      }
    },
    spread(fd) {
      const flags = Buffer.alloc(8);
      if (ioctl(fd, FS_IOC_GETFLAGS, flags) !== 0) {
        throw failure('ioctl', `FS_IOC_GETFLAGS ${fd}`);
      }
      const before = flags.readUInt32LE();
      flags.writeUInt32LE((before | EXT4_TOPDIR_FL) >>> 0);
      if ((before & EXT4_TOPDIR_FL) === 0 && ioctl(fd, FS_IOC_SETFLAGS, flags) !== 0) {
        throw failure('ioctl', `FS_IOC_SETFLAGS ${fd}`);
      }
    },
    async tryLock(fd) {
      for (;;) {
        const error = await lock(fd);
        if (error === undefined) {
          return true;
        }
        if (error.code === 'EAGAIN' || error.code === 'EWOULDBLOCK') {
          return false;
        }
        if (error.code !== 'EINTR') {
          throw error;
        }
      }
    },
  };
}
