/** A disk whose calls are counted and fail when the test says so. */
import type { Disk } from '../../agent/disk/port.ts';

export type CallKind = keyof Disk;

/** One call: its number from 1, what it was, and the path (of a descriptor: the path that it was opened by). */
export type Call = { n: number; kind: CallKind; path: string; to: string };

/** Answers the code that a call fails with, or undefined to let it through. */
export type Rule = (call: Call) => string | undefined;

export const never: Rule = () => undefined;

/** The n-th call fails, all others work: a fault that goes by. */
export const failOnce =
  (n: number, code: string): Rule =>
  (call) =>
    call.n === n ? code : undefined;

/** Every call from the n-th on fails: for the disk, that is how a killed process looks. */
export const crashAt =
  (n: number): Rule =>
  (call) =>
    call.n >= n ? 'ECRASHED' : undefined;

/** Every call of some kinds fails from the n-th call on: a disk that has become full, or takes no more syncs. */
export const failFrom =
  (n: number, code: string, kinds: readonly CallKind[]): Rule =>
  (call) =>
    call.n >= n && kinds.includes(call.kind) ? code : undefined;

export class FaultyDisk {
  /** Hand this to whom is to suffer. */
  readonly disk: Disk;
  readonly #real: Disk;
  readonly #open = new Map<number, string>();
  calls: Call[] = [];
  /** The calls that were made to fail. */
  failed: Call[] = [];
  rule: Rule = never;

  constructor(real: Disk) {
    this.#real = real;
    this.disk = this.#wrap();
  }

  /** Descriptors that were opened and not closed, by their paths. */
  get leaked(): string[] {
    return [...this.#open.values()];
  }

  /** Forgets what was counted and sets what is to fail from now on. */
  arm(rule: Rule): void {
    this.calls = [];
    this.failed = [];
    this.rule = rule;
  }

  /** What is reached through an open descriptor, by the name that it was opened by. */
  #named(path: string): string {
    const [, fd, below = ''] = /^\/proc\/self\/fd\/(\d+)(.*)$/.exec(path) ?? [];
    const opened = fd === undefined ? undefined : this.#open.get(Number(fd));
    return opened === undefined ? path : `${this.#named(opened)}${below}`;
  }

  count(kind: CallKind): number {
    return this.calls.filter((call) => call.kind === kind).length;
  }

  #call<T>(kind: CallKind, path: string, run: () => T, to = ''): T {
    const call = { n: this.calls.length + 1, kind, path: this.#named(path), to };
    this.calls.push(call);
    const code = this.rule(call);
    if (code === undefined) {
      return run();
    }
    this.failed.push(call);
    throw Object.assign(new Error(`${code}: made to fail, ${kind} "${path}"`), { code });
  }

  #ofOpen<T>(kind: CallKind, fd: number, run: () => T): T {
    return this.#call(kind, this.#open.get(fd) ?? `descriptor ${fd}`, run);
  }

  #opening(kind: 'open' | 'create' | 'append', path: string, run: () => number): number {
    const fd = this.#call(kind, path, run);
    this.#open.set(fd, path);
    return fd;
  }

  #wrap(): Disk {
    const real = this.#real;
    return {
      mkdir: (path, mode) => this.#call('mkdir', path, () => real.mkdir(path, mode)),
      create: (path, mode) => this.#opening('create', path, () => real.create(path, mode)),
      append: (path) => this.#opening('append', path, () => real.append(path)),
      open: (path) => this.#opening('open', path, () => real.open(path)),
      clone: this.#clone(),
      read: (fd, into) => this.#ofOpen('read', fd, () => real.read(fd, into)),
      write: (fd, bytes) => this.#write(fd, bytes),
      sync: (fd) => this.#ofOpen('sync', fd, () => real.sync(fd)),
      close: (fd) => this.#close(fd),
      rename: (from, to) => this.#call('rename', from, () => real.rename(from, to), to),
      unlink: (path) => this.#call('unlink', path, () => real.unlink(path)),
      rmdir: (path) => this.#call('rmdir', path, () => real.rmdir(path)),
      list: (path) => this.#call('list', path, () => real.list(path)),
      stat: (path) => this.#call('stat', path, () => real.stat(path)),
      changedAt: (path) => this.#call('stat', path, () => real.changedAt(path)),
      statOpen: (fd) => this.#ofOpen('statOpen', fd, () => real.statOpen(fd)),
      chown: (path, uid, gid) => this.#call('chown', path, () => real.chown(path, uid, gid)),
      sameOverlay: (a, b) => real.sameOverlay(a, b),
      within: (fd) => real.within(fd),
      isHeldOpen: (path) => real.isHeldOpen(path),
      spread: (path, fd) => real.spread(path, fd),
      space: (path) => this.#call('space', path, () => real.space(path)),
      exchange: this.#exchange(),
      syncAll: this.#syncAll(),
      canSyncAll: (path) => real.canSyncAll(path),
    };
  }

  #clone(): Disk['clone'] {
    const { clone } = this.#real;
    return clone && ((fd, to) => this.#call('clone', to, () => clone(fd, to)));
  }

  #exchange(): Disk['exchange'] {
    const { exchange } = this.#real;
    return exchange && ((a, b) => this.#call('exchange', a, () => exchange(a, b), b));
  }

  #syncAll(): Disk['syncAll'] {
    const { syncAll } = this.#real;
    return syncAll && ((fd) => this.#ofOpen('syncAll', fd, () => syncAll(fd)));
  }

  /** A write that fails has written half: that is what a full disk does. */
  #write(fd: number, bytes: Uint8Array): void {
    try {
      this.#ofOpen('write', fd, () => this.#real.write(fd, bytes));
    } catch (error) {
      if (this.failed.at(-1)?.n === this.calls.length) {
        this.#real.write(fd, bytes.subarray(0, bytes.length / 2));
      }
      throw error;
    }
  }

  /** A close that fails has closed, as on Linux: the test must not run out of descriptors either. */
  #close(fd: number): void {
    const path = this.#open.get(fd) ?? `descriptor ${fd}`;
    this.#open.delete(fd);
    this.#real.close(fd);
    this.#call('close', path, () => undefined);
  }
}
