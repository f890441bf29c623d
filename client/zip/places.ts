/**
 * Compares the entries of a zip with the headers before their bytes. Each byte of the file must belong to one of them, or
 * readers that begin at the front see other files than readers that begin at the end.
 */
import type { FileHandle } from 'node:fs/promises';

import { bytesAt, type ZipDirectory, type ViolationListener } from './end.ts';
import { ENCRYPTED, HAS_DESCRIPTOR, isAscii, UNICODE_NAME, UTF8_NAME, type ZipEntry } from './entries.ts';

const HEADER = 0x04_03_4b_50;
const HEADER_BYTES = 30;
const DESCRIPTOR = Buffer.from('PK\x07\x08', 'latin1');
const DESCRIPTOR_BYTES_MAX = 24;
const MAX_32 = 0xff_ff_ff_ff;
const ZIP64_FIELD = 1;

/** An entry, and where its bytes begin. */
export type PlacedEntry = ZipEntry & { start: number };

/** @returns the entries in the order of their bytes. Those that break a rule may be missing. */
export async function placeEntries(
  file: FileHandle,
  entries: readonly ZipEntry[],
  central: ZipDirectory,
  note: ViolationListener,
): Promise<PlacedEntry[]> {
  const sorted = entries.toSorted((a, b) => a.offset - b.offset);
  const placed: PlacedEntry[] = [];
  let at = 0;
  for (const [i, entry] of sorted.entries()) {
    if (entry.offset > at) note(entry.name, 103, 'the bytes before it belong to no entry');
    if (entry.offset < at) {
      note(entry.name, 102, 'it shares bytes with another entry');
      continue;
    }
    const next = sorted[i + 1]?.offset ?? central.start;
    const local = await readLocal(file, entry, central.start, note);
    if (local === undefined) {
      at = next;
      continue;
    }
    const end = local.start + entry.packed;
    if (end > central.start) {
      note(entry.name, 102, 'it shares bytes with the central directory');
      return placed;
    }
    const hasDescriptor = (local.flags & HAS_DESCRIPTOR) !== 0;
    at = end + (hasDescriptor ? await descriptorBytes(file, entry, end, next, note) : 0);
    placed.push({ ...entry, start: local.start });
  }
  if (at < central.start) note('', 103, 'the bytes before its central directory belong to no entry');
  if (at > central.start) note('', 102, 'an entry shares bytes with its central directory');
  return placed;
}

type Local = { start: number; flags: number };

async function readLocal(
  file: FileHandle,
  entry: ZipEntry,
  most: number,
  note: ViolationListener,
): Promise<Local | undefined> {
  const { name, offset } = entry;
  const header = offset < most ? await bytesAt(file, offset, HEADER_BYTES) : Buffer.alloc(0);
  if (header.length < HEADER_BYTES || header.readUInt32LE(0) !== HEADER) {
    note(name, 101, 'the central directory says where its header is, but there is none');
    return undefined;
  }
  const nameBytes = header.readUInt16LE(26);
  const extraBytes = header.readUInt16LE(28);
  const rest = await bytesAt(file, offset + HEADER_BYTES, nameBytes + extraBytes);
  const flags = header.readUInt16LE(6);
  const extra = rest.subarray(nameBytes);
  const unicode = fieldOf(extra, UNICODE_NAME);
  // Some packers write the field only in the central directory.
  const isSameField = unicode === undefined || entry.unicode?.equals(unicode) === true;
  const differing = [
    ...(rest.subarray(0, nameBytes).equals(entry.raw) && isSameField ? [] : ['name']),
    ...(header.readUInt16LE(8) === entry.method ? [] : ['method']),
    ...(((flags ^ entry.flags) & ENCRYPTED) === 0 ? [] : ['encryption']),
    ...(isSameCharset(flags, entry) ? [] : ['charset']),
    ...differingSizes(header, extra, entry),
  ];
  if (differing.length > 0) {
    note(name, 101, `its header says another ${differing.join(', ')} than the central directory`);
  }
  return { start: offset + HEADER_BYTES + nameBytes + extraBytes, flags };
}

const isSameCharset = (flags: number, { raw, flags: others }: ZipEntry): boolean =>
  ((flags ^ others) & UTF8_NAME) === 0 || isAscii(raw);

function differingSizes(header: Buffer, extra: Buffer, entry: ZipEntry): string[] {
  const large = zip64Sizes(extra);
  const size = header.readUInt32LE(22);
  const packed = header.readUInt32LE(18);
  const said: [word: string, said: number, known: number][] = [
    ['checksum', header.readUInt32LE(14), entry.crc],
    ['size', size === MAX_32 ? (large?.size ?? size) : size, entry.size],
    ['packed size', packed === MAX_32 ? (large?.packed ?? packed) : packed, entry.packed],
  ];
  const mayBeZero = (header.readUInt16LE(6) & HAS_DESCRIPTOR) !== 0;
  return said.flatMap(([word, value, known]) =>
    value === known || (mayBeZero && value === 0) ? [] : [word],
  );
}

function zip64Sizes(extra: Buffer): { size: number; packed: number } | undefined {
  const field = fieldOf(extra, ZIP64_FIELD);
  if (field === undefined || field.length < 16) return undefined;
  return { size: Number(field.readBigUInt64LE(0)), packed: Number(field.readBigUInt64LE(8)) };
}

/** The content of an extra field; undefined if there is none. */
function fieldOf(extra: Buffer, id: number): Buffer | undefined {
  for (let at = 0; at + 4 <= extra.length; at += 4 + extra.readUInt16LE(at + 2)) {
    const end = at + 4 + extra.readUInt16LE(at + 2);
    if (extra.readUInt16LE(at) === id && end <= extra.length) return extra.subarray(at + 4, end);
  }
  return undefined;
}

/** The length of the descriptor after an entry. It has four forms, which only its neighbour tells apart. */
async function descriptorBytes(
  file: FileHandle,
  { name, crc, packed, size }: ZipEntry,
  end: number,
  next: number,
  note: ViolationListener,
): Promise<number> {
  const found = await bytesAt(file, end, DESCRIPTOR_BYTES_MAX);
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32LE(crc);
  const small = Buffer.alloc(8);
  small.writeUInt32LE(packed % 2 ** 32, 0);
  small.writeUInt32LE(size % 2 ** 32, 4);
  const large = Buffer.alloc(16);
  large.writeBigUInt64LE(BigInt(packed), 0);
  large.writeBigUInt64LE(BigInt(size), 8);
  const lengths = [small, large]
    .flatMap((sizes) => [Buffer.concat([checksum, sizes]), Buffer.concat([DESCRIPTOR, checksum, sizes])])
    .filter((form) => found.subarray(0, form.length).equals(form))
    .map(({ length }) => length);
  if (lengths.length === 0) note(name, 101, 'the descriptor after it says another size or checksum');
  return lengths.find((length) => end + length === next) ?? lengths[0] ?? next - end;
}
