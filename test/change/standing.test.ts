/** What is remembered, taken back and left alone of a change that was killed, or that another one has overtaken. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { nodeDisk } from '../../agent/disk/node-disk.ts';
import { getPlugin } from '../../agent/store/inspect.ts';
import { stateOf } from '../../agent/store/records.ts';
import { Install } from '../../agent/change/install.ts';
import { markerAt } from '../../agent/store/marker.ts';
import { recover } from '../../agent/change/recover.ts';
import { noteLoaded } from '../../agent/change/runtime-reports.ts';
import { room, upToAnswer, v } from '../_kit/broken-promises.ts';
import { FaultyDisk } from '../_kit/faulty-disk.ts';
import { deliver, faultOf, namesIn, paramsOf, remove, rollBack, through } from '../_kit/install-room.ts';

/** From the first record after live has changed on everything fails: killed. */
function killedAfterTheSwap(): FaultyDisk {
  const faulty = new FaultyDisk(nodeDisk);
  let swapped = false;
  let killed = false;
  faulty.arm(({ kind, path, to }) => {
    swapped ||= kind === 'exchange' || (kind === 'rename' && [path, to].some((end) => end.endsWith('/lint')));
    killed ||= swapped && kind === 'create';
    return killed ? 'ECRASHED' : undefined;
  });
  return faulty;
}

test('an install that is killed between swap and answer is answered with the restart that it asks for', async () => {
  const here = room();
  await deliver(here, v(1));
  here.clock.now += 1000;
  const dying = through(here, killedAfterTheSwap().disk);
  const params = paramsOf(v(2), { operationId: 'operation-killed' });
  const install = new Install(dying.context, params, 'tester');
  install.begin();
  await install.write(v(2));
  await install.validate();
  try {
    install.install();
    install.collect();
  } catch {
    /* killed */
  }
  recover(here.context, 'lint');
  expect(namesIn(here, here.layout.staging)).toEqual([]);
  const answer = new Install(here.context, params, 'tester').begin();
  expect(answer).toMatchObject({
    status: 'installed',
    installId: markerAt(here.context, here.layout.live('lint'))?.installId,
    pluginVersion: '2.0.0',
    reload: { kind: 'cold', action: 'restart', restarting: true },
  });
});

test('an uninstall that is killed before its answer is answered with the restart that it asks for', async () => {
  const here = room();
  const { installId } = await deliver(here, v(1));
  here.clock.now += 1000;
  const dying = through(here, killedAfterTheSwap().disk);
  expect(() => remove(dying, { operationId: 'operation-killed' })).not.toThrow();
  recover(here.context, 'lint');
  expect(remove(here, { operationId: 'operation-killed' })).toMatchObject({
    status: 'removed',
    installId,
    reload: { kind: 'cold', action: 'restart', restarting: true },
  });
});

test('a version that a rollback brought back after all is refused no more, also when it was killed', async () => {
  const here = room({ keep: 3 });
  await deliver(here, v(1));
  here.clock.now += 1000;
  const { installId: second } = await deliver(here, v(2));
  here.clock.now += 1000;
  rollBack(here);
  here.clock.now += 1000;
  remove(here);
  expect(stateOf(here.context, 'lint')?.refused).toBeDefined();
  here.clock.now += 1000;
  rollBack(through(here, killedAfterTheSwap().disk), { to: second, operationId: 'operation-killed' });
  recover(here.context, 'lint');
  expect(markerAt(here.context, here.layout.live('lint'))?.pluginVersion).toBe('2.0.0');
  expect(stateOf(here.context, 'lint')?.refused).toBeUndefined();
});

test('an uninstall that failed is not answered with what another one has done', async () => {
  const here = room();
  await deliver(here, v(1));
  here.clock.now += 1000;
  const faulty = new FaultyDisk(nodeDisk);
  let failing = false;
  faulty.arm(({ kind, path }) => {
    failing ||= kind === 'rename' && path.endsWith('/lint');
    return failing ? 'EIO' : undefined;
  });
  const asked = { operationId: 'operation-failed' };
  await faultOf(() => remove(through(here, faulty.disk), asked));
  expect(namesIn(here, here.layout.staging)).not.toEqual([]);
  // It waited in the same lane, so that nothing was recovered in between.
  expect(remove(here).status).toBe('removed');
  recover(here.context, 'lint');
  expect(namesIn(here, here.layout.staging)).toEqual([]);
  expect(remove(here, asked)).toMatchObject({ status: 'absent', installId: null });
});

test('an install that failed does not come to life after an uninstall', async () => {
  const here = room();
  await deliver(here, v(1));
  here.clock.now += 1000;
  const faulty = new FaultyDisk(nodeDisk);
  let failing = false;
  faulty.arm(({ kind }) => {
    failing ||= kind === 'exchange';
    return failing ? 'EIO' : undefined;
  });
  await faultOf(() => deliver(through(here, faulty.disk), v(2)));
  here.clock.now += 1000;
  // It waited in the same lane, so that nothing was recovered in between.
  remove(here);
  const [recovered] = recover(here.context, 'lint');
  expect(recovered?.held).toBeUndefined();
  expect(existsSync(here.layout.live('lint'))).toBe(false);
  expect(rollBack(here).pluginVersion).toBe('1.0.0');
});

test('an uninstall stands, and holds nobody up, if an upload was under way when the agent was killed', async () => {
  const here = room();
  await deliver(here, v(1));
  here.clock.now += 1000;
  const upload = new Install(here.context, paramsOf(v(2)), 'tester');
  upload.begin();
  await upload.write(v(2));
  here.clock.now += 1000;
  remove(here);
  const [recovered] = recover(here.context, 'lint');
  expect(recovered?.held).toBeUndefined();
  expect([existsSync(here.layout.live('lint')), namesIn(here, here.layout.staging)]).toEqual([false, []]);
  expect((await deliver(here, v(2))).status).toBe('installed');
});

test('an uninstall stands after an update that was not tidied up, and both versions are kept', async () => {
  const here = room({ keep: 3 });
  await deliver(here, v(1));
  here.clock.now += 1000;
  await upToAnswer(here, v(2));
  here.clock.now += 1000;
  remove(here);
  expect(recover(here.context, 'lint').flatMap(({ held }) => held ?? [])).toEqual([]);
  expect(existsSync(here.layout.live('lint'))).toBe(false);
  const kept = namesIn(here, here.layout.previous).map(
    (name) => markerAt(here.context, join(here.layout.previous, name))?.pluginVersion,
  );
  expect(new Set(kept)).toEqual(new Set(['1.0.0', '2.0.0']));
});

/** The receipt of what was to come never gets its name: killed while it seals. */
function killedAtTheSeal(): FaultyDisk {
  const faulty = new FaultyDisk(nodeDisk);
  let killed = false;
  faulty.arm(({ kind, to }) => {
    killed ||= kind === 'rename' && to.includes('.receipts');
    return killed ? 'ECRASHED' : undefined;
  });
  return faulty;
}

test.each([
  ['the first install', []],
  ['an update', [v(1)]],
])('%s that is killed before its swap leaves no restart to wait for', async (_what, before) => {
  const here = room({ restarts: 'command' });
  for (const bytes of before) {
    const { installId: generation } = await deliver(here, bytes);
    noteLoaded(here.context, { plugin: 'lint', generation }, here.clock.now, 'restarted');
  }
  here.clock.now += 1000;
  await deliver(through(here, killedAtTheSeal().disk), v(2)).catch(() => undefined);
  expect(stateOf(here.context, 'lint')?.runtime).toMatchObject({ restart: 'promised' });
  recover(here.context, 'lint');
  expect(namesIn(here, here.layout.staging)).toEqual([]);
  expect(stateOf(here.context, 'lint')?.runtime).toBeUndefined();
});

test('a cold change that waited before goes on waiting after an update that is killed before its swap', async () => {
  const here = room({ restarts: 'command' });
  await deliver(here, v(1));
  here.clock.now += 1000;
  await deliver(through(here, killedAtTheSeal().disk), v(2)).catch(() => undefined);
  recover(here.context, 'lint');
  expect(getPlugin(here.context, 'lint')?.pending).toMatchObject({ against: null });
});
