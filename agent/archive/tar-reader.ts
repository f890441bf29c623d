/**
 * Reads a tar strictly, as a stream: v7, ustar, GNU and pax. Everything that can be read in two ways is a finding. If a
 * finding makes the position of the next header uncertain, reading ends there. Bytes of files are passed on without a
 * copy.
 */
import { readPax } from './pax.ts';
import {
  BLOCK,
  framing,
  hasChecksum,
  hasMagic,
  type Header,
  isZeroBlock,
  kindOf,
  readHeader,
  sizeOf,
  type TarEntry,
} from './tar-header.ts';

/** A longer pax header or long name is refused. */
const META_BYTES = 1024 * 1024;

/** The callbacks. An error that one of them throws is thrown by {@link TarReader.write}. */
export type TarEvents = {
  entry(entry: TarEntry): void;
  /** Bytes of the last file. */
  data(bytes: Buffer): void;
  /** The file is complete. */
  end(): void;
  finding(path: string, rule: number, what: string): void;
};

const NO_RECORDS: ReadonlyMap<string, string> = new Map();
export class TarReader {
  readonly #events: TarEvents;
  /** The block that is being read, if it arrives in parts. */
  readonly #block = Buffer.alloc(BLOCK);
  #filled = 0;
  #state: 'blocks' | 'meta' | 'body' | 'lost' = 'blocks';
  /** The bytes of the body that are still to come, with the padding of its last block. */
  #left = 0;
  #padding = 0;
  /** Whether the body is that of a file. Other bodies are dropped. */
  #isFile = false;
  #path = '';
  /** The extended header that is being read. */
  #meta = { type: '', body: Buffer.alloc(0), filled: 0 };
  #records: ReadonlyMap<string, string> | undefined;
  #longName: string | undefined;
  #longLink: string | undefined;
  /** Blocks of zeros in a row: two of them are the end. */
  #zeros = 0;
  #headers = 0;
  #entries = 0;

  constructor(events: TarEvents) {
    this.#events = events;
  }

  /** Whether the end-of-archive mark has been read. */
  get ended(): boolean {
    return this.#zeros >= 2;
  }

  write(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length && this.#state !== 'lost') {
      if (this.#state === 'blocks') {
        at += this.#blockOf(bytes, at);
      } else if (this.#left > 0) {
        at += this.#bodyOf(bytes, at);
      } else {
        const step = Math.min(this.#padding, bytes.length - at);
        this.#padding -= step;
        at += step;
      }
      if (this.#inBody && this.#left === 0 && this.#padding === 0) {
        this.#bodyDone();
      }
    }
  }

  get #inBody(): boolean {
    return this.#state === 'meta' || this.#state === 'body';
  }

  /** The archive has ended: reports what is missing. */
  end(): void {
    if (this.#state === 'lost') {
      return;
    }
    if (this.#state !== 'blocks') {
      this.#lose(this.#path, 78, 'the archive is cut off inside it');
    } else if (this.ended && this.#filled > 0) {
      this.#lose('', 81, 'part of a block follows the end of the archive');
    } else if (this.#headers === 0 && (this.ended || this.#filled === 0)) {
      this.#lose('', 84, 'the archive is empty');
    } else if (this.#filled > 0) {
      const [rule, what] =
        this.#headers === 0
          ? [85, 'it is not a tar: it is too short']
          : [80, 'it is cut off inside a header'];
      this.#lose('', rule, what);
    } else if (!this.ended) {
      this.#lose('', 79, 'it has no end-of-archive mark');
    } else if (this.#entries === 0) {
      this.#lose('', 84, 'the archive is empty');
    }
  }

  #lose(path: string, rule: number, what: string): void {
    this.#state = 'lost';
    this.#events.finding(path, rule, what);
  }

  /** @returns how many bytes it has used. */
  #blockOf(bytes: Buffer, at: number): number {
    if (this.#filled === 0 && bytes.length - at >= BLOCK) {
      this.#blockDone(bytes.subarray(at, at + BLOCK));
      return BLOCK;
    }
    const taken = bytes.copy(this.#block, this.#filled, at, at + BLOCK - this.#filled);
    this.#filled += taken;
    if (this.#filled === BLOCK) {
      this.#filled = 0;
      this.#blockDone(this.#block);
    }
    return taken;
  }

  #blockDone(block: Buffer): void {
    if (isZeroBlock(block)) {
      this.#zeros += 1;
      if (this.#isPending) {
        this.#lose('', 79, 'it ends after a pax header or long name without an entry');
      }
      return;
    }
    const whole = hasChecksum(block);
    if (this.ended) {
      const [rule, what] = whole
        ? [82, 'an entry comes after the end of the archive']
        : [81, 'data follows the end of the archive'];
      this.#lose(whole ? readHeader(block).name : '', rule, what);
    } else if (this.#zeros === 1) {
      this.#lose('', 83, 'a single block of zeros is in the middle of the archive');
    } else if (!whole) {
      this.#lose('', ...this.#whyNot(block));
    } else {
      this.#headerDone(readHeader(block));
    }
  }

  #whyNot(block: Buffer): [rule: number, what: string] {
    if (this.#headers > 0) {
      return [70, `the checksum of header ${this.#headers + 1} is wrong`];
    }
    return hasMagic(block)
      ? [69, 'the checksum of the first header is wrong']
      : [85, 'it is not a tar: pack it with "airlock pack"'];
  }

  get #isPending(): boolean {
    return this.#records !== undefined || this.#longName !== undefined || this.#longLink !== undefined;
  }

  #headerDone(header: Header): void {
    this.#headers += 1;
    if (header.dialect === 'unknown') {
      this.#lose(header.name, 85, 'its header has an unknown magic');
    } else if ('xgLK'.includes(header.type)) {
      this.#beginMeta(header);
    } else if (header.type === 'X') {
      this.#lose(header.name, 76, 'it is an extended header of an old Solaris tar');
    } else {
      this.#entryDone(header);
    }
  }

  #beginMeta({ type, name, size }: Header): void {
    const pax = type === 'x' || type === 'g';
    if (!(size >= 0 && size <= META_BYTES)) {
      const beyond = size > META_BYTES ? `is longer than ${META_BYTES} bytes` : 'has no size';
      return this.#lose(name, pax ? 72 : 73, `its extended header ${beyond}`);
    }
    const again = { x: this.#records, L: this.#longName, K: this.#longLink, g: undefined }[type];
    if (again !== undefined) {
      this.#events.finding(name, 96, 'one entry has several headers of one kind');
    }
    const others = pax ? (this.#longName ?? this.#longLink) : this.#records;
    if (type !== 'g' && others !== undefined) {
      this.#events.finding(name, 64, 'one entry has a pax header and a long name of GNU');
    }
    this.#meta = { type, body: Buffer.allocUnsafe(size), filled: 0 };
    this.#begin('meta', name, size);
  }

  #begin(state: 'meta' | 'body', path: string, size: number): void {
    this.#state = state;
    this.#path = path;
    this.#left = size;
    this.#padding = (BLOCK - (size % BLOCK)) % BLOCK;
    if (size === 0) {
      this.#bodyDone();
    }
  }

  #bodyOf(bytes: Buffer, at: number): number {
    const step = Math.min(this.#left, bytes.length - at);
    this.#left -= step;
    if (this.#state === 'meta') {
      this.#meta.filled += bytes.copy(this.#meta.body, this.#meta.filled, at, at + step);
    } else if (this.#isFile) {
      this.#events.data(step === bytes.length ? bytes : bytes.subarray(at, at + step));
    }
    return step;
  }

  #bodyDone(): void {
    const state = this.#state;
    this.#state = 'blocks';
    if (state === 'meta') {
      this.#metaDone(this.#meta.type, this.#meta.body);
    } else if (this.#isFile) {
      this.#events.end();
    }
  }

  #metaDone(type: string, body: Buffer): void {
    if (type === 'L' || type === 'K') {
      let length = body.length;
      while (length > 0 && body[length - 1] === 0) length -= 1;
      const text = body.toString('utf8', 0, length);
      if (type === 'L') this.#longName = text;
      else this.#longLink = text;
      return;
    }
    const pax = readPax(body);
    if (!pax.ok) {
      return this.#lose(this.#path, 71, pax.why);
    }
    if (type === 'x') {
      this.#records = pax.records;
      return;
    }
    const others = [...pax.records.keys()].filter((key) => key !== 'comment');
    if (others.length > 0) {
      this.#lose(
        this.#path,
        77,
        `a header for all entries holds more than a comment: ${others[0]?.slice(0, 100)}`,
      );
    }
  }

  #entryDone(header: Header): void {
    const records = this.#records ?? NO_RECORDS;
    const spelled = header.prefix === '' ? header.name : `${header.prefix}/${header.name}`;
    const long = records.get('path') ?? this.#longName;
    const path = long ?? spelled;
    const target = records.get('linkpath') ?? this.#longLink ?? header.linkname;
    this.#records = undefined;
    this.#longName = undefined;
    this.#longLink = undefined;
    this.#entries += 1;
    const size = sizeOf(header.size, records.get('size'));
    if (typeof size !== 'number') {
      return this.#lose(path, ...size);
    }
    const { type, mode, uid, gid, mtime } = header;
    const kind = kindOf(type, path);
    const prefix = long === undefined ? header.prefix : '';
    this.#isFile = kind === 'file';
    this.#events.entry({ kind, type, path, prefix, target, size, mode, uid, gid, mtime, records });
    if (kind !== 'symlink' && kind !== 'hardlink' && target !== '') {
      this.#events.finding(path, 65, 'it is not a link, but has the target of one');
    }
    const trouble = framing(kind, type, size);
    if (trouble !== undefined) {
      this.#lose(path, ...trouble);
    } else if (header.continued && type === 'S') {
      // The entry is refused already, and a list of holes follows instead of a body.
      this.#state = 'lost';
    } else {
      this.#begin('body', path, size);
    }
  }
}
