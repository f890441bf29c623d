/** Threads that crash: what was executed, and who removes what they leave. */
import { describe, expect, it } from 'vitest';

import { Upload } from '../../agent/service/upload.ts';
import { Fault } from '../../shared/api/fault.ts';
import { STAMP, makeStage, paramsOf, settle } from '../_kit/engines.ts';
import { faultOf, installing, received } from '../_kit/scene.ts';

describe('a crash of the thread', () => {
  it('before the install means that nothing happened: another thread removes the slot', async () => {
    for (const stop of ['receiving', 'committed'] as const) {
      const scene = await received();
      const answer =
        stop === 'committed' ? scene.upload.commit() : Promise.reject(new Fault('INTERNAL', 'none'));
      answer.catch(() => undefined);
      scene.engine.crash();
      await settle();
      const fault = await faultOf(scene.upload.commit());
      expect([fault.code, fault.executed]).toEqual(['INTERNAL', 'no']);
      expect(scene.pool.at(1).said).toEqual([
        { kind: 'call', name: 'slot.discard', params: { plugin: 'lint', stamp: STAMP }, by: '' },
      ]);
      const settled = scene.upload.settled();
      let over = false;
      void settled.then(() => {
        over = true;
      });
      await settle();
      expect(over).toBe(false);
      scene.pool.at(1).done();
      await settled;
    }
  });

  it('before there is a slot has nothing removed', async () => {
    const { dependencies, pool } = makeStage();
    const upload = new Upload(paramsOf(), 'test', dependencies);
    await upload.start();
    pool.at().crash();
    await settle();
    expect((await faultOf(upload.opened)).executed).toBe('no');
    expect(pool.engines).toHaveLength(1);
  });

  it('during the install means that nobody knows: nothing is removed', async () => {
    const scene = await received();
    const { answer } = await installing(scene);
    scene.engine.crash();
    expect((await faultOf(answer)).executed).toBe('maybe');
    await settle();
    expect(scene.pool.engines).toHaveLength(1);
  });

  it('after the answer, in the house-keeping, takes away nothing of what is live', async () => {
    const scene = await received();
    const { answer } = await installing(scene);
    scene.engine.installed();
    await answer;
    scene.engine.crash();
    await settle();
    // Its slot and receipt are live's by now: removing them was a bug.
    expect(scene.pool.engines).toHaveLength(1);
    await scene.upload.settled();
    expect([scene.upload.failed, scene.events]).toEqual([false, []]);
  });

  it('after an abort that it did not hear any more still has the slot removed', async () => {
    const scene = await received();
    scene.upload.abort(new Fault('CANCELLED', 'by the test'));
    scene.engine.crash();
    await settle();
    expect(scene.pool.at(1).said).toEqual([
      { kind: 'call', name: 'slot.discard', params: { plugin: 'lint', stamp: STAMP }, by: '' },
    ]);
    expect((await faultOf(scene.upload.commit())).code).toBe('CANCELLED');
  });

  it('of the removing thread as well is complained of, and left to recovery', async () => {
    const scene = await received();
    scene.engine.crash();
    await settle();
    scene.pool.at(1).crash();
    await settle();
    expect(scene.complaints.map(({ code }) => code)).toEqual(['INTERNAL']);
  });
});
