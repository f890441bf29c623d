/**
 * Cuts the bytes of a tar so that a pax or GNU header reaches the parser in one piece. node-tar decodes such a header
 * piece by piece: a letter of several bytes that is cut in two would make it drop the name and take the short one.
 */
import type { FaultCode } from '../../shared/fault.ts';
import type { Break } from './entry.ts';

const BLOCK = 512;
const TYPE = 156;
const SIZE = { at: 124, end: 136 };
/** pax `x` and `g` (Solaris: `X`), GNU's `L` and `K` (old: `N`). */
const META = new Set(Buffer.from('xgXLKN'));
const DIRECTORY = '5'.charCodeAt(0);
/** A longer one is refused unread. */
const META_BYTES = 1024 * 1024;

export class Blocks {
  #held: Buffer = Buffer.alloc(0);
  /** Bytes until the next header. */
  #body = 0;

  /** @returns what can go on to the parser; the rest is held until more comes. */
  push(bytes: Buffer): Buffer {
    const all = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    let at = 0;
    for (;;) {
      const step = Math.min(this.#body, all.length - at);
      at += step;
      this.#body -= step;
      const whole = wholeHeader(all, at);
      if (this.#body > 0 || whole === undefined) {
        this.#held = all.subarray(at);
        return all.subarray(0, at);
      }
      at += whole.header;
      this.#body = whole.body;
    }
  }

  /** What is still held when the archive has ended. */
  rest(): Buffer {
    const held = this.#held;
    this.#held = Buffer.alloc(0);
    return held;
  }
}

/** How long the header at a place is, with what belongs to it, and the body after it; undefined if more must come. */
function wholeHeader(bytes: Buffer, at: number): { header: number; body: number } | undefined {
  if (bytes.length < at + BLOCK) {
    return undefined;
  }
  const type = bytes[at + TYPE] ?? 0;
  const size = type === DIRECTORY ? 0 : sizeOf(bytes.subarray(at + SIZE.at, at + SIZE.end));
  const body = Math.ceil(size / BLOCK) * BLOCK;
  if (!META.has(type) || size > META_BYTES) {
    return { header: BLOCK, body };
  }
  return bytes.length < at + BLOCK + body ? undefined : { header: BLOCK + body, body: 0 };
}

/** A size that this does not understand costs nothing but the care: the parser judges it. */
function sizeOf(field: Buffer): number {
  const size = Number.parseInt(field.toString('latin1').replace(/\0.*$/s, '').trim(), 8);
  return Number.isSafeInteger(size) && size > 0 ? size : 0;
}

/**
 * What is wrong with a pax header's records of those that count, of which node-tar would say nothing and go on without
 * them.
 */
export function paxTrouble(text: string): (Break & { path: string; code: FaultCode }) | undefined {
  for (const line of text.split('\n')) {
    const record = /^(\d+) (?:path|linkpath|size)=(.*)$/.exec(line);
    if (record !== null && Number(record[1]) !== Buffer.byteLength(line) + 1) {
      const path = record[2] ?? '';
      return path.includes('\u{FFFD}')
        ? { path, rule: 17, code: 'ARCHIVE_PATH', what: 'it is not valid UTF-8: rename it' }
        : {
            path,
            rule: 71,
            code: 'ARCHIVE_AMBIGUOUS',
            what: 'the record of its pax header has another length than it says',
          };
    }
  }
  return undefined;
}
