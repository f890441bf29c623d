import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { TarReader } from '../../agent/archive/tar-reader.ts';
import { directory, file, longLink, longName, pax, symlink, tar } from '../_kit/tar-builder.ts';

/** Everything that a reader says, with the bytes of each file in one. */
function read(bytes: Buffer, cuts: number[]): unknown[] {
  const said: unknown[] = [];
  let body: Buffer[] = [];
  const reader = new TarReader({
    entry: ({ records, ...entry }) => said.push({ ...entry, records: [...records] }),
    data: (chunk) => body.push(Buffer.from(chunk)),
    end: () => {
      said.push(Buffer.concat(body).toString('hex'));
      body = [];
    },
    finding: (...finding) => said.push(finding),
  });
  const places = [
    0,
    ...cuts.map((truncate) => truncate % bytes.length).toSorted((a, b) => a - b),
    bytes.length,
  ];
  for (const [i, at] of places.entries()) {
    reader.write(bytes.subarray(at, places[i + 1] ?? at));
  }
  reader.end();
  return said;
}

const WHOLE = tar(
  directory('d/'),
  pax({ path: '長い/名前.md', comment: 'a\n30 path=other' }),
  file('short', 'x'.repeat(1500)),
  longName('n'.repeat(700)),
  file('short', ''),
  longLink('t'.repeat(150)),
  symlink('l', 't'),
);

describe('the reader of tars', () => {
  it('says the same, however the bytes are cut', () => {
    const whole = read(WHOLE, []);
    expect(whole.length).toBe(6);
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 40 }), (cuts) => {
        expect(read(WHOLE, cuts)).toEqual(whole);
      }),
    );
  });

  it('never throws and never hands on more than it was given, whatever one byte is changed to', () => {
    fc.assert(
      fc.property(
        fc.nat(WHOLE.length - 1),
        fc.integer({ min: 0, max: 255 }),
        fc.array(fc.nat()),
        (at, byte, cuts) => {
          const bytes = Buffer.from(WHOLE);
          bytes[at] = byte;
          expect(read(bytes, cuts)).toEqual(read(bytes, []));
        },
      ),
    );
  });

  it('hands the bytes of files on without copying them', () => {
    const bytes = tar(file('a', 'x'.repeat(5000)));
    const seen: boolean[] = [];
    const nothing = (): void => undefined;
    const data = (chunk: Buffer): void => void seen.push(chunk.buffer === bytes.buffer);
    new TarReader({ entry: nothing, end: nothing, finding: nothing, data }).write(bytes);
    expect(seen).toEqual([true]);
  });
});
