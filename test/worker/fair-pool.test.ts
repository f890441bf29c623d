import { describe, expect, it } from 'vitest';

import { Batch } from '../../agent/service/upload.ts';
import { type Deferred, deferred } from '../../agent/worker/deferred.ts';
import type { Engine } from '../../agent/worker/pool.ts';
import { type ThreadHolder, FairPool } from '../../agent/worker/fair-pool.ts';
import { FakeClock } from '../_kit/clock.ts';
import { settle } from '../_kit/engines.ts';

const LISTENER = { message: () => undefined, crash: () => undefined };
const ENGINE: Engine = { say: () => undefined, release: () => undefined };

class Uploader implements ThreadHolder {
  received = 0;
  awaitsClient = true;
  receiving = true;
  code: string | undefined;

  abort({ code }: { code: string }): boolean {
    this.code = code;
    this.receiving = false;
    return true;
  }
}

/** Two who have a thread, and as many as are asked for who wait. */
async function scene(waiting: number): Promise<{
  clock: FakeClock;
  holders: [Uploader, Uploader];
  others: Uploader[];
  queue: Deferred<Engine>[];
}> {
  const queue: Deferred<Engine>[] = [];
  let free = 2;
  const lease = (): Promise<Engine> => {
    free -= 1;
    if (free >= 0) return Promise.resolve(ENGINE);
    const turn = deferred<Engine>();
    queue.push(turn);
    return turn.promise;
  };
  const clock = new FakeClock();
  const turns = new FairPool({ lease }, clock);
  const holders: [Uploader, Uploader] = [new Uploader(), new Uploader()];
  const others = Array.from({ length: waiting }, () => new Uploader());
  for (const holder of [...holders, ...others]) {
    void turns.lease(LISTENER, holder);
    await settle();
  }
  return { clock, holders, others, queue };
}

describe('who holds a thread', () => {
  it('keeps it, however slow, while nobody waits', async () => {
    const { clock, holders } = await scene(0);
    clock.advance(60_000);
    expect(holders.map(({ code }) => code)).toEqual([undefined, undefined]);
  });

  it('gives it back if it brings nothing while one waits: the slowest, and no more than are waited for', async () => {
    const { clock, holders } = await scene(1);
    holders[0].received = 100;
    clock.advance(4999);
    expect(holders.map(({ code }) => code)).toEqual([undefined, undefined]);
    clock.advance(1);
    expect(holders.map(({ code }) => code)).toEqual([undefined, 'DEADLINE']);
  });

  it('keeps it while it brings bytes, or while it is not the turn of its client', async () => {
    const { clock, holders } = await scene(2);
    holders[1].awaitsClient = false;
    for (let i = 0; i < 5; i += 1) {
      holders[0].received += 64 * 1024;
      clock.advance(5000);
    }
    expect(holders.map(({ code }) => code)).toEqual([undefined, undefined]);
    clock.advance(5000);
    expect(holders.map(({ code }) => code)).toEqual(['DEADLINE', undefined]);
  });

  // Was a bug: who had just been given a thread lost it at the next look, for it had brought nothing yet.
  it('is judged by whole turns, not by the moment since it got its thread', async () => {
    const { clock, holders, others, queue } = await scene(3);
    holders[0].awaitsClient = false;
    holders[1].awaitsClient = false;
    clock.advance(4999);
    queue[0]?.resolve(ENGINE);
    await settle();
    clock.advance(1);
    expect(others[0]?.code).toBeUndefined();
    clock.advance(5000);
    expect(others.map(({ code }) => code)).toEqual(['DEADLINE', undefined, undefined]);
  });

  it('is left alone as soon as nobody waits any more', async () => {
    const { clock, holders, queue } = await scene(1);
    clock.advance(4000);
    queue[0]?.resolve(ENGINE);
    await settle();
    clock.advance(60_000);
    expect(holders.map(({ code }) => code)).toEqual([undefined, undefined]);
  });
});

describe('a batch', () => {
  it('hands on every byte in order, one message while the thread is busy, none larger than a quarter of the window', () => {
    const said: number[][] = [];
    const batch = new Batch((bytes) => said.push([...bytes]));
    batch.add(Uint8Array.of());
    expect(said).toEqual([]);
    batch.add(Uint8Array.of(1));
    for (let i = 2; i < 10; i += 1) batch.add(Uint8Array.of(i));
    expect(said).toEqual([[1]]);
    batch.taken();
    expect(said).toEqual([[1], [2, 3, 4, 5, 6, 7, 8, 9]]);
    batch.add(new Uint8Array(140_000).fill(7));
    batch.add(new Uint8Array(140_000).fill(8));
    batch.flush();
    batch.flush();
    expect(said.slice(2).map(({ length }) => length)).toEqual([262_144, 17_856]);
    expect(said[2]?.[139_999]).toBe(7);
    expect(said[2]?.[140_000]).toBe(8);
  });

  it('takes what it is given at once: the buffer may be used again', () => {
    const said: number[][] = [];
    const batch = new Batch((bytes) => said.push([...bytes]));
    const data = Uint8Array.of(1);
    batch.add(data);
    data[0] = 2;
    batch.add(data);
    data[0] = 3;
    batch.taken();
    expect(said).toEqual([[1], [2]]);
  });
});
