/** How often the list of all files of a version is read: most questions are answered by its marker. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, it } from 'vitest';

import { nodeDisk } from '../../agent/disk/node-disk.ts';
import type { Change } from '../../agent/change/transaction.ts';
import { handle } from '../../agent/worker/handlers.ts';
import { FaultyDisk, never } from '../_kit/faulty-disk.ts';
import { bundleOf, deliver, makeRoom } from '../_kit/install-room.ts';

const ONE = bundleOf({ 'rules/a.md': 'one' }, '1.0.0');
const TWO = bundleOf({ 'rules/a.md': 'two' }, '2.0.0');

const counting = new FaultyDisk(nodeDisk);

/** How many receipts are read by some work. */
async function reads(work: () => unknown): Promise<number> {
  counting.arm(never);
  await work();
  return counting.calls.filter(({ kind, path }) => kind === 'open' && /\/\.receipts\/.+\.json$/.test(path))
    .length;
}

it('an update reads the one before twice: for what was edited in place, and for what the runtime has loaded; and its own for the history', async () => {
  const room = makeRoom({}, counting.disk);
  expect(await reads(() => deliver(room, ONE))).toBe(1);
  expect(await reads(() => deliver(room, TWO))).toBe(3);
});

it('a quick status reads none, and says everything else as a whole one', async () => {
  const room = makeRoom({}, counting.disk);
  await deliver(room, ONE);
  writeFileSync(join(room.layout.live('lint'), 'rules/a.md'), 'edited');
  const whole = (handle(room.context, 'root.status', {}, 'test') as Change<unknown>).answer;
  expect(whole).toMatchObject({ plugins: { admitted: 1, drifted: 1 } });
  let cheap: unknown;
  const read = await reads(() => {
    cheap = (handle(room.context, 'root.status', { quick: true }, 'test') as Change<unknown>).answer;
  });
  const { drifted: _, ...counts } = (whole as { plugins: { drifted: number } }).plugins;
  expect([read, cheap]).toEqual([0, { ...(whole as object), plugins: counts }]);
});
