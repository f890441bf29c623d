import fc from 'fast-check';
import { expect, test } from 'vitest';

import { FRAME_DATA_BYTES, FRAME_HEADER_BYTES, decodeFrame, encodeFrame } from '../../../shared/api/frame.ts';

test('a frame has the known bytes', () => {
  const frame = { stream: 0x01020304, offset: 0x0506_0708_090a, fin: true, data: Buffer.from('hi') };
  expect(encodeFrame(frame).toString('hex')).toBe(
    ['01010000', '01020304', '000005060708090a', '6869'].join(''),
  );
});

test('what is encoded is decoded again', () => {
  const frame = fc.record({
    stream: fc.integer({ min: 0, max: 0xffff_ffff }),
    offset: fc.maxSafeNat(),
    fin: fc.boolean(),
    data: fc.uint8Array({ maxLength: 300 }),
  });
  fc.assert(
    fc.property(frame, (given) => {
      const reading = decodeFrame(encodeFrame(given));
      if (!reading.ok) throw new Error(reading.why);
      expect({ ...reading.frame, data: Uint8Array.from(reading.frame.data) }).toEqual(given);
    }),
  );
});

test('a frame carries 64 KiB and no byte more', () => {
  const frame = { stream: 1, offset: 0, fin: false, data: Buffer.alloc(FRAME_DATA_BYTES) };
  const bytes = encodeFrame(frame);
  expect(decodeFrame(bytes)).toMatchObject({ ok: true });
  expect(decodeFrame(Buffer.concat([bytes, Buffer.alloc(1)]))).toMatchObject({ ok: false });
  expect(() => encodeFrame({ ...frame, data: Buffer.alloc(FRAME_DATA_BYTES + 1) })).toThrow(RangeError);
});

test.each([
  ['a stream', { stream: 2 ** 32, offset: 0 }],
  ['a negative stream', { stream: -1, offset: 0 }],
  ['a negative offset', { stream: 0, offset: -1 }],
  ['an offset that is no integer', { stream: 0, offset: 1.5 }],
])('%s that does not fit its field is not encoded', (_, numbers) => {
  expect(() => encodeFrame({ ...numbers, fin: false, data: Buffer.alloc(0) })).toThrow(RangeError);
});

test('an empty last frame is a frame', () => {
  const bytes = encodeFrame({ stream: 7, offset: 9, fin: true, data: Buffer.alloc(0) });
  expect(bytes).toHaveLength(FRAME_HEADER_BYTES);
  expect(decodeFrame(bytes)).toMatchObject({ ok: true, frame: { stream: 7, offset: 9, fin: true } });
});

const GOOD = '01000000000000010000000000000000';
test.each([
  ['nothing', ''],
  ['half a header', GOOD.slice(0, 30)],
  ['an unknown type', `02${GOOD.slice(2)}`],
  ['type 0', `00${GOOD.slice(2)}`],
  ['an unknown flag', `0102${GOOD.slice(4)}`],
  ['flags beside FIN', `0181${GOOD.slice(4)}`],
  ['a reserved field that is not 0', `01000001${GOOD.slice(8)}`],
  ['an offset beyond 2^53', `${GOOD.slice(0, 16)}0020000000000000`],
  ['an offset of all ones', `${GOOD.slice(0, 16)}ffffffffffffffff`],
])('hostile: %s', (_, hex) => {
  expect(decodeFrame(Buffer.from(hex, 'hex'))).toMatchObject({ ok: false, why: expect.any(String) });
});

test('the largest offset that is exact is taken', () => {
  const bytes = Buffer.from(`${GOOD.slice(0, 16)}001fffffffffffff`, 'hex');
  expect(decodeFrame(bytes)).toMatchObject({ ok: true, frame: { offset: Number.MAX_SAFE_INTEGER } });
});

test('whatever the bytes, decoding never throws, and what it takes encodes to the same', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (given) => {
      const bytes = Buffer.from(given);
      const reading = decodeFrame(bytes);
      if (reading.ok) expect(encodeFrame(reading.frame).equals(bytes)).toBe(true);
    }),
  );
});
