/**
 * Finds the central directory of a zip. It counts only if nothing is before the first entry, between the parts or after
 * the end: a reader that begins elsewhere would see other files.
 */
import type { FileHandle } from 'node:fs/promises';

/** Notes the rule that an entry breaks; the path is empty for the zip itself. */
export type ViolationListener = (path: string, rule: number, what: string) => void;

/** The central directory: where it begins and ends in the file, and how many entries it says that it has. */
export type ZipDirectory = { start: number; end: number; count: number };

const END = Buffer.from('PK\x05\x06', 'latin1');
const END_BYTES = 22;
const LOCATOR = 0x07_06_4b_50;
const LOCATOR_BYTES = 20;
const END_64 = 0x06_06_4b_50;
const END_64_BYTES = 56;
const COMMENT_BYTES = 0xff_ff;

/** Reads exactly these bytes; fewer only where the file ends. */
export async function bytesAt(file: FileHandle, at: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  let read = 0;
  while (read < length) {
    const { bytesRead } = await file.read(buffer, read, length - read, at + read);
    if (bytesRead === 0) break;
    read += bytesRead;
  }
  return buffer.subarray(0, read);
}

/** @returns undefined if there is none that counts; then a violation is noted. */
export async function readEnd(
  file: FileHandle,
  size: number,
  note: ViolationListener,
): Promise<ZipDirectory | undefined> {
  const tail = await bytesAt(
    file,
    Math.max(0, size - LOCATOR_BYTES - END_BYTES - COMMENT_BYTES),
    Math.min(size, LOCATOR_BYTES + END_BYTES + COMMENT_BYTES),
  );
  const at = tail.lastIndexOf(END, tail.length - END_BYTES);
  if (tail.length < END_BYTES || at === -1) {
    note('', 79, 'it has no end record: it is cut, or no zip');
    return undefined;
  }
  const commentBytes = tail.length - at - END_BYTES;
  const said = tail.readUInt16LE(at + 20);
  if (said !== commentBytes) {
    const [rule, what] = said > commentBytes ? [79, 'it is cut'] : [81, 'bytes follow after its end'];
    note('', rule, what);
    return undefined;
  }
  if (hasOtherEnd(tail, at)) {
    note('', 104, 'it has two end records, and readers may choose either');
    return undefined;
  }
  const plain = {
    disks: [tail.readUInt16LE(at + 4), tail.readUInt16LE(at + 6)],
    here: tail.readUInt16LE(at + 8),
    count: tail.readUInt16LE(at + 10),
    bytes: tail.readUInt32LE(at + 12),
    start: tail.readUInt32LE(at + 16),
  };
  const place = size - tail.length + at;
  const locatorAt = at - LOCATOR_BYTES;
  const has64 = locatorAt >= 0 && tail.readUInt32LE(locatorAt) === LOCATOR;
  const end = has64
    ? await readEnd64(file, place - LOCATOR_BYTES, tail.subarray(locatorAt), plain, note)
    : { ...plain, end: place };
  if (end === undefined) return undefined;
  if (end.disks.some((disk) => disk !== 0) || end.here !== end.count) {
    note('', 50, 'it is one of several volumes: pack one volume');
    return undefined;
  }
  if (end.start + end.bytes !== end.end) {
    note(
      '',
      103,
      'its central directory is not where its end record says: bytes are before it, or are missing',
    );
    return undefined;
  }
  return { start: end.start, end: end.end, count: end.count };
}

/** An end record in the comment of another one: some readers search from the front, and some from the back. */
function hasOtherEnd(tail: Buffer, at: number): boolean {
  if (tail.includes(END, at + END.length)) return true;
  for (let other = tail.indexOf(END); other !== -1 && other < at; other = tail.indexOf(END, other + 1)) {
    if (other + END_BYTES + tail.readUInt16LE(other + 20) === tail.length) return true;
  }
  return false;
}

type EndRecord = { disks: number[]; here: number; count: number; bytes: number; start: number };

async function readEnd64(
  file: FileHandle,
  locatorPlace: number,
  locator: Buffer,
  plain: EndRecord,
  note: ViolationListener,
): Promise<(EndRecord & { end: number }) | undefined> {
  const at = Number(locator.readBigUInt64LE(8));
  const record = at <= locatorPlace ? await bytesAt(file, at, END_64_BYTES) : Buffer.alloc(0);
  const isRecord = record.length === END_64_BYTES && record.readUInt32LE(0) === END_64;
  if (!isRecord || at + 12 + Number(record.readBigUInt64LE(4)) !== locatorPlace) {
    note('', 103, 'its zip64 end record is not where its locator says: bytes are before it, or are missing');
    return undefined;
  }
  const number = (from: number): number => Number(record.readBigUInt64LE(from));
  const found = {
    disks: [record.readUInt32LE(16), record.readUInt32LE(20)],
    here: number(24),
    count: number(32),
    bytes: number(40),
    start: number(48),
  };
  const agrees = (small: number, most: number, large: number): boolean => small === most || small === large;
  const same =
    agrees(plain.count, 0xff_ff, found.count) &&
    agrees(plain.here, 0xff_ff, found.here) &&
    agrees(plain.bytes, 0xff_ff_ff_ff, found.bytes) &&
    agrees(plain.start, 0xff_ff_ff_ff, found.start);
  if (!same) {
    note('', 104, 'its two end records differ');
    return undefined;
  }
  return { ...found, end: at };
}
