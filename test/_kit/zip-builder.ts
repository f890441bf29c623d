/** Builds zips byte by byte, also those that no tool writes. */
import { crc32, deflateRawSync } from 'node:zlib';

/** What the local header says instead of what the central directory says. */
type Lies = {
  name?: string;
  crc?: number;
  size?: number;
  packed?: number;
  method?: number;
  flags?: number;
  extra?: Buffer;
};

export type ZipPart = {
  name: string | Buffer;
  body?: string | Buffer;
  /** 0 or 8; any other number is written and the body stored. */
  method?: number;
  /** The upper half of the external attributes. */
  mode?: number;
  /** The system that made it: 3 is Unix, 0 is DOS. */
  host?: number;
  flags?: number;
  descriptor?: 'signed' | 'plain' | 'large' | 'wrong';
  /** Sizes and offset in a zip64 field. */
  large?: boolean;
  extra?: Buffer;
  comment?: string;
  /** In the central directory; by default what is right. */
  crc?: number;
  size?: number;
  /** The bytes as they are in the file, in place of the body's. */
  bytes?: Buffer;
  /** Where the central directory says that the local header is, as the index of another part. */
  at?: number;
  local?: Lies;
  /** Only in the central directory, or only in front of its bytes. */
  only?: 'central' | 'local';
  /** Bytes before its header. */
  gap?: string;
};

type Whole = {
  prefix?: string;
  /** Whether the offsets count from the beginning of the prefix. */
  shifted?: boolean;
  /** Bytes between the last entry and the central directory. */
  gap?: string;
  comment?: string | Buffer;
  suffix?: string;
  large?: boolean;
  /** How many entries the end record says. */
  count?: number;
  disk?: number;
};

const UTF8 = 0x8_00;
const DESCRIPTOR = 0x8;
const MAX = 0xff_ff_ff_ff;

const u16 = (value: number): Buffer => {
  const buffer = Buffer.alloc(2);
  buffer.writeUInt16LE(value);
  return buffer;
};
const u32 = (value: number): Buffer => {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value);
  return buffer;
};
const u64 = (value: number): Buffer => {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(BigInt(value));
  return buffer;
};
const field = (id: number, ...parts: Buffer[]): Buffer => {
  const data = Buffer.concat(parts);
  return Buffer.concat([u16(id), u16(data.length), data]);
};

/** A zip of these parts. */
export function zipOf(parts: readonly ZipPart[], whole: Whole = {}): Buffer {
  const front: Buffer[] = [Buffer.from(whole.prefix ?? '')];
  const shift = whole.shifted === true ? (whole.prefix ?? '').length : 0;
  let at = shift;
  const add = (...buffers: Buffer[]): void => {
    for (const buffer of buffers) {
      front.push(buffer);
      at += buffer.length;
    }
  };
  const made = parts.map((part) => {
    const { method = 8, descriptor, large = false, local = {} } = part;
    const name = Buffer.from(part.name);
    const body = Buffer.from(part.body ?? '');
    const bytes = part.bytes ?? (method === 8 ? deflateRawSync(body) : body);
    const isUtf8 = typeof part.name === 'string' && name.some((byte) => byte > 0x7f);
    const flags = (part.flags ?? (isUtf8 ? UTF8 : 0)) | (descriptor === undefined ? 0 : DESCRIPTOR);
    const crc = part.crc ?? crc32(body);
    const size = part.size ?? body.length;
    const packed = bytes.length;
    add(Buffer.from(part.gap ?? ''));
    const offset = at;
    if (part.only !== 'central') {
      const later = descriptor !== undefined;
      const localName = local.name === undefined ? name : Buffer.from(local.name);
      const sizes = [local.packed ?? (later ? 0 : packed), local.size ?? (later ? 0 : size)];
      const extra = Buffer.concat([
        large ? field(1, u64(sizes[1] ?? 0), u64(sizes[0] ?? 0)) : Buffer.alloc(0),
        local.extra ?? part.extra ?? Buffer.alloc(0),
      ]);
      add(
        Buffer.from('PK\x03\x04', 'latin1'),
        u16(20),
        u16(local.flags ?? flags),
        u16(local.method ?? method),
        u32(0),
        u32(local.crc ?? (later ? 0 : crc)),
        ...(large ? [u32(MAX), u32(MAX)] : sizes.map(u32)),
        u16(localName.length),
        u16(extra.length),
        localName,
        extra,
        bytes,
      );
      if (later) add(descriptorOf(descriptor, crc, packed, size));
    }
    return { part, name, flags, method, crc, size, packed, large, offset };
  });
  add(Buffer.from(whole.gap ?? ''));
  const start = at;
  for (const { part, name, flags, method, crc, size, packed, large, offset } of made) {
    if (part.only === 'local') continue;
    const said = part.at === undefined ? offset : (made[part.at]?.offset ?? part.at);
    const extra = Buffer.concat([
      large ? field(1, u64(size), u64(packed), u64(said)) : Buffer.alloc(0),
      part.extra ?? Buffer.alloc(0),
    ]);
    const comment = Buffer.from(part.comment ?? '');
    add(
      Buffer.from('PK\x01\x02', 'latin1'),
      u16(((part.host ?? 3) << 8) | 63),
      u16(20),
      u16(flags),
      u16(method),
      u32(0),
      u32(crc),
      ...(large ? [u32(MAX), u32(MAX)] : [u32(packed), u32(size)]),
      u16(name.length),
      u16(extra.length),
      u16(comment.length),
      u32(0),
      u32((part.mode ?? 0) * 2 ** 16),
      u32(large ? MAX : said),
      name,
      extra,
      comment,
    );
  }
  const bytes = at - start;
  const count = whole.count ?? made.filter(({ part }) => part.only !== 'local').length;
  if (whole.large === true) {
    const place = at;
    add(Buffer.from('PK\x06\x06', 'latin1'), u64(44), u16(63), u16(45), u32(0), u32(0));
    add(u64(count), u64(count), u64(bytes), u64(start));
    add(Buffer.from('PK\x06\x07', 'latin1'), u32(0), u64(place), u32(1));
  }
  const comment = Buffer.from(whole.comment ?? '');
  add(Buffer.from('PK\x05\x06', 'latin1'), u16(whole.disk ?? 0), u16(0));
  add(
    ...(whole.large === true
      ? [u16(0xff_ff), u16(0xff_ff), u32(MAX), u32(MAX)]
      : [u16(count), u16(count), u32(bytes), u32(start)]),
  );
  add(u16(comment.length), comment, Buffer.from(whole.suffix ?? ''));
  return Buffer.concat(front);
}

function descriptorOf(form: ZipPart['descriptor'], crc: number, packed: number, size: number): Buffer {
  const signature = form === 'plain' ? Buffer.alloc(0) : Buffer.from('PK\x07\x08', 'latin1');
  const sizes = form === 'large' ? [u64(packed), u64(size)] : [u32(packed), u32(size)];
  return Buffer.concat([signature, u32(form === 'wrong' ? crc ^ 1 : crc), ...sizes]);
}
