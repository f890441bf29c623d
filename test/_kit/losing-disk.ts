/**
 * The disk port in memory that knows what was synced, and can be cut at any step: a power cut gives a fresh disk with what
 * is durable and with some of the rest. It refuses what Linux refuses; the contract in test/disk/ is run over it as well.
 */
import { errorCode } from '../../shared/api/fault.ts';
import { dirname, resolve } from 'node:path/posix';

import type { Disk, Stat } from '../../agent/disk/port.ts';
import {
  type Fate,
  type Image,
  type Node,
  type Op,
  type Place,
  ROOT,
  type Step,
  type Traced,
  apply,
  copyImage,
  makeNode,
  reduce,
  trace,
} from './losing-image.ts';

export type LosingOptions = {
  exchange: boolean;
  /** Whether there is a sync of everything at once that keeps its promise. */
  syncAll: boolean;
  /** Whether it is an overlay, in which a tree may lie in a lower layer: see {@link LosingDisk.lower}. */
  overlay: boolean;
  /** The syncs that do nothing, for tests that must then find something broken. */
  forgets: 'nothing' | 'files' | 'directories' | 'everything at once';
};

const NAME_BYTES = 255;
const LINKS_MAX = 40;

type Open = { node: Node; at: number; writable: boolean };
/** Where a path leads: the place of its last name, and what is there. */
type Found = { place: Place; node: Node | undefined };

export class LosingDisk {
  readonly disk: Disk;
  readonly #options: LosingOptions;
  readonly #base: Image;
  readonly #image: Image;
  readonly #open = new Map<number, Open>();
  #nextFd = 3;
  #nextIno: number;
  /** All that was done since the disk was made, syncs among it. */
  readonly steps: Step[] = [];

  constructor(options: Partial<LosingOptions> = {}, image?: Image) {
    this.#options = { exchange: false, syncAll: false, overlay: false, forgets: 'nothing', ...options };
    this.#base = image ?? new Map([[ROOT, makeNode(ROOT, 'directory', 0o755)]]);
    this.#image = copyImage(this.#base);
    this.#nextIno = Math.max(...this.#base.keys()) + 1;
    this.disk = this.#make();
  }

  /** A disk with all that is on this one, all of it durable. */
  fork(options: Partial<LosingOptions> = {}): LosingDisk {
    return new LosingDisk({ ...this.#options, ...options }, copyImage(this.#image));
  }

  /** What was done in the first so many steps, each with what it lacks to be durable. */
  trace(steps = this.steps.length): Traced[] {
    return trace(this.steps.slice(0, steps));
  }

  /** The disk as it comes up again after a cut. @param traced of {@link trace} */
  truncate(traced: readonly Traced[], fateOf: (index: number) => Fate): LosingDisk {
    return new LosingDisk(this.#options, reduce(this.#base, traced, fateOf));
  }

  /** The disk as the next process finds it when the one before was killed after so many steps: nothing is lost yet. */
  killed(steps: number): LosingDisk {
    const disk = new LosingDisk(this.#options, this.#base);
    for (const step of this.steps.slice(0, steps)) {
      if (step.do !== 'sync') apply(disk.#image, step);
      disk.steps.push(step);
    }
    disk.#nextIno = this.#nextIno;
    return disk;
  }

  /** Everything below a path: kind, mode, owner, and of files the bytes. A missing path is an empty picture. */
  picture(path: string): Record<string, string> {
    const picture: Record<string, string> = {};
    const visit = (node: Node | undefined, below: string): void => {
      if (node === undefined) return;
      const { kind, mode, uid, gid, bytes, entries } = node;
      picture[below] = `${kind} ${mode.toString(8)} ${uid}:${gid} ${bytes.toString('latin1')}`;
      for (const name of [...entries.keys()].toSorted()) {
        visit(this.#image.get(entries.get(name) ?? 0), `${below}/${name}`);
      }
    };
    if (this.#stat(path) !== undefined) visit(this.#present(path, 'picture').node, '');
    return picture;
  }

  /** Only tests make links. */
  link(target: string, path: string): void {
    this.#create(path, 'symlink', 0o777, target);
  }

  /** Puts a tree into a lower layer of an overlay, as one that came with the image. */
  lower(path: string): void {
    const mark = (node: Node | undefined): void => {
      if (node?.kind !== 'directory') return;
      for (const below of node.entries.values()) mark(this.#image.get(below));
      node.lower = true;
    };
    mark(this.#present(path, 'lower').node);
  }

  #make(): Disk {
    const { exchange, syncAll, overlay } = this.#options;
    return {
      clone: undefined,
      mkdir: (path, mode) => void this.#create(path, 'directory', mode, ''),
      create: (path, mode) => this.#opened(this.#create(path, 'file', mode, ''), true),
      append: (path) => {
        const node = this.#openable(path);
        if (node.kind === 'directory') throw refusal('EISDIR', 'open', path);
        return this.#opened(node, true, node.bytes.length);
      },
      open: (path) => this.#opened(this.#openable(path), false),
      read: (fd, into) => this.#read(fd, into),
      write: (fd, bytes) => this.#write(fd, bytes),
      sync: (fd) => this.#sync(this.#descriptor(fd, 'fsync').node),
      close: (fd) => {
        this.#descriptor(fd, 'close');
        this.#open.delete(fd);
      },
      rename: (from, to) => this.#rename(from, to),
      exchange: exchange ? (a, b) => this.#exchange(a, b) : undefined,
      unlink: (path) => this.#remove(path, 'unlink'),
      rmdir: (path) => this.#remove(path, 'rmdir'),
      list: (path) => this.#list(path),
      stat: (path) => this.#stat(path),
      changedAt: (path) => (this.#stat(path) === undefined ? undefined : 0n),
      statOpen: (fd) => statOf(this.#descriptor(fd, 'fstat').node),
      chown: (path, uid, gid) => {
        const { node } = this.#present(path, 'chown');
        this.#do({ do: 'own', ino: node.ino, uid, gid });
      },
      space: () => 1024 ** 3,
      sameOverlay: () => overlay,
      within: () => undefined,
      isHeldOpen: () => false,
      spread: () => undefined,
      syncAll: syncAll ? (fd) => this.#syncAll(fd) : undefined,
      canSyncAll: () => syncAll,
    };
  }

  #do(op: Op): void {
    apply(this.#image, op);
    this.steps.push(op);
  }

  #sync(node: Node): void {
    const { forgets } = this.#options;
    if (forgets !== (node.kind === 'directory' ? 'directories' : 'files')) {
      this.steps.push({ do: 'sync', ino: node.ino });
    }
  }

  #syncAll(fd: number): void {
    this.#descriptor(fd, 'syncfs');
    if (this.#options.forgets !== 'everything at once') {
      this.steps.push({ do: 'sync', ino: 'all' });
    }
  }

  /** Walks a path as the kernel does: links are followed but for the last name. */
  #find(path: string, call: string, links = 0): Found {
    const names = path.split('/').filter((name) => name !== '');
    const last = names.pop() ?? '.';
    const above =
      names.length === 0 ? this.#image.get(ROOT) : this.#behind(`/${names.join('/')}`, call, links);
    if (above === undefined) throw refusal('ENOENT', call, path);
    if (above.kind !== 'directory') throw refusal('ENOTDIR', call, path);
    if (Buffer.byteLength(last) > NAME_BYTES) throw refusal('ENAMETOOLONG', call, path);
    const node = last === '.' ? above : this.#image.get(above.entries.get(last) ?? 0);
    return { place: { dir: above.ino, name: last }, node };
  }

  /** What a path leads to, its last name included if that is a link. */
  #behind(path: string, call: string, links: number): Node | undefined {
    const { node } = this.#find(path, call, links);
    if (node?.kind !== 'symlink') return node;
    if (links >= LINKS_MAX) throw refusal('ELOOP', call, path);
    return this.#behind(resolve(dirname(path), node.target), call, links + 1);
  }

  #present(path: string, call: string): { place: Place; node: Node } {
    const { place, node } = this.#find(path, call);
    if (node === undefined) throw refusal('ENOENT', call, path);
    return { place, node };
  }

  #create(path: string, kind: Node['kind'], mode: number, target: string): Node {
    const call = kind === 'directory' ? 'mkdir' : 'open';
    const { place, node } = this.#find(path, call);
    if (node !== undefined) throw refusal('EEXIST', call, path);
    const ino = this.#nextIno;
    this.#nextIno += 1;
    this.#do({ do: 'make', at: place, ino, kind, mode, target });
    return this.#present(path, call).node;
  }

  #openable(path: string): Node {
    const { node } = this.#present(path, 'open');
    if (node.kind === 'symlink') throw refusal('ELOOP', 'open', path);
    return node;
  }

  #opened(node: Node, writable: boolean, at = 0): number {
    const fd = this.#nextFd;
    this.#nextFd += 1;
    this.#open.set(fd, { node, at, writable });
    return fd;
  }

  #descriptor(fd: number, call: string): Open {
    const open = this.#open.get(fd);
    if (open === undefined) throw refusal('EBADF', call, String(fd));
    return open;
  }

  #read(fd: number, into: Uint8Array): number {
    const open = this.#descriptor(fd, 'read');
    if (open.writable) throw refusal('EBADF', 'read', String(fd));
    if (open.node.kind === 'directory') throw refusal('EISDIR', 'read', String(fd));
    const piece = open.node.bytes.subarray(open.at, open.at + into.length);
    into.set(piece);
    open.at += piece.length;
    return piece.length;
  }

  #write(fd: number, bytes: Uint8Array): void {
    const open = this.#descriptor(fd, 'write');
    if (!open.writable) throw refusal('EBADF', 'write', String(fd));
    this.#do({ do: 'write', ino: open.node.ino, offset: open.at, bytes: Buffer.from(bytes) });
    open.at += bytes.length;
  }

  #rename(from: string, to: string): void {
    const moved = this.#present(from, 'rename');
    const there = this.#find(to, 'rename');
    const { node } = moved;
    const isDirectory = node.kind === 'directory';
    if (there.node?.ino === node.ino) return;
    if (isDirectory && to.startsWith(`${from}/`)) throw refusal('EINVAL', 'rename', from);
    if (from.startsWith(`${to}/`)) throw refusal('ENOTEMPTY', 'rename', from);
    if (node.lower) throw refusal('EXDEV', 'rename', from);
    if (there.node !== undefined) {
      if (isDirectory && there.node.kind !== 'directory') throw refusal('ENOTDIR', 'rename', from);
      if (!isDirectory && there.node.kind === 'directory') throw refusal('EISDIR', 'rename', from);
      if (there.node.entries.size > 0) throw refusal('ENOTEMPTY', 'rename', from);
    }
    this.#do({ do: 'rename', from: moved.place, to: there.place, ino: node.ino });
  }

  #exchange(a: string, b: string): void {
    const [first, second] = [this.#present(a, 'renameat2'), this.#present(b, 'renameat2')];
    if (a.startsWith(`${b}/`) || b.startsWith(`${a}/`)) throw refusal('EINVAL', 'renameat2', a);
    if (first.node.lower || second.node.lower) throw refusal('EXDEV', 'renameat2', a);
    const inos = [first.node.ino, second.node.ino] as const;
    this.#do({ do: 'exchange', a: first.place, b: second.place, inos });
  }

  #remove(path: string, call: 'unlink' | 'rmdir'): void {
    const { place, node } = this.#present(path, call);
    const isDirectory = node.kind === 'directory';
    if (call === 'unlink' && isDirectory) throw refusal('EISDIR', call, path);
    if (call === 'rmdir' && !isDirectory) throw refusal('ENOTDIR', call, path);
    if (node.entries.size > 0) throw refusal('ENOTEMPTY', call, path);
    this.#do({ do: 'remove', at: place, ino: node.ino });
  }

  #list(path: string): ReturnType<Disk['list']> {
    const { node } = this.#present(path, 'scandir');
    if (node.kind !== 'directory') throw refusal('ENOTDIR', 'scandir', path);
    return [...node.entries].map(([name, ino]) => ({ name, kind: this.#image.get(ino)?.kind ?? 'other' }));
  }

  #stat(path: string): Stat | undefined {
    try {
      const { node } = this.#find(path, 'lstat');
      return node && statOf(node);
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw error;
    }
  }
}

/** Inodes are numbered as they are made, so their number is as good as a time. */
function statOf({ ino, kind, mode, uid, gid, bytes }: Node): Stat {
  return { kind, mode, size: bytes.length, uid, gid, dev: 1, ino, mtimeMs: ino, ctimeMs: 0 };
}

function refusal(code: string, call: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${call} "${path}"`), { code });
}
