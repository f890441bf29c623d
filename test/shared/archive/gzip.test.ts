/** The compressor: what it writes is read by zlib, and is the same bytes on every machine and for every cut of the input. */
import { createHash } from 'node:crypto';
import { gunzipSync, inflateRawSync } from 'node:zlib';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { Deflater } from '../../../shared/archive/deflate.ts';
import { Gzip } from '../../../shared/archive/gzip.ts';
import { codeLengths } from '../../../shared/archive/huffman.ts';

function zipped(bytes: Buffer, pieces = 65_536): Buffer {
  const gzip = new Gzip();
  const out: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += pieces) out.push(...gzip.write(bytes.subarray(at, at + pieces)));
  return Buffer.concat([...out, ...gzip.end()]);
}

/** Bytes that look random and are the same everywhere. */
function noise(length: number, letters = 256): Buffer {
  let state = 0x9e3779b9;
  return Buffer.from(
    Array.from({ length }, () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return (state >>> 24) % letters;
    }),
  );
}
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

const BLOCK = 65_536;
const cases: [what: string, bytes: Buffer][] = [
  ['nothing', Buffer.alloc(0)],
  ['one byte', Buffer.from('a')],
  ['zeros', Buffer.alloc(1_000_000)],
  ['a block of noise', noise(BLOCK)],
  ['noise of many blocks', noise(5 * BLOCK + 1)],
  ['few letters', noise(3 * BLOCK, 5)],
  ['two letters', noise(BLOCK + 7, 2)],
  ['a short round', Buffer.alloc(4 * BLOCK, 'abcdefg')],
  ['a repetition at the far end of the window', Buffer.concat([noise(32_768), noise(32_768), noise(500)])],
  ['one just out of it', Buffer.concat([noise(32_769), noise(32_769)])],
  ['lines', Buffer.from(Array.from({ length: 20_000 }, (_, i) => `line ${i * 7919} of a text\n`).join(''))],
];

describe('gzip', () => {
  it.each(cases)('of %s is read by zlib, and does not depend on the pieces', (_, bytes) => {
    const whole = zipped(bytes);
    expect(gunzipSync(whole).equals(bytes)).toBe(true);
    expect(zipped(bytes, 40_001).equals(whole)).toBe(true);
    expect(zipped(bytes, 8191).equals(whole)).toBe(true);
  });

  it('of anything is read by zlib', () => {
    const part = fc.oneof(
      fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      fc.tuple(fc.nat(255), fc.nat(70_000)).map(([byte, length]) => Buffer.alloc(length, byte)),
      fc
        .tuple(fc.integer({ min: 1, max: 60 }), fc.nat(30_000))
        .map(([letters, length]) => noise(length, letters)),
    );
    fc.assert(
      fc.property(
        fc.array(part, { maxLength: 8 }),
        fc.integer({ min: 1000, max: 100_000 }),
        (parts, pieces) => {
          const bytes = Buffer.concat(parts);
          const whole = zipped(bytes);
          expect(gunzipSync(whole).equals(bytes)).toBe(true);
          expect(zipped(bytes, pieces).equals(whole)).toBe(true);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('is smaller than what it is made of, and never much larger', () => {
    const [, lines = Buffer.alloc(0)] = cases.find(([what]) => what === 'lines') ?? [];
    expect(zipped(lines).length).toBeLessThan(lines.length / 4);
    expect(zipped(noise(10 * BLOCK)).length).toBeLessThan(10 * BLOCK + 200);
  });

  it('is these bytes, on every version of Node and every processor', () => {
    expect(cases.map(([what, bytes]) => `${what}: ${sha256(zipped(bytes)).slice(0, 16)}`))
      .toMatchInlineSnapshot(`
      [
        "nothing: ac73670af3abed54",
        "one byte: 94992c9e182d4a53",
        "zeros: b9cba94013934788",
        "a block of noise: 184fcade90bb519a",
        "noise of many blocks: aef94188915a4902",
        "few letters: d11f0492de4f3bcd",
        "two letters: c243594533fd64b5",
        "a short round: ef310e2528863bd9",
        "a repetition at the far end of the window: 96a4b134fe6ba9a7",
        "one just out of it: 7fa4a907452d8129",
        "lines: 254c56e5d15441b3",
      ]
    `);
  });

  it('says how many bytes there are, and nothing of a time or a system', () => {
    const bytes = zipped(Buffer.from('abc'));
    expect(bytes.subarray(0, 10).toString('hex')).toBe('1f8b08000000000000ff');
    expect(bytes.readUInt32LE(bytes.length - 4)).toBe(3);
  });
});

it('deflate without anything written is a stream of nothing', () => {
  expect(inflateRawSync(new Deflater().end())).toHaveLength(0);
});

it('no code is longer than allowed, and together they are complete, also where the counts are very unequal', () => {
  const fibonacci = [1, 1];
  while (fibonacci.length < 30) fibonacci.push((fibonacci.at(-1) ?? 0) + (fibonacci.at(-2) ?? 0));
  for (const most of [7, 15]) {
    const lengths = codeLengths(Uint32Array.from(fibonacci), most);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(most);
    expect(lengths.reduce((sum, length) => sum + 2 ** -length, 0)).toBe(1);
  }
});
