/** docs/vectors/frames.json holds for this code: the frames themselves, and what a session does with them. */
import { describe, expect, test } from 'vitest';

import { type FrameVectors, bytesOf } from '../../scripts/docs/frame-vectors.ts';
import { decodeFrame, encodeFrame } from '../../shared/api/frame.ts';
import { Talk, makeServed } from '../_kit/talk.ts';
import { readVectors } from '../_kit/vectors.ts';

const { good, bad, text } = await readVectors<FrameVectors>('frames');

describe('a binary frame', () => {
  test.each(good)('is made and read: $name', ({ stream, offset, fin, data, frame }) => {
    const fields = { stream, offset, fin, data: bytesOf(data) };
    expect(encodeFrame(fields).equals(bytesOf(frame))).toBe(true);
    const read = decodeFrame(bytesOf(frame));
    expect(read).toMatchObject({ ok: true, frame: { stream, offset, fin } });
    expect(read.ok && bytesOf(data).equals(read.frame.data)).toBe(true);
  });

  test.each(bad)('ends the connection: $name', async ({ frame, close }) => {
    expect(decodeFrame(bytesOf(frame)).ok).toBe(false);
    const talk = await Talk.start(makeServed());
    talk.session.binary(bytesOf(frame));
    expect(talk.closed).toEqual([close]);
  });
});

test.each(text)('a text frame does what the vectors say: $name', async ({ text: frame, agent }) => {
  const talk = await Talk.start(makeServed());
  const before = talk.socket.texts.length;
  talk.session.text(frame);
  if (agent === 'nothing') {
    await talk.ask('plugin.list', {});
    expect(talk.socket.texts).toHaveLength(before + 1);
  } else if ('close' in agent) {
    expect(talk.closed).toEqual([agent.close]);
  } else {
    await talk.ask('plugin.list', {});
    const answer = talk.socket.texts[before];
    expect(answer).toMatchObject('answers' in agent ? { id: agent.answers } : { error: agent.refuses });
    expect(talk.closed).toEqual([]);
  }
});
