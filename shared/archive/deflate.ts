/**
 * Compresses bytes as deflate (RFC 1951). The zlib of Node makes other bytes from version to version and from processor to
 * processor. This one makes the same bytes everywhere, in whatever pieces they come.
 */
import { codeLengths, codesOf } from './huffman.ts';

const WINDOW_BYTES = 32 * 1024;
const WINDOW_MASK = WINDOW_BYTES - 1;
/** So many bytes get Huffman codes of their own. A multiple of the window, so that places keep their slot in the chain. */
const BLOCK_BYTES = 64 * 1024;
const STORED_MAX = 0xffff;

const MATCH_MIN = 4;
const MATCH_MAX = 258;
/** After a match that is longer, no better one is looked for at the next byte. */
const LAZY_MAX = 32;
/** A match that is as long is taken at once. */
const NICE = 128;
/** So many earlier places are looked at. */
const CHAIN_MAX = 24;
const HASH_BITS = 15;
const NOWHERE = -1;

const END_OF_BLOCK = 256;
const LITERALS = 286;
const DISTANCES = 30;
const CODE_BITS = 15;
const LENGTH_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/** The first value and the extra bits of each symbol of a kind. */
type Ranges = { base: Uint16Array; extra: Uint8Array };

/** @param plain how many symbols stand for one value each. @param each how many symbols have the same extra bits. */
function rangesOf(count: number, first: number, plain: number, each: number): Ranges {
  const base = new Uint16Array(count);
  const extra = new Uint8Array(count);
  let next = first;
  for (let symbol = 0; symbol < count; symbol += 1) {
    const bits = symbol < plain ? 0 : Math.floor((symbol - plain) / each) + 1;
    base[symbol] = next;
    extra[symbol] = bits;
    next += 2 ** bits;
  }
  return { base, extra };
}

const LENGTH = rangesOf(29, 3, 8, 4);
// The longest match has a symbol of its own.
LENGTH.base[28] = MATCH_MAX;
LENGTH.extra[28] = 0;
const DISTANCE = rangesOf(DISTANCES, 1, 4, 2);

/** The symbol of each value. */
function symbolsOf({ base }: Ranges, values: number): Uint8Array {
  const symbols = new Uint8Array(values);
  let symbol = 0;
  for (let value = base[0] ?? 0; value < values; value += 1) {
    while (symbol + 1 < base.length && (base[symbol + 1] ?? 0) <= value) symbol += 1;
    symbols[value] = symbol;
  }
  return symbols;
}
const LENGTH_SYMBOL = symbolsOf(LENGTH, MATCH_MAX + 1);
const DISTANCE_SYMBOL = symbolsOf(DISTANCE, WINDOW_BYTES + 1);

type Codes = { lengths: Uint8Array; codes: Uint16Array };
const withCodes = (lengths: Uint8Array): Codes => ({ lengths, codes: codesOf(lengths) });

const FIXED_LITERALS = withCodes(
  Uint8Array.from({ length: 288 }, (_, symbol) =>
    symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8,
  ),
);
const FIXED_DISTANCES = withCodes(new Uint8Array(DISTANCES).fill(5));

/** How the codes of a block are written before it: runs of lengths, each with its extra bits. */
type CodeTable = {
  literals: Codes;
  distances: Codes;
  runs: { symbol: number; extra: number }[];
  ofRuns: Codes;
  literalCount: number;
  distanceCount: number;
  runCount: number;
  bits: number;
};

export class Deflater {
  /** The last bytes of the blocks before, then the block. */
  readonly #buffer = new Uint8Array(WINDOW_BYTES + BLOCK_BYTES);
  readonly #head = new Int32Array(1 << HASH_BITS).fill(NOWHERE);
  readonly #chain = new Int32Array(WINDOW_BYTES).fill(NOWHERE);
  /** A literal, or a match: its length above its distance. */
  readonly #tokens = new Uint32Array(BLOCK_BYTES);
  readonly #literalCounts = new Uint32Array(LITERALS);
  readonly #distanceCounts = new Uint32Array(DISTANCES);
  readonly #out = new Uint8Array(2 * BLOCK_BYTES);
  /** Where the block begins and ends in the buffer. */
  #from = 0;
  #to = 0;
  #tokenCount = 0;
  #written = 0;
  /** Bits that do not fill a byte yet. */
  #bits = 0;
  #bitCount = 0;

  /** @returns what is compressed of it so far. */
  write(bytes: Uint8Array): Buffer[] {
    const done: Buffer[] = [];
    for (let at = 0; at < bytes.length;) {
      const part = bytes.subarray(at, at + BLOCK_BYTES - (this.#to - this.#from));
      this.#buffer.set(part, this.#to);
      this.#to += part.length;
      at += part.length;
      if (this.#to - this.#from === BLOCK_BYTES) {
        done.push(this.#block(false));
        this.#slide();
      }
    }
    return done;
  }

  /** @returns the rest. Nothing can be written after it. */
  end(): Buffer {
    return this.#block(true);
  }

  #block(isLast: boolean): Buffer {
    this.#written = 0;
    this.#findMatches();
    this.#writeBlock(isLast);
    if (isLast) this.#align();
    return Buffer.from(this.#out.slice(0, this.#written).buffer);
  }

  /** Keeps a window of the past before the next block. */
  #slide(): void {
    const by = this.#to - WINDOW_BYTES;
    this.#buffer.copyWithin(0, by, this.#to);
    for (const places of [this.#head, this.#chain]) {
      for (let i = 0; i < places.length; i += 1) {
        const place = places[i] ?? NOWHERE;
        places[i] = place >= by ? place - by : NOWHERE;
      }
    }
    this.#from = WINDOW_BYTES;
    this.#to = WINDOW_BYTES;
  }

  #hashAt(at: number): number {
    const buffer = this.#buffer;
    const four =
      (buffer[at] ?? 0) |
      ((buffer[at + 1] ?? 0) << 8) |
      ((buffer[at + 2] ?? 0) << 16) |
      ((buffer[at + 3] ?? 0) << 24);
    return Math.imul(four, 0x9e3779b1) >>> (32 - HASH_BITS);
  }

  /** The place is known for later matches. */
  #insert(at: number): void {
    if (at + MATCH_MIN > this.#to) return;
    const hash = this.#hashAt(at);
    this.#chain[at & WINDOW_MASK] = this.#head[hash] ?? NOWHERE;
    this.#head[hash] = at;
  }

  /** The longest match that is longer than `atLeast`: its length above its distance; 0 if there is none. */
  #match(at: number, atLeast: number): number {
    const buffer = this.#buffer;
    const most = Math.min(MATCH_MAX, this.#to - at);
    if (most < MATCH_MIN || most <= atLeast) return 0;
    const oldest = at - WINDOW_BYTES;
    let best = Math.max(atLeast, MATCH_MIN - 1);
    let found = 0;
    let place = this.#head[this.#hashAt(at)] ?? NOWHERE;
    for (let left = CHAIN_MAX; left > 0 && place >= oldest && place >= 0; left -= 1) {
      if (buffer[place + best] === buffer[at + best] && buffer[place] === buffer[at]) {
        let length = 1;
        while (length < most && buffer[place + length] === buffer[at + length]) length += 1;
        if (length > best) {
          best = length;
          found = (length << 16) | (at - place);
          if (length >= NICE || length === most) break;
        }
      }
      const before = this.#chain[place & WINDOW_MASK] ?? NOWHERE;
      if (before >= place) break;
      place = before;
    }
    return found;
  }

  /** Finds what to write for the block, and counts the symbols. */
  #findMatches(): void {
    this.#tokenCount = 0;
    this.#literalCounts.fill(0);
    this.#distanceCounts.fill(0);
    let at = this.#from;
    let match = 0;
    let isKnown = false;
    while (at < this.#to) {
      if (!isKnown) match = this.#match(at, 0);
      this.#insert(at);
      isKnown = false;
      const length = match >>> 16;
      if (match !== 0 && length <= LAZY_MAX) {
        const next = this.#match(at + 1, length);
        if (next !== 0) {
          this.#literal(at);
          match = next;
          isKnown = true;
          at += 1;
          continue;
        }
      }
      if (match === 0) {
        this.#literal(at);
        at += 1;
        continue;
      }
      this.#token(match);
      // Of a long match the bytes at its end are enough: what follows it will be like them.
      const known = length < NICE ? at + 1 : at + length - MATCH_MIN;
      for (let inside = known; inside < at + length; inside += 1) this.#insert(inside);
      at += length;
    }
    this.#count(this.#literalCounts, END_OF_BLOCK);
  }

  #count(counts: Uint32Array, symbol: number): void {
    counts[symbol] = (counts[symbol] ?? 0) + 1;
  }

  #literal(at: number): void {
    const byte = this.#buffer[at] ?? 0;
    this.#tokens[this.#tokenCount] = byte;
    this.#tokenCount += 1;
    this.#count(this.#literalCounts, byte);
  }

  #token(match: number): void {
    this.#tokens[this.#tokenCount] = match;
    this.#tokenCount += 1;
    this.#count(this.#literalCounts, END_OF_BLOCK + 1 + (LENGTH_SYMBOL[match >>> 16] ?? 0));
    this.#count(this.#distanceCounts, DISTANCE_SYMBOL[match & 0xffff] ?? 0);
  }

  /** Writes the block in the shortest of the three forms. */
  #writeBlock(isLast: boolean): void {
    const last = isLast ? 1 : 0;
    const size = this.#to - this.#from;
    const table = codeTable(this.#literalCounts, this.#distanceCounts);
    const own = table.bits + this.#bitsWith(table.literals, table.distances);
    const fixed = this.#bitsWith(FIXED_LITERALS, FIXED_DISTANCES);
    const stored = Math.ceil(size / STORED_MAX) * 40 + 8 * size;
    if (size > 0 && stored < Math.min(own, fixed)) {
      this.#store(last);
    } else if (fixed <= own) {
      this.#put(last | (1 << 1), 3);
      this.#putTokens(FIXED_LITERALS, FIXED_DISTANCES);
    } else {
      this.#put(last | (2 << 1), 3);
      this.#putTable(table);
      this.#putTokens(table.literals, table.distances);
    }
  }

  /** The bits of the block with these codes. */
  #bitsWith(literals: Codes, distances: Codes): number {
    let bits = 0;
    this.#literalCounts.forEach((count, symbol) => {
      const extra = symbol > END_OF_BLOCK ? (LENGTH.extra[symbol - END_OF_BLOCK - 1] ?? 0) : 0;
      bits += count * ((literals.lengths[symbol] ?? 0) + extra);
    });
    this.#distanceCounts.forEach((count, symbol) => {
      bits += count * ((distances.lengths[symbol] ?? 0) + (DISTANCE.extra[symbol] ?? 0));
    });
    return bits;
  }

  #store(last: number): void {
    for (let at = this.#from; at < this.#to;) {
      const end = Math.min(this.#to, at + STORED_MAX);
      this.#put(end === this.#to ? last : 0, 3);
      this.#align();
      this.#put(end - at, 16);
      this.#put(~(end - at) & 0xffff, 16);
      this.#out.set(this.#buffer.subarray(at, end), this.#written);
      this.#written += end - at;
      at = end;
    }
  }

  #putTable({ runs, ofRuns, literalCount, distanceCount, runCount }: CodeTable): void {
    this.#put(literalCount - 257, 5);
    this.#put(distanceCount - 1, 5);
    this.#put(runCount - 4, 4);
    for (const symbol of LENGTH_ORDER.slice(0, runCount)) this.#put(ofRuns.lengths[symbol] ?? 0, 3);
    for (const { symbol, extra } of runs) {
      this.#put(ofRuns.codes[symbol] ?? 0, ofRuns.lengths[symbol] ?? 0);
      this.#put(extra, RUN_BITS[symbol] ?? 0);
    }
  }

  #putTokens(literals: Codes, distances: Codes): void {
    for (let i = 0; i < this.#tokenCount; i += 1) {
      const token = this.#tokens[i] ?? 0;
      if (token < 256) {
        this.#put(literals.codes[token] ?? 0, literals.lengths[token] ?? 0);
        continue;
      }
      const [length, distance] = [token >>> 16, token & 0xffff];
      const far = LENGTH_SYMBOL[length] ?? 0;
      const symbol = END_OF_BLOCK + 1 + far;
      this.#put(literals.codes[symbol] ?? 0, literals.lengths[symbol] ?? 0);
      this.#put(length - (LENGTH.base[far] ?? 0), LENGTH.extra[far] ?? 0);
      const back = DISTANCE_SYMBOL[distance] ?? 0;
      this.#put(distances.codes[back] ?? 0, distances.lengths[back] ?? 0);
      this.#put(distance - (DISTANCE.base[back] ?? 0), DISTANCE.extra[back] ?? 0);
    }
    this.#put(literals.codes[END_OF_BLOCK] ?? 0, literals.lengths[END_OF_BLOCK] ?? 0);
  }

  /** Writes at most 16 bits. */
  #put(value: number, count: number): void {
    this.#bits |= value << this.#bitCount;
    this.#bitCount += count;
    while (this.#bitCount >= 8) {
      this.#out[this.#written] = this.#bits & 0xff;
      this.#written += 1;
      this.#bits >>>= 8;
      this.#bitCount -= 8;
    }
  }

  #align(): void {
    if (this.#bitCount > 0) this.#put(0, 8 - this.#bitCount);
  }
}

/** The extra bits of a run of lengths, by its symbol. */
const RUN_BITS: Readonly<Record<number, number>> = { 16: 2, 17: 3, 18: 7 };

function codeTable(literalCounts: Uint32Array, distanceCounts: Uint32Array): CodeTable {
  const literals = withCodes(codeLengths(literalCounts, CODE_BITS));
  const distances = withCodes(codeLengths(distanceCounts, CODE_BITS));
  const literalCount = Math.max(257, usedOf(literals.lengths));
  const distanceCount = Math.max(1, usedOf(distances.lengths));
  const runs = runsOf([
    ...literals.lengths.subarray(0, literalCount),
    ...distances.lengths.subarray(0, distanceCount),
  ]);
  const counts = new Uint32Array(19);
  for (const { symbol } of runs) counts[symbol] = (counts[symbol] ?? 0) + 1;
  // A code of one symbol would not be complete.
  if (counts.filter((count) => count > 0).length === 1) counts[counts[0] === 0 ? 0 : 1] = 1;
  const ofRuns = withCodes(codeLengths(counts, 7));
  const runCount = Math.max(
    4,
    19 - LENGTH_ORDER.toReversed().findIndex((symbol) => ofRuns.lengths[symbol] !== 0),
  );
  const bits = runs.reduce(
    (sum, { symbol }) => sum + (ofRuns.lengths[symbol] ?? 0) + (RUN_BITS[symbol] ?? 0),
    14 + 3 * runCount,
  );
  return { literals, distances, runs, ofRuns, literalCount, distanceCount, runCount, bits };
}

/** The number of symbols up to the last one that is used. */
const usedOf = (lengths: Uint8Array): number => lengths.findLastIndex((length) => length > 0) + 1;

function runsOf(lengths: readonly number[]): CodeTable['runs'] {
  const runs: CodeTable['runs'] = [];
  for (let at = 0; at < lengths.length;) {
    const length = lengths[at] ?? 0;
    let same = 1;
    while (at + same < lengths.length && lengths[at + same] === length) same += 1;
    at += same;
    if (length === 0) {
      for (; same >= 3; same -= Math.min(same, 138)) {
        const zeros = Math.min(same, 138);
        runs.push(zeros < 11 ? { symbol: 17, extra: zeros - 3 } : { symbol: 18, extra: zeros - 11 });
      }
    } else {
      runs.push({ symbol: length, extra: 0 });
      same -= 1;
      for (; same >= 3; same -= Math.min(same, 6)) runs.push({ symbol: 16, extra: Math.min(same, 6) - 3 });
    }
    for (; same > 0; same -= 1) runs.push({ symbol: length, extra: 0 });
  }
  return runs;
}
