/** Reads the central directory of a zip, and decides what each entry is. */
import { isUtf8 } from 'node:buffer';
import type { FileHandle } from 'node:fs/promises';

import type { Entry } from 'yauzl';

import { type FileEntry, modeOf } from '../../shared/format/tree.ts';
import type { ViolationListener, ZipDirectory } from './end.ts';

export type ZipEntry = {
  name: string;
  /** The name as it is in the file. */
  raw: Buffer;
  /** The Unicode field, which some readers take the name from; undefined if there is none. */
  unicode: Buffer | undefined;
  kind: 'file' | 'directory' | 'link';
  mode: FileEntry['mode'];
  /** Where its local header begins. */
  offset: number;
  packed: number;
  size: number;
  crc: number;
  method: number;
  flags: number;
};

export const STORED = 0;
export const DEFLATED = 8;
/** Bits of the flags. */
export const ENCRYPTED = 0x1;
export const HAS_DESCRIPTOR = 0x8;
export const UTF8_NAME = 0x8_00;
/** The extra field with a name in UTF-8. */
export const UNICODE_NAME = 0x70_75;

const HEADER_BYTES = 46;
/** Systems whose names are UTF-8, whatever the flag says: the archiver of macOS does not set it. */
const UNIX = new Set([3, 19]);

/** The types of a Unix mode, and the rule that each breaks. */
const TYPES: Record<number, [rule: number, what: string]> = {
  0o02: [44, 'it is a character device'],
  0o06: [45, 'it is a block device'],
  0o01: [46, 'it is a FIFO'],
};
const TYPE_UNKNOWN = 0;
const TYPE_DIRECTORY = 0o04;
const TYPE_FILE = 0o10;
const TYPE_LINK = 0o12;

/**
 * The entries in the order of the central directory.
 *
 * @param onEntry is called for each, before it is kept. What it throws ends the reading.
 * @returns undefined if nobody can say where they end.
 */
export async function readEntries(
  file: FileHandle,
  central: ZipDirectory,
  note: ViolationListener,
  onEntry: () => void,
): Promise<ZipEntry[] | undefined> {
  // Loaded here, so that a process which reads no zip has no library for it.
  const { fromFdPromise, getFileNameLowLevel } = await import('yauzl');
  const entries: ZipEntry[] = [];
  let at = central.start;
  try {
    const zip = await fromFdPromise(file.fd, { decodeStrings: false, validateEntrySizes: false });
    for await (const entry of zip.eachEntry()) {
      at += HEADER_BYTES + entry.fileNameLength + entry.extraFieldLength + entry.fileCommentLength;
      onEntry();
      const { fileNameRaw: raw, extraFields, generalPurposeBitFlag: flags } = entry;
      const plain = plainName(entry);
      const said = getFileNameLowLevel(flags, raw, extraFields, true);
      const name = plain ?? said;
      entries.push(taken(entry, name, check(entry, name, note)));
      if (hasTwoNames(entry, plain, said)) {
        note(name, 101, 'its Unicode field says another name than its header');
      }
    }
  } catch (error) {
    if (!(error instanceof Error) || error.name === 'Fault') throw error;
    note('', 85, `its central directory cannot be read (${error.message})`);
    return undefined;
  }
  if (at === central.end) return entries;
  note('', 103, 'its central directory holds more than its entries');
  return undefined;
}

function taken(entry: Entry, name: string, kind: ZipEntry['kind']): ZipEntry {
  return {
    name,
    // A copy: the buffer behind it also holds the comment.
    raw: Buffer.from(entry.fileNameRaw),
    unicode: unicodeField(entry),
    kind,
    mode: modeOf(unixMode(entry)),
    offset: entry.relativeOffsetOfLocalHeader,
    packed: entry.compressedSize,
    size: entry.uncompressedSize,
    crc: entry.crc32,
    method: entry.compressionMethod,
    flags: entry.generalPurposeBitFlag,
  };
}

/** A name whose bytes say what it is. The library decides for others: by the flag, the Unicode field, or as CP437. */
function plainName({ fileNameRaw: raw, versionMadeBy, generalPurposeBitFlag }: Entry): string | undefined {
  // CP437 has pictures for control characters. They stay what they are, and are refused.
  if (raw.some((byte) => byte < 0x20 || byte === 0x7f)) return raw.toString('utf8');
  const isFlagged = (generalPurposeBitFlag & UTF8_NAME) !== 0;
  const isUnix = UNIX.has(versionMadeBy >> 8);
  return !isAscii(raw) && !isFlagged && isUnix && isUtf8(raw) ? raw.toString('utf8') : undefined;
}

function unicodeField({ extraFields }: Entry): Buffer | undefined {
  const found = extraFields.find(({ id }) => id === UNICODE_NAME);
  return found === undefined ? undefined : Buffer.from(found.data);
}

/**
 * Whether the Unicode field gives another name where no field is needed: readers may take either. Packers write the field
 * for what their own charset does not hold, and then an approximation as the name.
 *
 * @param said the name by the field, if that counts.
 */
function hasTwoNames(entry: Entry, plain: string | undefined, said: string): boolean {
  const isCertain = plain !== undefined || (entry.generalPurposeBitFlag & UTF8_NAME) !== 0;
  const isNeeded = !isCertain && !isAscii(Buffer.from(said, 'utf8'));
  return unicodeField(entry) !== undefined && !isNeeded && said !== entry.fileNameRaw.toString('utf8');
}

/** Whether every charset reads these bytes in the same way. */
export const isAscii = (bytes: Buffer): boolean => bytes.every((byte) => byte < 0x80);

const unixMode = ({ externalFileAttributes }: Entry): number => externalFileAttributes >>> 16;

/** Notes the rules that an entry breaks. What is neither directory nor link counts as a file. */
function check(entry: Entry, name: string, note: ViolationListener): ZipEntry['kind'] {
  const mode = unixMode(entry);
  const type = mode >> 12;
  const isDirectory = name.endsWith('/') || type === TYPE_DIRECTORY;
  if (isDirectory && entry.uncompressedSize !== 0) {
    note(name, 74, 'it is a directory with a size');
  }
  if ((entry.generalPurposeBitFlag & ENCRYPTED) !== 0) {
    note(name, 92, 'it is encrypted: pack it without a password');
  } else if (entry.compressionMethod !== STORED && entry.compressionMethod !== DEFLATED) {
    const method = String(entry.compressionMethod);
    note(name, 92, `it is compressed by method ${method}, which is not read: pack it with deflate`);
  } else if (entry.compressionMethod === STORED && entry.compressedSize !== entry.uncompressedSize) {
    note(name, 63, 'it is stored, and has two sizes');
  }
  if (!isDirectory && (mode & 0o6000) !== 0) {
    note(name, 55, 'it is setuid or setgid');
  }
  if (type === TYPE_LINK && !name.endsWith('/')) return 'link';
  if (isDirectory && (type === TYPE_UNKNOWN || type === TYPE_DIRECTORY || type === TYPE_FILE)) {
    return 'directory';
  }
  if (type !== TYPE_UNKNOWN && type !== TYPE_FILE) {
    const [rule, what] = TYPES[type] ?? [53, `its type (0${type.toString(8)}) is unknown`];
    note(name, rule, what);
  }
  return 'file';
}
