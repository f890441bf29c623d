import { describe, expect, it } from 'vitest';

import { Upload } from '../../agent/service/upload.ts';
import { Fault } from '../../shared/api/fault.ts';
import { WIRE } from '../../shared/api/rpc.ts';
import { TIMEOUTS, RecordingLink, makeStage, paramsOf, settle } from '../_kit/engines.ts';
import { type Scene, receiving, send } from '../_kit/scene.ts';

const receivingOf = (size: number): Promise<Scene> =>
  receiving(makeStage(), { bundle: { size, sha256: 'a'.repeat(64) } });

/** The code with which a promise fails. */
const codeOf = async (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: unknown) => (error instanceof Fault ? error.code : String(error)),
  );

/** Sends all and commits. */
async function committed({ upload }: Scene): Promise<void> {
  send(upload, 0, 100, true);
  void upload.commit().catch(() => undefined);
  await settle();
}

describe('the bytes of an upload', () => {
  it('are handed to the thread as copies, for the socket uses its buffer again', async () => {
    const { upload, engine } = await receiving();
    const bytes = new Uint8Array([1, 2, 3]);
    upload.accept(0, bytes, false);
    bytes.fill(9);
    expect(engine.said.at(-1)).toEqual({ kind: 'data', bytes: new Uint8Array([1, 2, 3]) });
  });

  it('are acknowledged and granted anew when the thread has taken them in', async () => {
    const size = 3 * WIRE.windowBytes;
    const { upload, engine, link } = await receivingOf(size);
    send(upload, 0, 1000);
    expect(link.grants).toEqual([]);
    engine.take(1000);
    expect(link.grants).toEqual([[1000, WIRE.windowBytes + 1000]]);
  });

  it('beyond the credit fail the upload, tell the sender, and have the slot removed', async () => {
    const { upload, engine, link, events } = await receivingOf(WIRE.windowBytes * 2);
    send(upload, 0, WIRE.windowBytes + 1);
    expect(link.drops.map((fault) => fault?.code)).toEqual(['INVALID_PARAMS']);
    expect(engine.heard).toBe('begin abort');
    expect(events.map(({ type }) => type)).toEqual(['install.failed']);
    expect(await codeOf(upload.commit())).toBe('INVALID_PARAMS');
  });

  it('that break the rules are not handed to the thread', async () => {
    const { upload, engine } = await receiving();
    send(upload, 5, 10);
    send(upload, 0, 10);
    expect(engine.heard).toBe('begin abort');
  });

  it('that come after the commit change nothing', async () => {
    const { upload, engine } = await receiving();
    send(upload, 0, 100, true);
    void upload.commit().catch(() => undefined);
    send(upload, 100, 50, true);
    expect(engine.heard).toBe('begin data commit');
  });

  it('are given up as soon as the thread says that more are in vain', async () => {
    const { upload, engine, link } = await receiving();
    send(upload, 0, 10);
    engine.take(10, 'LIMIT_ENTRIES');
    expect(link.drops[0]?.code).toBe('LIMIT_ENTRIES');
    expect(engine.heard).toBe('begin data abort');
    expect(upload.failed).toBe(true);
  });

  it('go on after other failures, for the digest decides what is said of them', async () => {
    const { upload, engine, link } = await receiving();
    send(upload, 0, 10);
    engine.take(10, 'ARCHIVE_CORRUPT');
    expect(link.drops).toEqual([]);
    expect(link.grants).toEqual([[10, 100]]);
    expect(upload.failed).toBe(false);
  });
});

describe('the connections of an upload', () => {
  it('a newer one takes over, and the bytes go on where they had come to', async () => {
    const { upload, link, engine } = await receiving();
    send(upload, 0, 40);
    const newer = new RecordingLink(2);
    expect(upload.attach(newer)).toEqual({ offset: 40, limit: 100 });
    expect(link.drops).toEqual([undefined]);
    engine.take(40);
    expect([link.grants, newer.grants]).toEqual([[], [[40, 100]]]);
  });

  it('the end of one that was taken over from does not count', async () => {
    const { upload, link, clock } = await receiving();
    upload.attach(new RecordingLink(2));
    upload.detach(link);
    clock.advance(TIMEOUTS.stall - 1);
    expect(upload.failed).toBe(false);
    clock.advance(1);
    expect(upload.failed).toBe(true);
  });

  it('an upload without one is given up after the resume window, not before', async () => {
    const { upload, link, clock, engine } = await receiving();
    upload.detach(link);
    clock.advance(TIMEOUTS.resume - 1);
    expect(upload.failed).toBe(false);
    clock.advance(1);
    expect(await codeOf(upload.commit())).toBe('DEADLINE');
    expect(engine.heard).toBe('begin abort');
  });

  it('one that comes back in time ends the resume window', async () => {
    const { upload, link, clock } = await receiving();
    send(upload, 0, 100, true);
    upload.detach(link);
    clock.advance(TIMEOUTS.resume - 1);
    upload.attach(new RecordingLink(2));
    clock.advance(TIMEOUTS.resume);
    expect(upload.failed).toBe(false);
  });

  it('a commit ends the resume window too, also one that comes over a connection without a stream', async () => {
    const { upload, link, clock } = await receiving();
    send(upload, 0, 100, true);
    upload.detach(link);
    void upload.commit().catch(() => undefined);
    clock.advance(TIMEOUTS.resume);
    expect(upload.failed).toBe(false);
  });

  it('one that is lost after the commit starts no resume window', async () => {
    const { upload, link, clock } = await receiving();
    send(upload, 0, 100, true);
    void upload.commit().catch(() => undefined);
    upload.detach(link);
    clock.advance(TIMEOUTS.resume);
    expect(upload.failed).toBe(false);
  });
});

describe('the timeouts of an upload', () => {
  it('ends when no byte comes for too long, and every byte renews it', async () => {
    const { upload, clock, link } = await receiving();
    clock.advance(TIMEOUTS.stall - 1);
    send(upload, 0, 1);
    clock.advance(TIMEOUTS.stall - 1);
    expect(upload.failed).toBe(false);
    clock.advance(1);
    expect(link.drops[0]?.code).toBe('DEADLINE');
    expect(link.drops[0]?.message).toContain('No byte came in for too long (30 s)');
  });

  it('is not renewed by frames without a byte', async () => {
    const { upload, clock } = await receiving();
    clock.advance(TIMEOUTS.stall - 1);
    send(upload, 0, 0);
    clock.advance(1);
    expect(upload.failed).toBe(true);
  });

  it('does not run while the sender waits for credit', async () => {
    const { upload, clock, engine } = await receivingOf(WIRE.windowBytes * 2);
    send(upload, 0, WIRE.windowBytes);
    clock.advance(TIMEOUTS.stall * 3);
    expect(upload.failed).toBe(false);
    engine.take(1);
    clock.advance(TIMEOUTS.stall);
    expect(upload.failed).toBe(true);
  });

  it('runs while only the FIN is missing', async () => {
    const { upload, clock } = await receiving();
    send(upload, 0, 100);
    clock.advance(TIMEOUTS.stall);
    expect(upload.failed).toBe(true);
  });

  it('ends in any case at the deadline, however busily bytes come', async () => {
    const { upload, clock, engine } = await receivingOf(10_000);
    for (let i = 0; i < 10; i += 1) {
      send(upload, i, 1);
      engine.take(i + 1);
      clock.advance(TIMEOUTS.stall - 1);
    }
    expect(upload.failed).toBe(false);
    clock.advance(TIMEOUTS.stall - 1);
    expect(upload.failed).toBe(true);
  });

  it('has a deadline also for who has sent all and never commits', async () => {
    const { upload, clock } = await receiving();
    send(upload, 0, 100, true);
    clock.advance(TIMEOUTS.deadline);
    expect(await codeOf(upload.commit())).toBe('DEADLINE');
    // The same request would take as long again. After a stall it is worth another try.
    await expect(upload.commit()).rejects.toMatchObject({ retry: 'later' });
    const stalled = await receiving();
    stalled.clock.advance(TIMEOUTS.stall);
    await expect(stalled.upload.commit()).rejects.toMatchObject({ retry: 'same' });
  });

  it('has a deadline also for one that waits for a thread, which it then does not use', async () => {
    const stage = makeStage();
    let open: () => void = () => undefined;
    stage.pool.gate = new Promise((resolve) => {
      open = resolve;
    });
    const upload = new Upload(paramsOf(), 'test', stage.dependencies);
    const started = upload.start();
    stage.clock.advance(TIMEOUTS.deadline);
    expect(await codeOf(upload.opened)).toBe('DEADLINE');
    open();
    await started;
    await upload.settled();
    expect([stage.pool.at().released, stage.pool.at().heard]).toEqual([true, '']);
  });

  it('has no deadline any more once the install has begun', async () => {
    const scene = await receiving();
    await committed(scene);
    scene.engine.tell({ kind: 'validated', directories: [] });
    await settle();
    expect(scene.engine.heard).toBe('begin data commit install');
    scene.clock.advance(TIMEOUTS.deadline * 2);
    expect(scene.upload.failed).toBe(false);
    expect(scene.engine.heard).toBe('begin data commit install');
  });

  it('leaves no timer behind, however the upload ends', async () => {
    const failed = await receiving();
    failed.upload.abort(new Fault('CANCELLED', 'no'));
    expect(failed.clock.running).toBe(0);
    const done = await receiving();
    await committed(done);
    done.engine.tell({ kind: 'validated', directories: [] });
    await settle();
    done.engine.installed();
    expect(done.clock.running).toBe(0);
    const never = makeStage();
    const upload = new Upload(paramsOf(), 'test', never.dependencies);
    upload.abort(new Fault('CANCELLED', 'before its turn'));
    await upload.start();
    expect([never.clock.running, never.pool.engines.length]).toEqual([0, 0]);
    await upload.settled();
  });
});
