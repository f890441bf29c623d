import { mkdirSync, renameSync, writeFileSync } from 'node:fs';

import { expect, it } from 'vitest';

import { getPlugin, inspect, listPlugins, verifyPlugin } from '../../agent/store/inspect.ts';
import { stateOf } from '../../agent/store/records.ts';
import { noteTrouble } from '../../agent/store/state.ts';
import { bundleOf, deliver, makeRoom } from '../_kit/install-room.ts';

const STAMP = '20260508T141530123Z-9f86d081';

it('a plugin that only an operator can put right is listed, also where nothing is live, until a version is in place', async () => {
  const room = makeRoom();
  await deliver(room, bundleOf());
  renameSync(room.layout.live('lint'), room.layout.snapshot('lint', STAMP));
  const what = 'It broke';
  noteTrouble(room.context, 'lint', { operationId: 'operation-9', what, todo: 'Mend it', hold: undefined });
  expect(listPlugins(room.context)).toEqual([
    {
      name: 'lint',
      status: 'absent',
      detail: 'It broke',
      hint: 'Mend it',
      trouble: { what: 'It broke', todo: 'Mend it' },
    },
  ]);
  await deliver(room, bundleOf({}, '2'));
  expect(getPlugin(room.context, 'lint')).toMatchObject({ status: 'admitted' });
  expect(getPlugin(room.context, 'lint')).not.toHaveProperty('trouble');
  expect(stateOf(room.context, 'lint')).toEqual({ version: 1 });
});

it('a plugin whose state cannot be read is refused: it may have been disabled', async () => {
  const room = makeRoom();
  await deliver(room, bundleOf());
  mkdirSync(room.layout.state, { recursive: true });
  writeFileSync(room.layout.stateOf('lint'), '{"version":1,"disabled":tr');
  expect(inspect(room.context, 'lint')).toMatchObject({ admitted: false, reason: 'unreadable' });
});

it('a version that is replaced while it is hashed is not what is told of: the new one is', async () => {
  const room = makeRoom();
  await deliver(room, bundleOf({}, '1'));
  await deliver(room, bundleOf({}, '2'));
  const { installId } = inspect(room.context, 'lint') as { installId: string };
  const old = room.layout.snapshot('lint', installId);
  let lists = 0;
  const disk = {
    ...room.context.disk,
    // The first walk over live is interrupted by a swap: what was live goes, something older comes.
    list: (path: string) => {
      if (path === room.layout.live('lint') && lists++ === 0) {
        renameSync(path, `${old}.aside`);
        renameSync(old, path);
      }
      return room.context.disk.list(path);
    },
  };
  const verified = verifyPlugin({ ...room.context, disk }, 'lint');
  expect(verified.verdict).toBe('intact');
  expect(verified.installId).not.toBe(installId);
});
