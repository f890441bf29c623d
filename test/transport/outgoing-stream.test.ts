import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { OutgoingStream } from '../../agent/transport/streams.ts';
import { type DataFrame, FRAME_DATA_BYTES, decodeFrame } from '../../shared/api/frame.ts';

function flow(size: number): { content: Buffer; frames: DataFrame[]; out: OutgoingStream } {
  const content = Buffer.alloc(size, 0).map((_, i) => i % 251) as Buffer;
  const frames: DataFrame[] = [];
  const out = new OutgoingStream(5, Buffer.from(content), (bytes) => {
    const read = decodeFrame(bytes);
    if (!read.ok) {
      throw new Error(read.why);
    }
    frames.push(read.frame);
  });
  return { content, frames, out };
}
const sentOf = (frames: DataFrame[]): Buffer => Buffer.concat(frames.map(({ data }) => data));

describe('a stream to a client', () => {
  it('sends nothing before it is granted something', () => {
    expect(flow(100).frames).toEqual([]);
  });

  it('sends up to the limit and not a byte more', () => {
    const { out, frames } = flow(100);
    expect(out.grant(40)).toBe(false);
    expect(frames).toMatchObject([{ stream: 5, offset: 0, fin: false }]);
    expect(sentOf(frames)).toHaveLength(40);
  });

  it('sends nothing for a window that was granted before, or for a smaller one', () => {
    const { out, frames } = flow(100);
    out.grant(40);
    out.grant(40);
    out.grant(10);
    out.grant(0);
    expect(sentOf(frames)).toHaveLength(40);
  });

  it('ends with a FIN on the last bytes, also where the window lies far beyond them', () => {
    const { out, frames, content } = flow(200_000);
    expect(out.grant(Number.MAX_SAFE_INTEGER)).toBe(true);
    expect(frames.map(({ fin }) => fin)).toEqual([false, false, false, true]);
    expect(sentOf(frames).equals(content)).toBe(true);
    expect(Math.max(...frames.map(({ data }) => data.length))).toBe(FRAME_DATA_BYTES);
  });

  it('says nothing after its end', () => {
    const { out, frames } = flow(10);
    out.grant(10);
    expect(out.grant(1000)).toBe(true);
    expect(frames).toHaveLength(1);
  });

  it('of nothing is one frame that says so', () => {
    const { out, frames } = flow(0);
    expect(out.grant(0)).toBe(true);
    expect(frames).toMatchObject([{ offset: 0, fin: true }]);
  });

  it('is whole, in order and within its credit, whatever windows come', () => {
    fc.assert(
      fc.property(fc.nat(300_000), fc.array(fc.nat(400_000), { maxLength: 20 }), (size, limits) => {
        const { out, frames, content } = flow(size);
        let most = 0;
        for (const limit of limits) {
          most = Math.max(most, limit);
          out.grant(limit);
          const sent = sentOf(frames);
          expect(sent.length).toBe(Math.min(most, size));
          expect(sent.equals(content.subarray(0, sent.length))).toBe(true);
        }
        out.grant(size);
        expect(sentOf(frames).equals(content)).toBe(true);
        expect(frames.filter(({ fin }) => fin)).toHaveLength(1);
      }),
      { numRuns: 50 },
    );
  });
});
