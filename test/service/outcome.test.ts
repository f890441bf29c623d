/** How an upload ends: the commit, the abort, the words of its thread. */
import { describe, expect, it } from 'vitest';

import { Upload } from '../../agent/service/upload.ts';
import { deferred } from '../../agent/worker/deferred.ts';
import { Fault } from '../../shared/api/fault.ts';
import { RecordingLink, STAMP, answerOf, makeStage, paramsOf, settle } from '../_kit/engines.ts';
import { faultOf, installing, received } from '../_kit/scene.ts';

const cancelled = (): Fault => new Fault('CANCELLED', 'by the test');

it('an upload that fails is told to the history, once', async () => {
  const { upload, failed } = await received();
  upload.abort(cancelled());
  upload.abort(cancelled());
  expect(failed).toEqual([
    expect.objectContaining({ plugin: upload.params.plugin, op: 'install', by: 'test', stamp: STAMP }),
  ]);
});

describe('a commit', () => {
  it('before the FIN is refused, and the upload goes on', async () => {
    const stage = makeStage();
    const upload = new Upload(paramsOf(), 'test', stage.dependencies);
    expect(await faultOf(upload.commit())).toMatchObject({ code: 'CONFLICT', retry: 'same' });
    await upload.start();
    stage.pool.at().open();
    await upload.opened;
    upload.attach(new RecordingLink());
    upload.accept(0, new Uint8Array(99), false);
    const fault = await faultOf(upload.commit());
    expect(fault.message).toContain('Only 99 of 100 bytes');
    expect([fault.executed, upload.failed]).toEqual(['no', false]);
    upload.accept(99, new Uint8Array(1), true);
    void upload.commit();
    expect(stage.pool.at().heard).toBe('begin data data commit');
  });

  it('that comes twice is carried out once and answered twice', async () => {
    const scene = await received();
    const both = [scene.upload.commit(), scene.upload.commit()];
    scene.engine.tell({ kind: 'validated', directories: [] });
    await settle();
    both.push(scene.upload.commit());
    scene.engine.installed();
    scene.engine.done();
    both.push(scene.upload.commit());
    expect(await Promise.all(both)).toEqual(Array.from({ length: 4 }, () => answerOf()));
    expect(scene.engine.heard).toBe('begin data commit install');
  });

  it('is not installed before who watches is ready, and never if the thread has crashed meanwhile', async () => {
    for (const crashes of [false, true]) {
      const stage = makeStage();
      const ready = deferred<void>();
      const told: unknown[] = [];
      stage.dependencies.swapping = (...said) => {
        told.push(said);
        return ready.promise;
      };
      const { upload, engine } = await received(stage);
      upload.commit().catch(() => undefined);
      engine.tell({ kind: 'validated', directories: ['skills'] });
      await settle();
      expect(told).toEqual([['lint', expect.any(String), ['skills']]]);
      expect(engine.heard).toBe('begin data commit');
      if (crashes) engine.crash();
      ready.resolve();
      await settle();
      expect(engine.heard).toBe(crashes ? 'begin data commit' : 'begin data commit install');
    }
  });

  it('is not answered before the thread says that it is installed', async () => {
    const scene = await received();
    let answered = false;
    void scene.upload.commit().then(() => {
      answered = true;
    });
    scene.engine.tell({ kind: 'validated', directories: [] });
    await settle();
    expect([answered, scene.engine.heard]).toEqual([false, 'begin data commit install']);
    scene.engine.installed();
    await settle();
    expect(answered).toBe(true);
  });

  it('is answered before the house-keeping is over, but the lane stays taken until then', async () => {
    const stage = makeStage();
    const first = await received(stage, { operationId: 'operation-1' });
    const { answer } = await installing(first);
    const second = await received(stage, { operationId: 'operation-2' });
    await installing(second);
    first.engine.installed();
    await answer;
    await settle();
    expect(second.engine.heard).toBe('begin data commit');
    first.engine.done();
    await settle();
    expect(second.engine.heard).toBe('begin data commit install');
  });

  it('takes its turn in the order of the commits, not of who validates faster', async () => {
    const stage = makeStage();
    const slow = await received(stage, { operationId: 'operation-1' });
    const fast = await received(stage, { operationId: 'operation-2' });
    void slow.upload.commit().catch(() => undefined);
    void fast.upload.commit().catch(() => undefined);
    fast.engine.tell({ kind: 'validated', directories: [] });
    await settle();
    expect(fast.engine.heard).toBe('begin data commit');
    slow.engine.tell({ kind: 'validated', directories: [] });
    await settle();
    expect(slow.engine.heard).toBe('begin data commit install');
    expect(fast.engine.heard).toBe('begin data commit');
    slow.engine.installed();
    slow.engine.done();
    await settle();
    expect(fast.engine.heard).toBe('begin data commit install');
  });

  it('of a plugin does not wait for that of another', async () => {
    const stage = makeStage();
    const one = await received(stage, { operationId: 'operation-1', plugin: 'one' });
    await installing(one);
    const two = await received(stage, { operationId: 'operation-2', plugin: 'two' });
    await installing(two);
    expect([one.engine.heard, two.engine.heard]).toEqual(Array(2).fill('begin data commit install'));
  });

  it.each(['validation', 'install', 'crash', 'abort'])(
    'that fails by its %s leaves the lane to the next',
    async (how) => {
      const stage = makeStage();
      const first = await received(stage, { operationId: 'operation-1' });
      void first.upload.commit().catch(() => undefined);
      const second = await received(stage, { operationId: 'operation-2' });
      await installing(second);
      if (how === 'validation') {
        first.engine.fail('MANIFEST_MISSING');
      } else if (how === 'abort') {
        first.upload.abort(cancelled());
      } else {
        first.engine.tell({ kind: 'validated', directories: [] });
        await settle();
        if (how === 'crash') {
          first.engine.crash();
        } else {
          first.engine.fail('SWAP_FAILED');
        }
      }
      await settle();
      expect(second.engine.heard).toBe('begin data commit install');
    },
  );
});

describe('an abort', () => {
  it('before the install gives the upload up, wherever it is', async () => {
    const opening = makeStage();
    const fresh = new Upload(paramsOf(), 'test', opening.dependencies);
    await fresh.start();
    expect(fresh.abort(cancelled())).toBe(true);
    expect(opening.pool.at().heard).toBe('begin abort');

    const bytes = await received();
    expect(bytes.upload.abort(cancelled())).toBe(true);
    expect(bytes.link.drops[0]?.code).toBe('CANCELLED');

    const validating = await received();
    void validating.upload.commit().catch(() => undefined);
    expect(validating.upload.abort(cancelled())).toBe(true);
    validating.engine.tell({ kind: 'validated', directories: [] });
    await settle();
    expect(validating.engine.heard).toBe('begin data commit abort');
  });

  it('of one that waits in its lane keeps it from ever being installed', async () => {
    const stage = makeStage();
    const first = await received(stage, { operationId: 'operation-1' });
    await installing(first);
    const second = await received(stage, { operationId: 'operation-2' });
    const { answer } = await installing(second);
    expect(second.upload.abort(cancelled())).toBe(true);
    first.engine.installed();
    first.engine.done();
    expect((await faultOf(answer)).code).toBe('CANCELLED');
    await settle();
    expect(second.engine.heard).toBe('begin data commit abort');
  });

  it('after the install has begun is refused, and the install goes on', async () => {
    const scene = await received();
    const { answer } = await installing(scene);
    expect(scene.upload.abort(cancelled())).toBe(false);
    scene.engine.installed();
    await expect(answer).resolves.toEqual(answerOf());
    expect(scene.upload.abort(cancelled())).toBe(false);
  });

  it('is told to everybody once, also when it comes twice', async () => {
    const { upload, events } = await received();
    upload.abort(cancelled());
    upload.abort(cancelled());
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({ type: 'install.failed', data: { operationId: 'operation-1' } });
  });
});

describe('what the thread says', () => {
  it('of a tree that is there already is the answer, without a byte', async () => {
    const { dependencies, pool } = makeStage();
    const upload = new Upload(paramsOf(), 'test', dependencies);
    await upload.start();
    pool.at().tell({ kind: 'settled', answer: answerOf('present') });
    pool.at().done();
    expect(await upload.opened).toEqual(answerOf('present'));
    expect(await upload.commit()).toEqual(answerOf('present'));
    await upload.settled();
  });

  it('of a failure is answered, told and complained of, and the thread is free', async () => {
    const scene = await received();
    const { answer } = await installing(scene);
    scene.engine.fail('SWAP_FAILED');
    expect((await faultOf(answer)).code).toBe('SWAP_FAILED');
    expect(scene.events.map(({ type }) => type)).toEqual(['install.failed']);
    expect(scene.complaints.map(({ code }) => code)).toEqual(['SWAP_FAILED']);
    expect(scene.link.drops[0]?.code).toBe('SWAP_FAILED');
    await scene.upload.settled();
  });

  it('is told before the answer is given', async () => {
    const scene = await received();
    const { answer } = await installing(scene);
    const order: string[] = [];
    void answer.catch(() => order.push(`answer after ${scene.events.length} events`));
    scene.engine.fail('SWAP_FAILED');
    await settle();
    expect(order).toEqual(['answer after 1 events']);
  });

  it('does not matter where there is no thread to be had', async () => {
    const { dependencies, pool } = makeStage();
    pool.refusal = new Fault('DRAINING', 'The agent is shutting down');
    const upload = new Upload(paramsOf(), 'test', dependencies);
    await upload.start();
    expect((await faultOf(upload.opened)).code).toBe('DRAINING');
    await upload.settled();
  });
});
