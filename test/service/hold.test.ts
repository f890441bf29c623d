/** What the owner says of a plugin: nothing of it is changed, or it is not loaded. */
import { expect, it } from 'vitest';

import type { Change } from '../../agent/change/transaction.ts';
import { handle } from '../../agent/worker/handlers.ts';
import { getPlugin } from '../../agent/store/inspect.ts';
import { createLoader } from '../../loader/index.ts';
import { bundleOf, deliver, faultOf, makeRoom } from '../_kit/install-room.ts';

const ONE = bundleOf({ 'rules/a.md': 'one' }, '1.0.0');
const TWO = bundleOf({ 'rules/a.md': 'two' }, '2.0.0');

it('a hold refuses installs with its reason until it is released, and is made once for an operation id', async () => {
  const room = makeRoom();
  await deliver(room, ONE);
  const ask = (operationId: string, more: object): unknown =>
    (handle(room.context, 'plugin.hold', { operationId, plugin: 'lint', ...more }, 'test') as Change<unknown>)
      .answer;
  expect(ask('operation-hold', { why: 'a bad release' })).toEqual({ plugin: 'lint', held: 'a bad release' });
  const both = await faultOf(() => ask('operation-both', { why: 'a bad release', release: true }));
  expect(both).toMatchObject({ code: 'INVALID_PARAMS' });
  expect(await faultOf(() => deliver(room, TWO))).toMatchObject({ code: 'HELD' });
  expect(getPlugin(room.context, 'lint')).toMatchObject({ status: 'admitted', held: 'a bad release' });
  expect(ask('operation-free', { release: true })).toEqual({ plugin: 'lint', held: null });
  // Asked again by its id, the first one has the same answer and changes nothing.
  expect(ask('operation-hold', { why: 'a bad release' })).toEqual({ plugin: 'lint', held: 'a bad release' });
  expect((await deliver(room, TWO)).status).toBe('installed');
  expect(getPlugin(room.context, 'lint')).not.toHaveProperty('held');
});

it('the gate refuses a plugin that is disabled, and admits it again when it is enabled', async () => {
  const room = makeRoom();
  await deliver(room, ONE);
  const ask = (operationId: string, disabled: boolean): unknown =>
    (
      handle(
        room.context,
        'plugin.disable',
        { operationId, plugin: 'lint', disabled },
        'test',
      ) as Change<unknown>
    ).answer;
  const loader = createLoader({ roots: [room.layout.root] });
  expect(ask('operation-off', true)).toEqual({ plugin: 'lint', disabled: true });
  expect(getPlugin(room.context, 'lint')).toMatchObject({ status: 'refused', reason: 'disabled' });
  expect(await loader.gate('lint')).toMatchObject({ admitted: false, reason: 'disabled' });
  expect(ask('operation-on', false)).toEqual({ plugin: 'lint', disabled: false });
  expect(await loader.gate('lint')).toMatchObject({ admitted: true });
});
