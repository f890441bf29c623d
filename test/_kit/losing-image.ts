/**
 * A file system as inodes and directory entries, what was done to it as a list, and which of that is durable: what a
 * power cut may leave is the durable part and any of the rest, each rename and exchange whole or not at all.
 */
import type { Kind } from '../../agent/disk/port.ts';

export type Node = {
  ino: number;
  kind: Kind;
  mode: number;
  uid: number;
  gid: number;
  bytes: Buffer;
  /** Of a link. */
  target: string;
  /** Of a directory. */
  entries: Map<string, number>;
  /** Of a directory: it lies in a lower layer of an overlay, so it cannot be renamed. */
  lower: boolean;
};
export type Image = Map<number, Node>;
export type Place = { dir: number; name: string };

export const ROOT = 1;

export function makeNode(ino: number, kind: Kind, mode: number, target = ''): Node {
  const entries = new Map<string, number>();
  return { ino, kind, mode, uid: 0, gid: 0, bytes: Buffer.alloc(0), target, entries, lower: false };
}

/** Something that was done, by inodes: whatever the paths to them are called by now. */
export type Op =
  | { do: 'make'; at: Place; ino: number; kind: Kind; mode: number; target: string }
  | { do: 'write'; ino: number; offset: number; bytes: Buffer }
  | { do: 'own'; ino: number; uid: number; gid: number }
  | { do: 'rename'; from: Place; to: Place; ino: number }
  | { do: 'exchange'; a: Place; b: Place; inos: readonly [number, number] }
  | { do: 'remove'; at: Place; ino: number };

/** A sync is of one inode, or of everything. */
export type Step = Op | { do: 'sync'; ino: number | 'all' };

/** An operation and the inodes that are still to be synced before it is durable; none: it is. */
export type Traced = { op: Op; needs: Set<number> };

function needsOf(op: Op): number[] {
  switch (op.do) {
    case 'make':
    case 'remove':
      return [op.at.dir];
    case 'write':
    case 'own':
      return [op.ino];
    case 'rename':
      return [op.from.dir, op.to.dir];
    case 'exchange':
      return [op.a.dir, op.b.dir];
    default:
      return op satisfies never;
  }
}

/**
 * What POSIX promises and no more: a sync of a file keeps its bytes and owner, a sync of a directory the names in it; an
 * operation on two directories is durable when both were synced. A directory whose removal is durable needs no sync.
 */
export function trace(steps: readonly Step[]): Traced[] {
  const traced: Traced[] = [];
  let open: Traced[] = [];
  for (const step of steps) {
    if (step.do !== 'sync') {
      const one = { op: step, needs: new Set(needsOf(step)) };
      traced.push(one);
      open.push(one);
      continue;
    }
    const satisfied = step.ino === 'all' ? [] : [step.ino];
    for (const one of step.ino === 'all' ? open : []) {
      one.needs.clear();
    }
    // What is removed durably may make more durable: until nothing changes.
    for (let ino = satisfied.pop(); ino !== undefined; ino = satisfied.pop()) {
      for (const { op, needs } of open) {
        if (needs.delete(ino) && needs.size === 0 && op.do === 'remove') {
          satisfied.push(op.ino);
        }
      }
    }
    open = open.filter(({ needs }) => needs.size > 0);
  }
  return traced;
}

/** What becomes of an operation that is not durable; of a write also the length alone, or half of it. */
export type Fate = 'lost' | 'kept' | 'zeros' | 'half';

/**
 * The image after a cut: what is durable, and of the rest what fate keeps, in order. An operation that no longer fits,
 * because one before it is lost, is lost as well.
 *
 * @param fateOf is asked with the number of an operation among those that are not durable.
 */
export function reduce(base: Image, traced: readonly Traced[], fateOf: (index: number) => Fate): Image {
  const image = copyImage(base);
  let index = 0;
  for (const { op, needs } of traced) {
    let fate: Fate = 'kept';
    if (needs.size > 0) {
      fate = fateOf(index);
      index += 1;
    }
    if (fate !== 'lost' && fits(image, op)) {
      apply(image, op.do === 'write' ? { ...op, bytes: remains(op.bytes, fate) } : op);
    }
  }
  return copyImage(image);
}

function remains(bytes: Buffer, fate: Fate): Buffer {
  if (fate === 'kept') {
    return bytes;
  }
  return fate === 'half' ? bytes.subarray(0, bytes.length / 2) : Buffer.alloc(bytes.length);
}

const at = (image: Image, { dir, name }: Place): number | undefined => image.get(dir)?.entries.get(name);
const isEmptyDirectory = (node: Node): boolean => node.kind === 'directory' && node.entries.size === 0;

function fits(image: Image, op: Op): boolean {
  switch (op.do) {
    case 'make':
      return image.has(op.at.dir) && at(image, op.at) === undefined;
    case 'write':
    case 'own':
      return image.has(op.ino);
    case 'remove': {
      const node = image.get(op.ino);
      return (
        at(image, op.at) === op.ino &&
        node !== undefined &&
        (node.kind !== 'directory' || node.entries.size === 0)
      );
    }
    case 'rename': {
      const moved = image.get(op.ino);
      const there = image.get(at(image, op.to) ?? 0);
      const isFree =
        there === undefined ||
        (moved?.kind === 'directory' ? isEmptyDirectory(there) : there.kind !== 'directory');
      return image.has(op.to.dir) && at(image, op.from) === op.ino && isFree;
    }
    case 'exchange':
      return at(image, op.a) === op.inos[0] && at(image, op.b) === op.inos[1];
    default:
      return op satisfies never;
  }
}

/** Does what is known to fit. */
export function apply(image: Image, op: Op): void {
  switch (op.do) {
    case 'make':
      image.set(op.ino, makeNode(op.ino, op.kind, op.mode, op.target));
      return put(image, op.at, op.ino);
    case 'write': {
      const node = image.get(op.ino);
      if (node === undefined) return undefined;
      // A write before it may be lost: then there is a hole, which reads as zeros.
      const bytes = Buffer.alloc(Math.max(node.bytes.length, op.offset + op.bytes.length));
      node.bytes.copy(bytes);
      op.bytes.copy(bytes, op.offset);
      node.bytes = bytes;
      return undefined;
    }
    case 'own':
      Object.assign(image.get(op.ino) ?? {}, { uid: op.uid, gid: op.gid });
      return undefined;
    case 'remove':
      return put(image, op.at, undefined);
    case 'rename':
      put(image, op.from, undefined);
      return put(image, op.to, op.ino);
    case 'exchange':
      put(image, op.a, op.inos[1]);
      return put(image, op.b, op.inos[0]);
    default:
      return op satisfies never;
  }
}

function put(image: Image, { dir, name }: Place, ino: number | undefined): void {
  const entries = image.get(dir)?.entries;
  if (ino === undefined) {
    entries?.delete(name);
  } else {
    entries?.set(name, ino);
  }
}

/** A copy of what can be reached from the root; bytes are shared, for nothing changes them in place. */
export function copyImage(image: Image): Image {
  const copy: Image = new Map();
  const visit = (ino: number): void => {
    const node = image.get(ino);
    if (node === undefined) return;
    copy.set(ino, { ...node, entries: new Map(node.entries) });
    for (const below of node.entries.values()) {
      visit(below);
    }
  };
  visit(ROOT);
  return copy;
}
