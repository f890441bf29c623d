/**
 * The disk as Airlock needs it: a few synchronous calls. Each either did what it says or threw an error with the `code`
 * of the system call (ENOENT, ENOSPC …). They run in worker threads, so they block no socket.
 */

export type Kind = 'file' | 'directory' | 'symlink' | 'other';

/** The stats of the entry itself; links are never followed. */
export type Stat = {
  kind: Kind;
  /** Permission bits, with setuid, setgid and sticky. */
  mode: number;
  size: number;
  uid: number;
  gid: number;
  dev: number;
  ino: number;
  mtimeMs: number;
  /** When the entry last changed, which nobody can set; 0 if the disk does not know. */
  ctimeMs: number;
};

export type Disk = {
  /** Makes one directory. Throws EEXIST if anything is there. */
  mkdir(path: string, mode: number): void;
  /** Makes a file that was not there, for writing (O_CREAT|O_EXCL|O_NOFOLLOW). */
  create(path: string, mode: number): number;
  /** Opens a file that is there, for writing at its end (O_APPEND|O_NOFOLLOW|O_NONBLOCK). It makes none: ENOENT. */
  append(path: string): number;
  /** Opens a file or directory for reading (O_NOFOLLOW|O_NONBLOCK). It does not follow a link or wait at a FIFO. */
  open(path: string): number;
  /**
   * Makes a file that was not there, with the content and mode of an open file, that shares its data until one of both is
   * changed. Undefined: this system has no such call.
   *
   * @returns false if the file system cannot; then nothing was made.
   */
  readonly clone: ((fd: number, to: string) => boolean) | undefined;
  /** Reads from the current position; 0 at the end. */
  read(fd: number, into: Uint8Array): number;
  /** Writes all bytes. */
  write(fd: number, bytes: Uint8Array): void;
  /** Returns when the data written through this descriptor, or the names in this directory, are durable. */
  sync(fd: number): void;
  close(fd: number): void;
  /** Renames. A directory replaces only an empty directory. */
  rename(from: string, to: string): void;
  /** Exchanges two entries: neither is ever absent. Undefined if this system has no such call. */
  readonly exchange: ((a: string, b: string) => void) | undefined;
  unlink(path: string): void;
  rmdir(path: string): void;
  list(path: string): { name: string; kind: Kind }[];
  /** Undefined if there is no entry. */
  stat(path: string): Stat | undefined;
  /**
   * When an entry last changed (its ctime, nanoseconds since the epoch), which nobody can set. Undefined if there is no
   * entry.
   */
  changedAt(path: string): bigint | undefined;
  /**
   * A path to an open directory, whatever its name holds by now. Undefined if this system has none: then only the name
   * remains.
   */
  within(fd: number): string | undefined;
  /** The stats of an open descriptor. */
  statOpen(fd: number): Stat;
  chown(path: string, uid: number, gid: number): void;
  /**
   * Whether both paths are in one mount of an overlay file system. Only then EXDEV means that a directory is in a lower
   * layer, so that its content can be copied up and the directory removed.
   */
  sameOverlay(a: string, b: string): boolean;
  /** Whether a visible process has an open file or its working directory at or below the path. */
  isHeldOpen(path: string): boolean;
  /** The bytes that may still be written below the path. */
  space(path: string): number;
  /**
   * Makes everything durable that was written to the file system of an open descriptor. Undefined if this system has no
   * such call. A failure is reported only once, so it is final.
   */
  readonly syncAll: ((fd: number) => void) | undefined;
  /**
   * Asks the file system to put new trees in an open directory apart from each other. ext4 searches all inodes that were
   * removed in the last minutes beside a new one, so a tree that is written where one was removed takes several times as
   * long. Does nothing elsewhere. @param path of the directory.
   */
  spread(path: string, fd: number): void;
  /** Whether {@link Disk.syncAll} alone is enough on the file system that holds the path. */
  canSyncAll(path: string): boolean;
};
