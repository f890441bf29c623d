/** One header block of a tar, field by field. Nothing is guessed: a field that is not a number becomes NaN. */

export const BLOCK = 512;

/** The format of the block, by its magic. It decides what the last fields mean. */
type Dialect = 'v7' | 'ustar' | 'gnu' | 'unknown';

export type Header = {
  dialect: Dialect;
  /** One character; in old archives NUL means a file. */
  type: string;
  name: string;
  /** The prefix of the name; '' unless the dialect is ustar. */
  prefix: string;
  linkname: string;
  /** Each is NaN if it is not a number, and infinite if it is too large to count. */
  size: number;
  mode: number;
  uid: number;
  gid: number;
  mtime: number;
  /** The header of a sparse file that continues in further blocks. */
  continued: boolean;
};

const ZEROS = Buffer.alloc(BLOCK);
const CHECKSUM = { at: 148, length: 8 };
const MAGIC = 257;

export const isZeroBlock = (block: Buffer): boolean => block[0] === 0 && block.equals(ZEROS);

/** Whether the block has the magic of a tar header, whatever else is wrong with it. */
export const hasMagic = (block: Buffer): boolean => block.toString('latin1', MAGIC, MAGIC + 5) === 'ustar';

/** Whether the checksum of the block is right. */
export function hasChecksum(block: Buffer): boolean {
  // The sum counts its own field as spaces.
  let sum = CHECKSUM.length * 0x20;
  for (let i = 0; i < CHECKSUM.at; i += 1) sum += block[i] ?? 0;
  for (let i = CHECKSUM.at + CHECKSUM.length; i < BLOCK; i += 1) sum += block[i] ?? 0;
  return sum === numberAt(block, CHECKSUM.at, CHECKSUM.length);
}

/** Reads a block with a right checksum. */
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

/** Text up to its NUL; bytes that are not UTF-8 become U+FFFD. */
function textAt(block: Buffer, at: number, length: number): string {
  const nul = block.indexOf(0, at);
  return block.toString('utf8', at, nul === -1 ? at + length : Math.min(nul, at + length));
}

/** Octal digits between spaces and NULs, or, if the first bit is set, the bytes of a signed number. */
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

/** An entry, from all its headers together. */
export type TarEntry = {
  kind: Kind;
  /** One character, as in the header. */
  type: string;
  path: string;
  /** The part of the path that was in the prefix of a ustar header. */
  prefix: string;
  /** The target of a link. */
  target: string;
  size: number;
  mode: number;
  /** NaN if it is not a number, like the next fields. */
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

/** The kind of an entry. In old archives a slash at the end marks a directory. */
export function kindOf(type: string, path: string): Kind {
  const kind = KINDS[type] ?? 'other';
  return kind === 'file' && path.endsWith('/') ? 'directory' : kind;
}

/** The size on which all headers agree, or the broken rule. */
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

/** The rule that makes the position of the next header uncertain: readers differ in whether such an entry has a body. */
export function framing(kind: Kind, type: string, size: number): [rule: number, what: string] | undefined {
  if (kind === 'directory' && size > 0) {
    return [74, 'it is a directory and has a size'];
  }
  if ((kind === 'symlink' || kind === 'hardlink' || '346'.includes(type)) && size > 0) {
    return [54, 'it is a link or device and has a size'];
  }
  return undefined;
}
