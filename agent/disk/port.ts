/**
 * The disk as Airlock needs it: few calls, all synchronous, each of which either did what it says or threw an error
 * with the `code` of the system call (ENOENT, ENOSPC …). They run in worker threads, so nothing here blocks a socket.
 */

export type Kind = 'file' | 'directory' | 'symlink' | 'other';

/** Of the entry itself; links are never followed. */
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
};

export type Disk = {
  /** Makes one directory. Throws EEXIST if anything is there. */
  mkdir(path: string, mode: number): void;
  /** Makes a file that was not there, for writing (O_CREAT|O_EXCL|O_NOFOLLOW). */
  create(path: string, mode: number): number;
  /** Opens a file or directory for reading (O_NOFOLLOW|O_NONBLOCK): neither a link nor a FIFO holds it up. */
  open(path: string): number;
  /** Reads from the current position; 0 at the end. */
  read(fd: number, into: Uint8Array): number;
  /** Writes all of it. */
  write(fd: number, bytes: Uint8Array): void;
  /** Returns when what was written through this descriptor, or the names in this directory, are durable. */
  sync(fd: number): void;
  close(fd: number): void;
  /** Renames. A directory replaces only an empty directory. */
  rename(from: string, to: string): void;
  /** Two entries change places: at no instant is one of them absent. Undefined where this system has no such call. */
  readonly exchange: ((a: string, b: string) => void) | undefined;
  unlink(path: string): void;
  rmdir(path: string): void;
  list(path: string): { name: string; kind: Kind }[];
  /** Undefined if there is nothing. */
  stat(path: string): Stat | undefined;
  /**
   * When an entry last changed, by the time that nobody can set (ctime, nanoseconds since the epoch). Undefined if there is
   * nothing.
   */
  changedAt(path: string): bigint | undefined;
  /**
   * A path to what is open, whatever lies under its name by now. Undefined where this system has none: then the name is
   * all there is.
   */
  within(fd: number): string | undefined;
  /** Of an open descriptor: what was really opened. */
  statOpen(fd: number): Stat;
  chown(path: string, uid: number, gid: number): void;
  /**
   * Whether both paths lie in one mount of an overlay file system. Only then does EXDEV say that a directory comes from
   * a lower layer, and that its content can be copied up and the directory cleared away.
   */
  sameOverlay(a: string, b: string): boolean;
  /** Whether a process that can be seen from here has something at or below the path open, or stands in it. */
  isHeldOpen(path: string): boolean;
  /** Bytes that may still be written below the path. */
  space(path: string): number;
  /**
   * Makes everything durable that was written to the file system of an open descriptor. Undefined where this system
   * has no such call. A failure is told once and never again, so it is final.
   */
  readonly syncAll: ((fd: number) => void) | undefined;
  /** Whether {@link Disk.syncAll} alone keeps its promise on the file system that holds the path. */
  canSyncAll(path: string): boolean;
};
