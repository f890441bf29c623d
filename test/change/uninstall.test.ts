import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, it } from 'vitest';

import { bundleOf, deliver, faultOf, makeRoom, namesIn, remove } from '../_kit/install-room.ts';

it('removes what is live; it is kept, and so is its data', async () => {
  const room = makeRoom();
  const { installId } = await deliver(room, bundleOf());
  mkdirSync(room.layout.data('lint'), { recursive: true });
  expect(remove(room)).toMatchObject({
    status: 'removed',
    installId,
    purged: false,
    reload: { kind: 'cold', action: 'restart', restarting: true },
  });
  expect(existsSync(room.layout.live('lint'))).toBe(false);
  expect(namesIn(room, room.layout.previous)).toHaveLength(1);
  expect(namesIn(room, room.layout.receipts)).toEqual([`lint.${installId}.json`]);
  expect([namesIn(room, room.layout.staging), room.complaints]).toEqual([[], []]);
  expect(existsSync(room.layout.data('lint'))).toBe(true);
  expect(room.events).toContainEqual(expect.objectContaining({ type: 'plugin.removed' }));
});

it('removes what was never marked, and says so', () => {
  const room = makeRoom();
  mkdirSync(room.layout.live('lint'));
  writeFileSync(join(room.layout.live('lint'), 'mine'), 'x');
  expect(remove(room)).toMatchObject({ status: 'removed', installId: null });
  expect(namesIn(room, room.layout.previous)).toHaveLength(1);
});

it('of what is not there changes nothing; asked to, it still purges the data', () => {
  const room = makeRoom();
  mkdirSync(room.layout.data('lint'), { recursive: true });
  mkdirSync(room.layout.data('other'), { recursive: true });
  expect(remove(room)).toMatchObject({ status: 'absent', purged: false, reload: { action: 'none' } });
  expect(remove(room, { purge: true })).toMatchObject({ status: 'absent', purged: true });
  expect([existsSync(room.layout.data('lint')), existsSync(room.layout.data('other'))]).toEqual([
    false,
    true,
  ]);
  expect(room.events).toEqual([]);
});

it('asked again, gives the same answer and removes nothing that came since', async () => {
  const room = makeRoom();
  await deliver(room, bundleOf());
  const first = remove(room, { operationId: 'same' });
  await deliver(room, bundleOf({ a: 'b' }));
  expect(remove(room, { operationId: 'same' })).toEqual(first);
  expect(existsSync(room.layout.live('lint'))).toBe(true);
  expect((await faultOf(() => remove(room, { operationId: 'same', purge: true }))).code).toBe('CONFLICT');
});

it('heeds what is expected and what is held', async () => {
  const room = makeRoom();
  await deliver(room, bundleOf());
  expect((await faultOf(() => remove(room, { expect: { installId: null } }))).code).toBe('CONFLICT');
  writeFileSync(room.layout.stateOf('lint'), '{"version":1,"held":"wait"}');
  expect((await faultOf(() => remove(room))).code).toBe('HELD');
  expect(remove(room, { force: true, restart: false }).reload.restarting).toBe(false);
});
