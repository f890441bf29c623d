/** Each of these is a promise that was seen broken: of rollbacks, recovery and holds. */
import { existsSync, readFileSync, readdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { nodeDisk } from '../../agent/disk/node-disk.ts';
import { getPlugin } from '../../agent/store/inspect.ts';
import { stateOf } from '../../agent/store/records.ts';
import { Install } from '../../agent/change/install.ts';
import { recover } from '../../agent/change/recover.ts';
import { rollback } from '../../agent/change/rollback.ts';
import { markerAt } from '../../agent/store/marker.ts';
import { sweepPlugin } from '../../agent/change/sweep.ts';
import { handle } from '../../agent/worker/handlers.ts';
import { FaultyDisk } from '../_kit/faulty-disk.ts';
import {
  deliver,
  faultOf,
  makeRoom,
  namesIn,
  paramsOf,
  remove,
  rollBack,
  through,
} from '../_kit/install-room.ts';
import { DAY, room, stuck, upToAnswer, v } from '../_kit/broken-promises.ts';

test('hold: sweep keeps the version that an operator is told to move back', async () => {
  const here = room();
  await deliver(here, v(1));
  // Between the two renames of the rename path; recovery has crashed four times.
  const plain = makeRoom({}, { ...nodeDisk, exchange: undefined }, here.layout.root);
  const faulty = new FaultyDisk(plain.context.disk);
  let renames = 0;
  faulty.arm((call) => {
    if (call.kind === 'rename' && call.to.endsWith('/lint')) renames += 1;
    return renames > 0 ? 'ECRASHED' : undefined;
  });
  plain.clock.now += 1000;
  await deliver(through(plain, faulty.disk), v(2)).catch(() => undefined);
  expect(existsSync(here.layout.live('lint'))).toBe(false);
  const intent = readdirSync(here.layout.staging).find((name) => name.endsWith('.json')) ?? '';
  const path = join(here.layout.staging, intent);
  writeFileSync(path, JSON.stringify({ ...(JSON.parse(readFileSync(path, 'utf8')) as object), attempts: 9 }));
  const [recovered] = recover(plain.context, 'lint');
  expect(recovered?.held).toBeDefined();
  const before = namesIn(plain, plain.layout.previous);
  expect(before).toHaveLength(1);
  plain.clock.now += 8 * DAY;
  sweepPlugin(plain.context, 'lint');
  expect(namesIn(plain, plain.layout.previous)).toEqual(before);
});

test('hold: what an operator puts right by the advice is no longer held', async () => {
  const here = room();
  await deliver(here, v(1));
  const { live } = here.layout;
  const intent = await stuck(here);
  for (let i = 0; i < 6; i += 1) recover(here.context, 'lint');
  expect(stateOf(here.context, 'lint')?.held).toBeDefined();
  // "move the version before to it"
  renameSync(`${here.layout.root}/away`, live('lint'));
  const [done] = recover(here.context, 'lint');
  expect([done?.held, existsSync(intent)]).toEqual([undefined, false]);
});

test('hold: an install with force ends the hold for good', async () => {
  const here = room();
  await deliver(here, v(1));
  await stuck(here);
  for (let i = 0; i < 6; i += 1) recover(here.context, 'lint');
  await deliver(here, v(3), { force: true });
  recover(here.context, 'lint');
  expect(stateOf(here.context, 'lint')?.held).toBeUndefined();
  expect(getPlugin(here.context, 'lint')?.trouble).toBeUndefined();
});

test('rollback asked again after a crash between swap and answer does not roll back twice', async () => {
  const here = room();
  await deliver(here, v(1));
  here.clock.now += 1000;
  await deliver(here, v(2));
  here.clock.now += 1000;
  const faulty = new FaultyDisk(nodeDisk);
  let swapped = false;
  let verified = 0;
  faulty.arm((call) => {
    swapped ||= call.kind === 'exchange';
    // From the first record after the swap on everything fails: killed.
    if (swapped && call.kind === 'create') verified = 1;
    return verified === 1 ? 'ECRASHED' : undefined;
  });
  const params = { operationId: 'operation-rollback', plugin: 'lint' };
  try {
    rollback({ ...here.context, disk: faulty.disk }, params, 'tester');
  } catch {
    /* killed */
  }
  recover(here.context, 'lint');
  expect(markerAt(here.context, here.layout.live('lint'))?.pluginVersion).toBe('1.0.0');
  const refused = stateOf(here.context, 'lint')?.refused;
  const { answer, collect } = rollback(here.context, params, 'tester');
  collect();
  expect({ version: answer.pluginVersion, refused: refused !== undefined }).toEqual({
    version: '1.0.0',
    refused: true,
  });
});

test('rollback after an uninstall: a kill on the way back does not lose the version', async () => {
  const here = room();
  await deliver(here, v(1));
  here.clock.now += 1000;
  remove(here);
  here.clock.now += 1000;
  const { answer } = rollback(here.context, { operationId: 'operation-x', plugin: 'lint' }, 'tester');
  // Killed before the house-keeping; the plugin has written into its own tree meanwhile.
  writeFileSync(join(here.layout.live('lint'), 'cache.json'), '{}');
  recover(here.context, 'lint');
  const there = [existsSync(here.layout.live('lint')), ...namesIn(here, here.layout.previous)];
  expect(answer.status).toBe('rolled-back');
  expect(there).not.toEqual([false]);
});

test('an acknowledged install stays although the plugin wrote into its tree before the agent was killed', async () => {
  const here = room();
  await deliver(here, v(1));
  here.clock.now += 1000;
  // Killed while it hashes the old version: the tree of 18,000 files takes seconds.
  const faulty = new FaultyDisk(nodeDisk);
  const install = await upToAnswer(through(here, faulty.disk), v(2));
  let killed = false;
  faulty.arm((call) => {
    killed ||= call.kind === 'list' && call.path.endsWith('.previous');
    return killed ? 'ECRASHED' : undefined;
  });
  install.collect();
  writeFileSync(join(here.layout.live('lint'), 'cache.json'), '{}');
  recover(here.context, 'lint');
  expect(markerAt(here.context, here.layout.live('lint'))?.pluginVersion).toBe('2.0.0');
});

test('a rollback that fails leaves the snapshot as it was', async () => {
  const here = room();
  const first = await deliver(here, v(1));
  here.clock.now += 1000;
  await deliver(here, v(2));
  here.clock.now += 1000;
  const faulty = new FaultyDisk(nodeDisk);
  faulty.arm((call) => (call.kind === 'exchange' ? 'EBUSY' : undefined));
  await faultOf(() => rollBack(through(here, faulty.disk)));
  expect(namesIn(here, here.layout.staging)).toEqual([]);
  const again = rollBack(here, { to: first.installId });
  expect(again.pluginVersion).toBe('1.0.0');
});

test('a version in which the plugin made a link can come back, or says why not', async () => {
  const here = room();
  await deliver(here, v(1));
  symlinkSync('plugin.yaml', join(here.layout.live('lint'), 'link'));
  here.clock.now += 1000;
  await deliver(here, v(2));
  here.clock.now += 1000;
  const fault = await faultOf(() => rollBack(here)).catch(() => undefined);
  expect(fault?.message ?? '"link"').toContain('"link"');
});

test('recover says that it failed', async () => {
  const here = room();
  await deliver(here, v(1));
  new Install(here.context, paramsOf(v(2)), 'tester').begin();
  const faulty = new FaultyDisk(nodeDisk);
  faulty.arm((call) => (['rename', 'unlink', 'rmdir'].includes(call.kind) ? 'EIO' : undefined));
  const context = { ...here.context, disk: faulty.disk };
  expect(() => handle(context, 'plugin.recover', { plugin: 'lint' }, 'test')).toThrow();
});
