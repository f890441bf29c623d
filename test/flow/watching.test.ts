import { chmod, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { expect, inject, it, onTestFinished } from 'vitest';

import { openLocal } from '../../agent/local.ts';
import { createLoader } from '../../loader/index.ts';
import type { Status } from '../../shared/api/maintenance.ts';
import { startTestAgent } from '../_kit/agent.ts';
import { beginOf, push } from '../_kit/bundle.ts';
import { HOOK, Place, SKILL, version } from '../_kit/place.ts';
import { Wire } from '../_kit/wire.ts';

it('an edit by hand is told with what it means, and promises no restart', async () => {
  const place = await Place.open();
  await place.put('1', '1');
  // Edited within the burst of the install itself: that was told already, and the edit is told beside it.
  place.write(SKILL, 'the first edit');
  await place.next();
  expect(await place.next()).toMatchObject({
    kind: 'skill-content-only',
    cause: 'edit',
    reasons: { total: 1 },
  });
  place.write(SKILL, 'another text');
  expect(await place.next()).toEqual({
    plugin: 'lint',
    kind: 'skill-content-only',
    action: 'hot',
    restarting: false,
    reasons: { items: [{ path: SKILL, change: 'modified', why: expect.stringMatching(/skill/) }], total: 1 },
    cause: 'edit',
  });
  await chmod(place.at(HOOK), 0o755);
  expect(await place.next()).toMatchObject({
    kind: 'cold',
    action: 'restart',
    restarting: false,
    reasons: { items: [{ path: HOOK }], total: 1 },
    cause: 'edit',
  });
  // Cold stays cold until it is loaded.
  place.write(SKILL, 'a third text');
  expect(await place.next()).toMatchObject({ kind: 'cold', reasons: { total: 2 } });
  await place.wire.request('runtime.restarted', { operationId: 'restarted-after-the-edits' });
  await place.until(async () => {
    const { generation } = JSON.parse(await readFile(place.agent.layout.loadedOf('lint'), 'utf8'));
    expect(generation).toMatch(/Z-/);
  });
  await place.settled();
  place.write(SKILL, 'a fourth text');
  expect(await place.next()).toMatchObject({ kind: 'skill-content-only', reasons: { total: 1 } });
});

it('an operation of the agent is told once, whatever it does', async () => {
  const place = await Place.open();
  const { operationId } = beginOf('lint', await version('1', '1'));
  await place.put('1', '1', { operationId });
  await place.settled();
  await place.put('1', '2');
  await place.put('2', '2');
  await place.settled();
  await place.wire.request('plugin.rollback', {
    operationId: 'back-once-please',
    plugin: 'lint',
    force: true,
  });
  await place.settled();
  await place.wire.request('plugin.uninstall', {
    operationId: 'gone-once-please',
    plugin: 'lint',
    force: true,
  });
  await place.settled();
  await place.wire.request('plugin.rollback', {
    operationId: 'back-again-please',
    plugin: 'lint',
    force: true,
  });
  await place.settled();
  const told = place.wire.events.filter(({ type }) => type === 'plugin.changed').map(({ data }) => data);
  const causes = told
    .map((data) => data as { plugin: string; cause: string })
    .filter(({ plugin }) => plugin === 'lint');
  expect(causes.map(({ cause }) => cause)).not.toContain('edit');
  expect(causes.map(({ cause }) => cause)).not.toContain('swap');
  expect(causes).toHaveLength(6);
});

it('what somebody else swaps in, removes or breaks is told as well', async () => {
  const place = await Place.open();
  const { root } = place.agent.layout;
  const first = await place.put('1', '1');
  await place.put('1', '2');
  await place.settled();
  const local = openLocal({
    flags: { root },
    env: {},
    workerFile: new URL(inject('workerFile')),
    complain: () => undefined,
  });
  try {
    const answer = await local.call('plugin.rollback', {
      operationId: 'back-from-elsewhere',
      plugin: 'lint',
    });
    expect(answer.tree).toBe(first.tree);
  } finally {
    await local.close();
  }
  expect(await place.next()).toMatchObject({
    kind: 'skill-content-only',
    cause: 'swap',
    reasons: { total: 1 },
  });
  await rename(place.at('.complete'), join(root, '.staging', 'complete'));
  expect(await place.next()).toMatchObject({ kind: 'cold', cause: 'edit' });
  await rename(join(root, '.staging', 'complete'), place.at('.complete'));
  expect(await place.next()).toMatchObject({ cause: 'edit', kind: 'identical', action: 'none' });
  place.remove();
  expect(await place.next()).toMatchObject({
    kind: 'cold',
    cause: 'edit',
    reasons: { items: [{ path: '', change: 'removed' }] },
  });
});

it('a cold change that waits for a restart makes edits cold, also of an agent that was started since', async () => {
  const before = await Place.open();
  await before.put('1', '1');
  const { root } = before.agent.layout;
  await createLoader({ roots: [root] }).scan();
  await before.put('2', '1', { restart: false });
  await before.agent.close();
  const place = await Place.open({}, root);
  place.write(SKILL, 'an edit');
  expect(await place.next()).toMatchObject({
    kind: 'cold',
    reasons: { items: [{ path: HOOK }, { path: SKILL }], total: 2 },
  });
  const loader = createLoader({ roots: [root] });
  const answer = await loader.gate('lint');
  if (answer.admitted) await loader.loaded(answer.plugin, answer.plugin.generation);
  await place.until(() => expect(place.wire.events.map(({ type }) => type)).toContain('plugin.loaded'));
  await place.settled();
  place.write(SKILL, 'another edit');
  expect(await place.next()).toMatchObject({ kind: 'skill-content-only', reasons: { total: 1 } });
});

it('a version that comes back while a promised restart has not ended well makes edits cold until one has', async () => {
  const place = await Place.open({ AIRLOCK_RESTART_COMMAND: 'false' });
  await place.put('1', '1');
  await place.wire.request('runtime.restarted', { operationId: 'restarted-with-one' });
  await place.put('2', '1');
  await place.put('1', '1');
  await place.settled();
  place.write(SKILL, 'an edit');
  expect(await place.next()).toMatchObject({ kind: 'cold', cause: 'edit' });
  await place.wire.request('runtime.restarted', { operationId: 'restarted-with-three' });
  await place.settled();
  place.write(SKILL, 'another edit');
  expect(await place.next()).toMatchObject({ kind: 'skill-content-only', reasons: { total: 1 } });
});

it('edits that were there before the agent count as loaded if the runtime has reported a load since', async () => {
  const before = await Place.open();
  await before.put('1', '1');
  const { root } = before.agent.layout;
  before.write(HOOK, 'edited and loaded');
  // Times of files are as coarse as the tick of the kernel.
  await pause(50);
  const loader = createLoader({ roots: [root] });
  const answer = await loader.gate('lint');
  if (answer.admitted) await loader.loaded(answer.plugin, answer.plugin.generation);
  await before.agent.close();
  const again = await Place.open({}, root);
  again.write(SKILL, 'an edit');
  expect(await again.next()).toMatchObject({ kind: 'skill-content-only', reasons: { total: 1 } });
  again.write(HOOK, 'edited and not loaded');
  await again.next();
  await again.agent.close();
  const last = await Place.open({}, root);
  last.write(SKILL, 'another edit');
  expect(await last.next()).toMatchObject({ kind: 'cold', reasons: { total: 2 } });
});

it('polls where it is told to, and watches nothing where that is switched off', async () => {
  const polling = await Place.open({ AIRLOCK_WATCH: 'polling' });
  await polling.put('1', '1');
  await polling.settled();
  polling.write(SKILL, 'another text');
  expect(await polling.next()).toMatchObject({ kind: 'skill-content-only', cause: 'edit' });

  const off = await startTestAgent({ env: { AIRLOCK_WATCH: 'off' } });
  const wire = await Wire.start(off);
  const bundle = await version('1', '1');
  await push(wire, beginOf('lint', bundle), bundle);
  expect(await wire.request<Status>('status', {})).toMatchObject({ watch: { mode: 'off', notices: [] } });
  // A watcher of somebody else tells when an agent that watches would have told.
  const witness = createLoader({ roots: [off.layout.root] }).watch();
  onTestFinished(() => witness.close());
  await witness.ready;
  await writeFile(join(off.layout.live('lint'), SKILL), 'another text');
  for await (const { kind } of witness) {
    expect(kind).toBe('skill-content-only');
    break;
  }
  await wire.request('status', {});
  expect(wire.events.filter(({ type }) => type === 'plugin.changed')).toHaveLength(1);
});
