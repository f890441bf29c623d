/** A stream that is read while it is sent: credit, the pace of the socket, its ends. */
import { describe, expect, it } from 'vitest';

import { type Deferred, deferred } from '../../agent/worker/deferred.ts';
import type { Piece, Source } from '../../agent/service/exports.ts';
import { OutgoingStreams, StreamMemory } from '../../agent/transport/streams.ts';
import { Fault } from '../../shared/api/fault.ts';
import { type DataFrame, decodeFrame } from '../../shared/api/frame.ts';
import { FakeClock } from '../_kit/clock.ts';
import { settle } from '../_kit/engines.ts';

/** A source whose pieces the test gives. */
class ScriptedSource implements Source {
  pulls: Deferred<Piece>[] = [];
  cancelled = 0;
  readonly loss = deferred<Fault>();

  get lost(): Promise<Fault> {
    return this.loss.promise;
  }

  pull(): Promise<Piece> {
    const next = deferred<Piece>();
    this.pulls.push(next);
    return next.promise;
  }

  cancel(): void {
    this.cancelled += 1;
  }

  async give(text: string, isLast = false): Promise<void> {
    this.pulls.at(-1)?.resolve({ bytes: new Uint8Array(Buffer.from(text)), isLast });
    await settle();
  }
}

function begin() {
  const clock = new FakeClock();
  const memory = new StreamMemory();
  const frames: DataFrame[] = [];
  const waiting: (() => void)[] = [];
  const resets: [stream: number, code: string][] = [];
  const streams = new OutgoingStreams({
    memory,
    clock,
    send: (bytes, flushed) => {
      const read = decodeFrame(bytes);
      if (!read.ok) throw new Error(read.why);
      frames.push(read.frame);
      if (flushed !== undefined) waiting.push(flushed);
    },
    reset: (stream, fault) => resets.push([stream, fault.code]),
  });
  const source = new ScriptedSource();
  streams.open(3, source);
  /** The socket has sent what it was given. */
  const flush = async (): Promise<void> => {
    waiting.splice(0).forEach((done) => done());
    await settle();
  };
  const sent = (): string => frames.map(({ data }) => Buffer.from(data).toString()).join('');
  return { clock, memory, frames, resets, streams, source, flush, sent };
}

describe('a stream with a source', () => {
  it('reads nothing before there is credit, and no second piece before the first is sent', async () => {
    const { streams, source, flush, sent, frames, memory, clock } = begin();
    expect(source.pulls).toHaveLength(0);
    streams.grant(3, 100);
    streams.grant(3, 200);
    expect(source.pulls).toHaveLength(1);
    await source.give('one');
    expect([sent(), source.pulls.length]).toEqual(['one', 1]);
    await flush();
    expect(source.pulls).toHaveLength(2);
    await source.give('two', true);
    expect(sent()).toBe('onetwo');
    expect(frames.map(({ offset, fin }) => [offset, fin])).toEqual([
      [0, false],
      [3, true],
    ]);
    expect([streams.size, source.cancelled, memory.kept, clock.running]).toEqual([0, 0, 0, 0]);
  });

  it('sends to the limit and not a byte more', async () => {
    const { streams, source, flush, sent, clock } = begin();
    streams.grant(3, 2);
    await source.give('abcdef', true);
    expect(sent()).toBe('ab');
    streams.grant(3, 1);
    streams.grant(3, 5);
    await flush();
    expect(sent()).toBe('abcde');
    streams.grant(3, 6);
    expect([sent(), streams.size, clock.running]).toEqual(['abcdef', 0, 0]);
  });

  it('ends with an empty frame where the last piece is empty, also without credit', async () => {
    const { streams, source, flush, frames } = begin();
    streams.grant(3, 4);
    await source.give('abc');
    await flush();
    await source.give('', true);
    expect(frames.at(-1)).toMatchObject({ offset: 3, fin: true });
    expect(frames.at(-1)?.data).toHaveLength(0);
  });

  it('tells its reader that its source has failed, at once, and frees its memory', async () => {
    const first = begin();
    first.streams.grant(3, 4);
    first.source.pulls[0]?.reject(new Fault('DIGEST_MISMATCH', 'edited'));
    await settle();
    expect([first.resets, first.streams.size, first.memory.kept]).toEqual([[[3, 'DIGEST_MISMATCH']], 0, 0]);
    const second = begin();
    second.source.loss.resolve(new Fault('DEADLINE', 'others wait'));
    await settle();
    expect([second.resets, second.streams.size]).toEqual([[[3, 'DEADLINE']], 0]);
  });

  it('is cancelled by its reader and by the end of the connection, and says nothing more', async () => {
    const { streams, source, frames, resets, clock } = begin();
    streams.grant(3, 10);
    streams.end(3);
    await source.give('late');
    expect([source.cancelled, frames, resets, clock.running]).toEqual([1, [], [], 0]);
    const other = begin();
    other.streams.endAll();
    expect(other.source.cancelled).toBe(1);
  });

  it('ends after 30 s without credit, and not while the disk is slow', async () => {
    const { streams, source, flush, clock, resets } = begin();
    clock.advance(29_999);
    streams.grant(3, 10);
    // The reader has done its part.
    clock.advance(120_000);
    expect(resets).toEqual([]);
    await source.give('0123456789');
    await flush();
    clock.advance(29_000);
    streams.grant(3, 10);
    expect(resets).toEqual([]);
    clock.advance(31_000);
    expect([resets, source.cancelled, streams.size]).toEqual([[[3, 'DEADLINE']], 1, 0]);
  });
});
