/** Changes with threads of which the test plays every word. */
import { describe, expect, it } from 'vitest';

import { WorkerClient } from '../../agent/worker/client.ts';
import { Executor, type OwnHandlers } from '../../agent/service/execute.ts';
import type { Failure } from '../../agent/service/failure-notes.ts';
import { Lanes } from '../../shared/lanes.ts';
import type { EventBody } from '../../shared/api/events.ts';
import type { Swept } from '../../shared/api/maintenance.ts';
import { deferred } from '../../agent/worker/deferred.ts';
import { Fault } from '../../shared/api/fault.ts';
import type { Uninstalled } from '../../shared/api/plugin.ts';
import { ScriptedPool, answerOf, settle } from '../_kit/engines.ts';
import { faultOf } from '../_kit/scene.ts';

const GONE: Uninstalled = {
  plugin: 'lint',
  status: 'removed',
  installId: null,
  purged: false,
  reload: { kind: 'cold', action: 'restart', restarting: true, reasons: { items: [], total: 0 } },
};
const BACK = answerOf('rolled-back');
const asked = (operationId: string, plugin = 'lint'): { operationId: string; plugin: string } => ({
  operationId,
  plugin,
});

const unexpected = (): Promise<never> => Promise.reject(new Error('The test did not expect this'));
const nobody: OwnHandlers = {
  'install.commit': unexpected,
  'install.abort': unexpected,
  'plugin.export': unexpected,
  'plugin.pull': unexpected,
  reconcile: unexpected,
  'runtime.restarted': unexpected,
  recover: unexpected,
  sweep: unexpected,
  status: unexpected,
  doctor: unexpected,
};

function makeChanges(own: Partial<OwnHandlers> = {}) {
  const pool = new ScriptedPool();
  const held: string[] = [];
  const events: EventBody[] = [];
  const complaints: Fault[] = [];
  let refusal: Fault | undefined;
  const pluginLocks = {
    hold: (plugin: string) => {
      if (refusal !== undefined) return Promise.reject(refusal);
      held.push(plugin);
      return Promise.resolve(async () => void held.splice(held.indexOf(plugin), 1));
    },
  };
  const worker = new WorkerClient(pool, {
    tell: (event) => events.push(event),
    complain: (fault) => complaints.push(fault),
  });
  const failed: Failure[] = [];
  const changes = new Executor({
    worker,
    slow: worker,
    pluginLocks,
    lanes: new Lanes(),
    own: { ...nobody, ...own },
    failed: (one) => failed.push(one),
    complain: (fault) => complaints.push(fault),
  });
  return {
    pool,
    held,
    events,
    complaints,
    failed,
    changes,
    refuse: (fault: Fault) => void (refusal = fault),
  };
}

describe('a change', () => {
  it('that fails is told to the history, with who asked', async () => {
    const { pool, changes, failed } = makeChanges();
    const gone = changes.execute('plugin.hold', { ...asked('operation-1'), release: true }, 'ci');
    await settle();
    const fault = new Fault('NO_SPACE', 'By the test');
    pool.at().tell({ kind: 'failed', fault: fault.toData(), stack: undefined }, { kind: 'done' });
    expect(await faultOf(gone)).toMatchObject({ code: 'NO_SPACE' });
    expect(failed).toEqual([
      { plugin: 'lint', op: 'release', operationId: 'operation-1', by: 'ci', fault: expect.any(Fault) },
    ]);
  });

  it('is given to a thread as it was asked, with who asked', async () => {
    const { pool, changes } = makeChanges();
    const back = changes.execute('plugin.rollback', asked('operation-1'), 'ci');
    await settle();
    const params = asked('operation-1');
    expect(pool.at().said).toEqual([{ kind: 'call', name: 'plugin.rollback', params, by: 'ci' }]);
    pool.at().tell({ kind: 'answer', answer: BACK }, { kind: 'done' });
    expect(await back).toEqual(BACK);
    const gone = changes.execute('plugin.uninstall', asked('operation-2'), 'ci');
    await settle();
    pool.at().tell({ kind: 'answer', answer: GONE }, { kind: 'done' });
    expect(await gone).toEqual(GONE);
  });

  it('is answered before its house-keeping is over, but lane and lock are kept until then', async () => {
    const { pool, held, changes } = makeChanges();
    const first = changes.execute('plugin.rollback', asked('operation-1'), 'test');
    const second = changes.execute('plugin.uninstall', asked('operation-2'), 'test');
    await settle();
    pool.at().tell({ kind: 'answer', answer: BACK });
    await first;
    await settle();
    expect([pool.engines.length, held]).toEqual([1, ['lint', 'lint']]);
    expect(changes.running).toEqual([asked('operation-1'), asked('operation-2')]);
    pool.at().done();
    await settle();
    expect([pool.engines.length, held]).toEqual([2, ['lint']]);
    expect(changes.running).toEqual([asked('operation-2')]);
    pool.at().tell({ kind: 'answer', answer: GONE }, { kind: 'done' });
    await second;
    await settle();
    expect([held, changes.running]).toEqual([[], []]);
  });

  it('of another plugin goes on beside it', async () => {
    const { pool, changes } = makeChanges();
    const all = [
      changes.execute('plugin.rollback', asked('operation-1'), 'test'),
      changes.execute('plugin.rollback', asked('operation-2', 'b'), 't'),
    ];
    await settle();
    expect(pool.engines).toHaveLength(2);
    for (const engine of pool.engines) engine.tell({ kind: 'answer', answer: BACK }, { kind: 'done' });
    await Promise.all(all);
  });

  it('that fails says why, and the next one has its turn', async () => {
    const { pool, held, changes } = makeChanges();
    const first = faultOf(changes.execute('plugin.rollback', asked('operation-1'), 'test'));
    const second = changes.execute('plugin.uninstall', asked('operation-2'), 'test');
    await settle();
    pool.at().fail('NOT_FOUND');
    expect(await first).toMatchObject({ code: 'NOT_FOUND' });
    await settle();
    pool.at(1).tell({ kind: 'answer', answer: GONE }, { kind: 'done' });
    expect(await second).toEqual(GONE);
    await settle();
    expect(held).toEqual([]);
  });

  it('whose thread crashes may have happened, and holds nothing any more', async () => {
    const { pool, held, changes } = makeChanges();
    const fault = faultOf(changes.execute('plugin.rollback', asked('operation-1'), 'test'));
    await settle();
    pool.at().crash();
    expect(await fault).toMatchObject({ code: 'INTERNAL', executed: 'maybe' });
    await settle();
    expect([held, changes.running]).toEqual([[], []]);
  });

  it('whose thread crashes in the house-keeping keeps its answer, and holds nothing any more', async () => {
    const { pool, held, changes } = makeChanges();
    const back = changes.execute('plugin.rollback', asked('operation-1'), 'test');
    await settle();
    pool.at().tell({ kind: 'answer', answer: BACK });
    pool.at().crash();
    expect(await back).toEqual(BACK);
    await settle();
    expect([held, changes.running]).toEqual([[], []]);
  });

  it('that gets no lock or no thread says so', async () => {
    const scene = makeChanges();
    scene.pool.refusal = new Fault('DRAINING', 'The agent is shutting down');
    expect(
      await faultOf(scene.changes.execute('plugin.rollback', asked('operation-1'), 'test')),
    ).toMatchObject({
      code: 'DRAINING',
    });
    await settle();
    expect(scene.held).toEqual([]);
    scene.refuse(new Fault('LOCKED', 'By the test'));
    expect(
      await faultOf(scene.changes.execute('plugin.uninstall', asked('operation-2'), 'test')),
    ).toMatchObject({
      code: 'LOCKED',
    });
    await settle();
    expect([scene.pool.engines.length, scene.changes.running]).toEqual([0, []]);
  });

  it('passes on what its thread says beside the answer, each to whom it belongs', async () => {
    const { pool, events, complaints, changes } = makeChanges();
    const back = changes.execute('plugin.rollback', asked('operation-1'), 'test');
    await settle();
    const data = { operationId: 'operation-1', plugin: 'lint', installId: null, by: 'test' };
    const complaint = new Fault('INTERNAL', 'House-keeping').toData();
    pool
      .at()
      .tell(
        { kind: 'event', event: { type: 'plugin.removed', data } },
        { kind: 'answer', answer: BACK },
        { kind: 'complaint', fault: complaint, stack: undefined },
        { kind: 'done' },
      );
    await back;
    expect(events).toEqual([{ type: 'plugin.removed', data }]);
    expect(complaints).toMatchObject([{ code: 'INTERNAL', message: 'House-keeping' }]);
  });
});

describe('draining', () => {
  it('begins nothing more, and waits for the house-keeping of what has begun', async () => {
    const { pool, changes } = makeChanges();
    const back = changes.execute('plugin.rollback', asked('operation-1'), 'test');
    await settle();
    let drained = false;
    const draining = changes.drain().then(() => (drained = true));
    expect(await faultOf(changes.execute('plugin.uninstall', asked('operation-2'), 'test'))).toMatchObject({
      code: 'DRAINING',
      executed: 'no',
    });
    pool.at().tell({ kind: 'answer', answer: BACK });
    await back;
    await settle();
    expect([drained, pool.engines.length]).toEqual([false, 1]);
    pool.at().done();
    await draining;
    expect(changes.running).toEqual([]);
  });
});

describe('a change of the root', () => {
  const SWEPT: Swept = {
    recovered: { items: [], total: 0 },
    snapshots: { items: ['lint.one'], total: 1 },
    receipts: { items: [], total: 0 },
    adopted: { items: [], total: 0 },
    operations: 3,
    busy: { items: [], total: 0 },
    failed: { items: [], total: 0 },
  };
  const one = { operationId: 'operation-1' };

  /** Plays the thread that remembers: nothing yet, then whatever it is told to remember. */
  async function remembering(pool: ScriptedPool, known: object | undefined): Promise<void> {
    await settle();
    pool.at().tell({ kind: 'answer', answer: known }, { kind: 'done' });
    await settle();
  }

  it('is done once for an operation id: asked again meanwhile, it waits for the same answer', async () => {
    let swept = 0;
    const gate = deferred<Swept>();
    const { pool, changes } = makeChanges({
      sweep: () => {
        swept += 1;
        return gate.promise;
      },
    });
    const both = [changes.execute('sweep', one, 'a'), changes.execute('sweep', one, 'b')];
    await remembering(pool, undefined);
    gate.resolve(SWEPT);
    await remembering(pool, undefined);
    expect([await Promise.all(both), swept]).toEqual([[SWEPT, SWEPT], 1]);
    expect(pool.at().said).toMatchObject([
      { name: 'operations.remember', params: { method: 'sweep', params: one, answer: SWEPT } },
    ]);
  });

  it('that was answered before is answered from the disk, and not done again', async () => {
    const { pool, changes } = makeChanges();
    const again = changes.execute('sweep', one, 'a');
    await remembering(pool, SWEPT);
    expect(await again).toEqual(SWEPT);
    expect(pool.engines).toHaveLength(1);
  });

  it('with an id that is under way for something else is a CONFLICT', async () => {
    const { pool, changes } = makeChanges({ sweep: () => Promise.resolve(SWEPT) });
    const first = changes.execute('sweep', one, 'a');
    expect(await faultOf(changes.execute('recover', one, 'a'))).toMatchObject({ code: 'CONFLICT' });
    await remembering(pool, undefined);
    await remembering(pool, undefined);
    expect(await first).toEqual(SWEPT);
  });

  it('is refused while the agent ends, before anything is asked', async () => {
    const { pool, changes } = makeChanges();
    await changes.drain();
    expect(await faultOf(changes.execute('sweep', one, 'a'))).toMatchObject({
      code: 'DRAINING',
      executed: 'no',
    });
    expect(pool.engines).toEqual([]);
  });

  it('is answered also where the answer cannot be remembered, and says so in the log', async () => {
    const { pool, complaints, changes } = makeChanges({ sweep: () => Promise.resolve(SWEPT) });
    const answer = changes.execute('sweep', one, 'a');
    await remembering(pool, undefined);
    pool.at().fail('NO_SPACE');
    expect(await answer).toEqual(SWEPT);
    expect(complaints).toMatchObject([{ code: 'NO_SPACE' }]);
  });
});
