/**
 * Tar archives, byte by byte: each part is a buffer of whole blocks, and every field of a header can be made wrong.
 *
 * @example gzip(tar(directory('rules/'), file('rules/a.md', 'be brief'), symlink('b.md', 'rules/a.md')))
 */
import { gzipSync } from 'node:zlib';

const BLOCK = 512;

/** Where each field of a ustar header lies: offset and length. */
const FIELDS = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  linkname: [157, 100],
  magic: [257, 6],
  version: [263, 2],
  uname: [265, 32],
  gname: [297, 32],
  devmajor: [329, 8],
  devminor: [337, 8],
  prefix: [345, 155],
} as const satisfies Record<string, readonly [number, number]>;
type Field = keyof typeof FIELDS;

/** A number is written in octal as tar does it; text and bytes are written as they are, right or wrong. */
export type Fields = Partial<Record<Field, string | number | Buffer>>;

const DEFAULTS: Fields = {
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: 0,
  mtime: 1_700_000_000,
  type: '0',
  magic: 'ustar\0',
  version: '00',
};

/** One header block. The checksum is right unless it is given. */
export function header(fields: Fields): Buffer {
  const block = Buffer.alloc(BLOCK);
  for (const [field, value] of Object.entries({ ...DEFAULTS, ...fields }) as [Field, string | number][]) {
    put(block, field, value);
  }
  if (fields.checksum === undefined) {
    const [offset, length] = FIELDS.checksum;
    block.fill(' ', offset, offset + length);
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, offset, 'latin1');
  }
  return block;
}

function put(block: Buffer, field: Field, value: string | number | Buffer): void {
  const [offset, length] = FIELDS[field];
  const text = typeof value === 'number' ? `${value.toString(8).padStart(length - 1, '0')}\0` : value;
  const bytes = typeof text === 'string' ? Buffer.from(text, 'utf8') : text;
  if (bytes.length > length) {
    throw new Error(`The field ${field} holds ${length} bytes, not ${bytes.length}`);
  }
  bytes.copy(block, offset);
}

/** Bytes filled up with zeros to whole blocks. */
export const padded = (bytes: Buffer): Buffer =>
  Buffer.concat([bytes, Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK)]);

const bytesOf = (content: string | Buffer): Buffer =>
  typeof content === 'string' ? Buffer.from(content, 'utf8') : content;

/** An entry with a body; its size is that of the body unless the fields say something else. */
export function entry(fields: Fields, content: string | Buffer = ''): Buffer {
  const body = bytesOf(content);
  return Buffer.concat([header({ size: body.length, ...fields }), padded(body)]);
}

export const file = (name: string, content: string | Buffer = '', fields: Fields = {}): Buffer =>
  entry({ name, ...fields }, content);

export const directory = (name: string, fields: Fields = {}): Buffer =>
  entry({ name, mode: 0o755, type: '5', ...fields });

export const symlink = (name: string, linkname: string, fields: Fields = {}): Buffer =>
  entry({ name, linkname, mode: 0o777, type: '2', ...fields });

export const hardlink = (name: string, linkname: string, fields: Fields = {}): Buffer =>
  entry({ name, linkname, type: '1', ...fields });

/** One pax record, `<length> <key>=<value>\n`, whose length counts itself. */
export function paxRecord(key: string, value: string | Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), bytesOf(value), Buffer.from('\n')]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) {
    length = String(length).length + rest.length;
  }
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

const records = (values: Record<string, string | Buffer>): Buffer =>
  Buffer.concat(Object.entries(values).map(([key, value]) => paxRecord(key, value)));

/** A pax header for the next entry: of records, or, to be malformed, of a body as it is. */
export const pax = (body: Record<string, string | Buffer> | Buffer, fields: Fields = {}): Buffer =>
  entry({ name: 'PaxHeader', type: 'x', ...fields }, Buffer.isBuffer(body) ? body : records(body));

/** A pax header for all entries that follow. */
export const globalPax = (body: Record<string, string | Buffer> | Buffer, fields: Fields = {}): Buffer =>
  pax(body, { name: 'pax_global_header', type: 'g', ...fields });

const LONG_LINK: Fields = { name: '././@LongLink', magic: 'ustar ', version: ' \0' };

/** GNU's `L`: the name of the next entry. */
export const longName = (name: string): Buffer => entry({ ...LONG_LINK, type: 'L' }, `${name}\0`);

/** GNU's `K`: the link target of the next entry. */
export const longLink = (target: string): Buffer => entry({ ...LONG_LINK, type: 'K' }, `${target}\0`);

/** Two blocks of zeros. */
export const END = Buffer.alloc(2 * BLOCK);

/** A whole archive. */
export const tar = (...parts: Buffer[]): Buffer => Buffer.concat([...parts, END]);

/** An archive that stops after its last entry, without the end-of-archive mark. */
export const unended = (...parts: Buffer[]): Buffer => Buffer.concat(parts);

/** One member per argument. */
export const gzip = (...members: Buffer[]): Buffer => Buffer.concat(members.map((bytes) => gzipSync(bytes)));
