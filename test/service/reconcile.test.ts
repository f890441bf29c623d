/** What an agent does about declared plugins, with threads and pulls that the test plays. */
import { describe, expect, it } from 'vitest';

import { type ReconcileDependencies, reconcile } from '../../agent/service/reconcile.ts';
import { Fault } from '../../shared/api/fault.ts';
import type { ReconcileParams } from '../../shared/api/methods.ts';
import type { Reconciled } from '../../shared/api/reconcile.ts';
import { deferred } from '../../agent/worker/deferred.ts';
import { answerOf, settle } from '../_kit/engines.ts';
import { faultOf } from '../_kit/scene.ts';

const missing = (name: string): Reconciled => ({ name, state: 'missing', action: 'deliver' });
const source = (name: string): string => `https://example.com/${name}.tgz`;
const failing = (code: 'NOT_FOUND' | 'CONFLICT' | 'DRAINING') => (): Promise<never> =>
  Promise.reject(new Fault(code, 'a test'));

const applied = async (
  found: readonly Reconciled[],
  dependencies: Partial<ReconcileDependencies>,
  changes: Partial<ReconcileParams> = {},
): Promise<Reconciled[]> => {
  const { plugins } = await reconcile(
    {
      worker: { call: () => Promise.resolve(found) as never },
      adopt: failing('CONFLICT'),
      pull: failing('NOT_FOUND'),
      ...dependencies,
    },
    {
      operationId: 'operation-1',
      mode: 'apply',
      declared: found.map(({ name }) => ({ name, source: source(name) })),
      ...changes,
    },
  );
  return plugins.items;
};

describe('to apply', () => {
  it('pulls a few plugins at once, each under an id of its own that is always the same', async () => {
    const found = Array.from({ length: 7 }, (_, i) => missing(`p${i}`));
    const asked: { operationId: string; url: string; restart?: boolean }[] = [];
    const gate = deferred<void>();
    const pull: ReconcileDependencies['pull'] = async (params) => {
      asked.push(params);
      await gate.promise;
      return answerOf(params.plugin === 'p0' ? 'present' : 'installed');
    };
    const answer = applied(found, { pull }, { restart: false });
    await settle();
    expect(asked.map(({ url }) => url)).toEqual(['p0', 'p1', 'p2', 'p3'].map(source));
    gate.resolve();
    expect((await answer).map(({ fate }) => fate)).toEqual([
      'present',
      ...Array.from({ length: 6 }, () => 'installed'),
    ]);
    const ids = asked.map(({ operationId }) => operationId);
    expect([new Set(ids).size, asked.every(({ restart }) => restart === false)]).toEqual([7, true]);
    await applied(found, { pull });
    expect(asked.slice(7).map(({ operationId }) => operationId)).toEqual(ids);
  });

  it('delivers what cannot be adopted, and asks the client for what has no URL', async () => {
    const found: Reconciled[] = [
      { name: 'a', state: 'unmarked', action: 'adopt' },
      { name: 'b', state: 'unmarked', action: 'adopt' },
      missing('c'),
      { name: 'd', state: 'held', action: 'none' },
      { name: 'e', state: 'unmanaged', action: 'none' },
    ];
    const tree = `sha256:${'a'.repeat(64)}`;
    const adopted: unknown[] = [];
    const adopt: ReconcileDependencies['adopt'] = (params) => {
      adopted.push(params);
      return params.plugin === 'a' ? Promise.resolve({ status: 'adopted' }) : failing('CONFLICT')();
    };
    const declared = [{ name: 'a', tree }, { name: 'b', source: 'the shop' }, { name: 'c' }, { name: 'd' }];
    expect(await applied(found, { adopt }, { declared })).toEqual([
      { name: 'a', state: 'unmarked', action: 'adopt', fate: 'adopted' },
      { name: 'b', state: 'unmarked', action: 'adopt', fate: 'wanted', detail: 'it is not adopted: a test' },
      { ...missing('c'), fate: 'wanted' },
      found[3],
      found[4],
    ]);
    expect(adopted).toMatchObject([{ plugin: 'a', tree }, { plugin: 'b' }]);
  });

  it('goes on after a plugin that fails, but not while the agent shuts down', async () => {
    const found = [missing('a'), missing('b')];
    const answers: Record<string, () => Promise<ReturnType<typeof answerOf>>> = {
      a: failing('NOT_FOUND'),
      b: () => Promise.resolve(answerOf('installed')),
    };
    const pull: ReconcileDependencies['pull'] = ({ plugin }) => (answers[plugin] ?? failing('NOT_FOUND'))();
    expect(await applied(found, { pull })).toMatchObject([
      { fate: 'failed', error: { code: 'NOT_FOUND' } },
      { fate: 'installed', reload: { action: 'restart' } },
    ]);
    answers['b'] = failing('DRAINING');
    expect(await faultOf(applied(found, { pull }))).toMatchObject({ code: 'DRAINING' });
    const touched: Reconciled[] = [{ name: 'a', state: 'unmarked', action: 'adopt' }];
    expect(await faultOf(applied(touched, { adopt: failing('DRAINING') }))).toMatchObject({
      code: 'DRAINING',
    });
  });
});
