/** One header block of a tar, field by field. Nothing is guessed: a number that is none comes out as NaN. */

export const BLOCK = 512;

/** Who wrote the block, by its magic: it decides what its last fields mean. */
type Dialect = 'v7' | 'ustar' | 'gnu' | 'unknown';

export type Header = {
  dialect: Dialect;
  /** One character; NUL, of old, is a file. */
  type: string;
  name: string;
  /** What stands before the name; '' unless the dialect is ustar. */
  prefix: string;
  linkname: string;
  /** Each is NaN if it is no number, and infinite if it is beyond what can be counted. */
  size: number;
  mode: number;
  uid: number;
  gid: number;
  mtime: number;
  /** The header of a sparse file that goes on in further blocks. */
  continued: boolean;
};

const ZEROS = Buffer.alloc(BLOCK);
const CHECKSUM = { at: 148, length: 8 };
const MAGIC = 257;

export const isZeroBlock = (block: Buffer): boolean => block[0] === 0 && block.equals(ZEROS);

/** Whether the block has the magic of a tar header, whatever else is wrong with it. */
export const hasMagic = (block: Buffer): boolean => block.toString('latin1', MAGIC, MAGIC + 5) === 'ustar';

/** Whether the sum of the block's bytes is the one that it says. */
export function hasChecksum(block: Buffer): boolean {
  // The sum counts its own field as spaces.
  let sum = CHECKSUM.length * 0x20;
  for (let i = 0; i < CHECKSUM.at; i += 1) sum += block[i] ?? 0;
  for (let i = CHECKSUM.at + CHECKSUM.length; i < BLOCK; i += 1) sum += block[i] ?? 0;
  return sum === numberAt(block, CHECKSUM.at, CHECKSUM.length);
}

/** Reads a block whose checksum is right. */
export function readHeader(block: Buffer): Header {
  const dialect = dialectOf(block);
  return {
    dialect,
    type: String.fromCharCode(block[156] ?? 0),
    name: textAt(block, 0, 100),
    prefix: dialect === 'ustar' ? textAt(block, 345, 155) : '',
    linkname: textAt(block, 157, 100),
    size: numberAt(block, 124, 12),
    mode: numberAt(block, 100, 8),
    uid: numberAt(block, 108, 8),
    gid: numberAt(block, 116, 8),
    mtime: numberAt(block, 136, 12),
    continued: block[482] !== 0,
  };
}

function dialectOf(block: Buffer): Dialect {
  const magic = block.toString('latin1', MAGIC, MAGIC + 6);
  if (magic === 'ustar\0') {
    return 'ustar';
  }
  if (magic === 'ustar ') {
    return 'gnu';
  }
  return magic === '\0\0\0\0\0\0' ? 'v7' : 'unknown';
}

/** Text up to its NUL; bytes that are no UTF-8 come out as U+FFFD. */
function textAt(block: Buffer, at: number, length: number): string {
  const nul = block.indexOf(0, at);
  return block.toString('utf8', at, nul === -1 ? at + length : Math.min(nul, at + length));
}

/** Octal digits between spaces and NULs, or, with the first bit set, bytes of a signed number. */
function numberAt(block: Buffer, at: number, length: number): number {
  if (((block[at] ?? 0) & 0x80) !== 0) {
    return binaryAt(block, at, length);
  }
  const end = at + length;
  let i = at;
  while (i < end && block[i] === 0x20) i += 1;
  let value = 0;
  for (; i < end; i += 1) {
    const digit = (block[i] ?? 0) - 0x30;
    if (digit < 0 || digit > 7) break;
    value = value * 8 + digit;
  }
  for (; i < end; i += 1) {
    if (block[i] !== 0 && block[i] !== 0x20) return Number.NaN;
  }
  return value;
}

function binaryAt(block: Buffer, at: number, length: number): number {
  const negative = ((block[at] ?? 0) & 0x40) !== 0;
  const flip = negative ? 0xff : 0;
  let value = ((block[at] ?? 0) ^ flip) & 0x3f;
  for (let i = at + 1; i < at + length; i += 1) {
    value = value * 256 + ((block[i] ?? 0) ^ flip);
  }
  const counted = Number.isSafeInteger(value) ? value : Infinity;
  return negative ? -counted - 1 : counted;
}

type Kind = 'file' | 'directory' | 'symlink' | 'hardlink' | 'other';

/** An entry as all its headers together say it. */
export type TarEntry = {
  kind: Kind;
  /** One character, as in the header. */
  type: string;
  path: string;
  /** The part of the path that stood in the prefix of a ustar header. */
  prefix: string;
  /** Where a link points to. */
  target: string;
  size: number;
  mode: number;
  /** NaN where it is no number, as all that follows. */
  uid: number;
  gid: number;
  mtime: number;
  /** The records of its pax header. */
  records: ReadonlyMap<string, string>;
};

const KINDS: Record<string, Kind> = {
  '0': 'file',
  '\0': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '5': 'directory',
};

/** What an entry is. Of old, a directory is told by the slash at its end. */
export function kindOf(type: string, path: string): Kind {
  const kind = KINDS[type] ?? 'other';
  return kind === 'file' && path.endsWith('/') ? 'directory' : kind;
}

/** The size that all headers agree on, or the rule that is broken. */
export function sizeOf(said: number, record: string | undefined): number | [rule: number, what: string] {
  if (Number.isNaN(said)) {
    return [75, 'its size is not an octal number'];
  }
  if (said < 0) {
    return [67, 'its size is negative'];
  }
  if (record !== undefined && !/^\d+$/.test(record)) {
    return [66, 'the size in its pax header is negative or not a number'];
  }
  if (!Number.isSafeInteger(said) || (record !== undefined && !Number.isSafeInteger(Number(record)))) {
    return [68, 'its size is beyond what can be counted'];
  }
  return record === undefined || Number(record) === said
    ? said
    : [63, `its size is ${said} in its header and ${record.slice(0, 20)} in its pax header`];
}

/** What makes it uncertain where the next header is: readers differ in whether these have a body. */
export function framing(kind: Kind, type: string, size: number): [rule: number, what: string] | undefined {
  if (kind === 'directory' && size > 0) {
    return [74, 'it is a directory and has a size'];
  }
  if ((kind === 'symlink' || kind === 'hardlink' || '346'.includes(type)) && size > 0) {
    return [54, 'it is a link or device and has a size'];
  }
  return undefined;
}
