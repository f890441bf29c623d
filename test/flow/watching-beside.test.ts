/** What edits and operations do to each other's events, and what stands in a watching agent's way. */
import { execFile } from 'node:child_process';
import { renameSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';

import { expect, it } from 'vitest';

import { createLoader } from '../../loader/index.ts';
import { scratch } from '../_kit/agent.ts';
import { cannotTell, openFiles } from '../_kit/open-files.ts';
import { HOOK, Place, SKILL } from '../_kit/place.ts';
import { Wire } from '../_kit/wire.ts';

const REMOVED = { kind: 'cold', cause: 'edit', reasons: { items: [{ path: '', change: 'removed' }] } };

async function copyByHand(place: Place): Promise<void> {
  await mkdir(place.at('skills/one'), { recursive: true });
  await writeFile(place.at('plugin.yaml'), 'name: lint\nversion: 1.0.0\n');
  await writeFile(place.at(SKILL), 'by hand');
  await writeFile(place.at('.complete'), '');
}

it('a removal by hand is told, also after one of the agent that nobody could see', async () => {
  const place = await Place.open();
  await place.put('1', '1');
  // Within one burst: the watcher sees nothing before and nothing after.
  await place.wire.request('plugin.uninstall', { operationId: 'gone-in-the-burst', plugin: 'lint' });
  await place.settled();
  await copyByHand(place);
  expect(await place.next()).toMatchObject({ kind: 'cold', cause: 'edit' });
  place.remove();
  expect(await place.next()).toMatchObject(REMOVED);
});

it('a cold edit that nobody has reported as loaded is not forgotten by the next agent', async () => {
  const before = await Place.open();
  await before.put('1', '1');
  await before.settled();
  before.write(HOOK, 'another hook');
  expect(await before.next()).toMatchObject({ kind: 'cold', cause: 'edit' });
  await before.agent.close();
  const place = await Place.open({}, before.agent.layout.root);
  place.write(SKILL, 'an edit');
  expect(await place.next()).toMatchObject({
    kind: 'cold',
    reasons: { items: [{ path: HOOK }, { path: SKILL }], total: 2 },
  });
});

it('an edit while no agent ran is in the snapshot of who comes back, and in the next verdict', async () => {
  const before = await Place.open();
  const { installId } = await before.put('1', '1');
  const { root } = before.agent.layout;
  await createLoader({ roots: [root] }).loaded('lint', installId);
  await before.agent.close();
  await pause(50);
  before.write(HOOK, 'edited meanwhile');
  const place = await Place.open({}, root);
  const resume = { bootId: before.agent.bootId, seq: 1 };
  const back = await Wire.start(place.agent, { start: { resume } });
  expect(back.events).toMatchObject([
    { type: 'snapshot', data: { plugins: { items: [{ name: 'lint', drift: 1, loaded: installId }] } } },
  ]);
  await place.settled();
  place.write(SKILL, 'an edit');
  expect(await place.next()).toMatchObject({
    kind: 'cold',
    reasons: { items: [{ path: HOOK }, { path: SKILL }], total: 2 },
  });
});

it('an edit between the answer of the gate and the report of the load does not count as loaded', async () => {
  const place = await Place.open();
  await place.put('1', '1');
  const loader = createLoader({ roots: [place.agent.layout.root] });
  const answer = await loader.gate('lint');
  await place.settled();
  place.write(HOOK, 'a hook that the runtime has not read');
  expect(await place.next()).toMatchObject({ kind: 'cold' });
  if (answer.admitted) await loader.loaded(answer.plugin, answer.plugin.generation);
  await place.settled();
  place.write(SKILL, 'an edit');
  expect(await place.next()).toMatchObject({ kind: 'cold', reasons: { total: 2 } });
});

it('an agent ends in the middle of files that take minutes to read', async (ctx) => {
  if (cannotTell !== undefined) ctx.skip(cannotTell);
  const place = await Place.open();
  await place.put('1', '1');
  await place.settled();
  const large = place.at('large-');
  for (let i = 0; i < 1000; i += 1) {
    writeFileSync(`${large}${i}`, '');
    // Of holes only, and as large as is read at all.
    truncateSync(`${large}${i}`, 256 * 2 ** 20);
  }
  await place.until(() => expect(openFiles(large)).not.toEqual([]));
  await place.agent.close();
  await place.until(() => expect(openFiles(large)).toEqual([]));
});

it('reports that are none keep no agent from starting and hearing', async () => {
  const root = join(await scratch(), 'plugins');
  const loaded = join(root, '.loaded');
  await mkdir(loaded, { recursive: true });
  for (const name of ['a', 'b', 'c', 'd', 'e']) {
    await promisify(execFile)('mkfifo', [join(loaded, `${name}.json`)]);
  }
  await symlink('/dev/zero', join(loaded, 'zero.json'));
  const place = await Place.open({}, root);
  await place.put('1', '1');
  const loader = createLoader({ roots: [root] });
  await promisify(execFile)('mkfifo', [join(loaded, 'late.json')]);
  const answer = await loader.gate('lint');
  if (answer.admitted) await loader.loaded(answer.plugin, answer.plugin.generation);
  await place.until(() => expect(place.wire.events.map(({ type }) => type)).toContain('plugin.loaded'));
});

it('a plugin that gives way to a link or a file is told, and so is its return', async () => {
  const place = await Place.open();
  await place.put('1', '1');
  await place.next();
  // The watcher has seen the install when it tells an edit of it.
  place.write(SKILL, 'watched');
  expect(await place.next()).toMatchObject({ cause: 'edit' });
  const { root } = place.agent.layout;
  const live = place.agent.layout.live('lint');
  const aside = join(root, '.staging', 'aside');
  await rename(live, aside);
  await symlink(aside, live);
  expect(await place.next()).toMatchObject({ kind: 'cold', cause: 'edit' });
  await rm(live);
  await writeFile(live, 'a file');
  expect(await place.settled()).toEqual([]);
  await rm(live);
  await rename(aside, live);
  expect(await place.next()).toMatchObject({ kind: 'identical', cause: 'edit' });
  place.write(SKILL, 'watched again');
  expect(await place.next()).toMatchObject({ kind: 'skill-content-only', cause: 'edit' });
});

it('a plugin that is replaced right after its install is told, though the watcher has not seen the install', async () => {
  const place = await Place.open();
  await place.put('1', '1');
  await place.next();
  const live = place.agent.layout.live('lint');
  const aside = join(place.agent.layout.root, '.staging', 'aside');
  // In one go: the watcher lives in this process.
  renameSync(live, aside);
  symlinkSync(aside, live);
  expect(await place.next()).toMatchObject({ kind: 'cold', cause: 'edit' });
  expect(await place.settled()).toEqual([]);
});

it('a marker that the agent itself makes full is no swap by somebody else', async () => {
  const place = await Place.open();
  await copyByHand(place);
  expect(await place.next()).toMatchObject({ kind: 'cold', cause: 'edit' });
  await place.wire.request('sweep', { operationId: 'sweep-the-marker' });
  expect(await readFile(place.at('.complete'), 'utf8')).toContain('installId');
  expect(await place.settled()).toEqual([]);
  place.write(SKILL, 'an edit');
  expect(await place.next()).toMatchObject({ cause: 'edit' });
});

it('installs of a plugin that writes into its own tree are told once each', async () => {
  const place = await Place.open();
  await place.put('1', '1');
  const until = Date.now() + 2500;
  const writing = (async () => {
    for (let i = 0; Date.now() < until; i += 1) {
      await writeFile(place.at('log.txt'), `${i}`).catch(() => undefined);
      await pause(20);
    }
  })();
  const ids: string[] = [];
  for (let i = 0; Date.now() < until; i += 1) {
    // What it writes between the swap and the look at what is live fails the install: then it is undone, and told by nobody.
    const made = await place.put('1', `version ${i}`).catch((error: unknown) => String(error));
    if (typeof made === 'string') expect(made).toContain('SWAP_FAILED');
    else ids.push(made.installId);
    await pause(300);
  }
  await writing;
  await place.settled();
  const told = place.wire.events
    .filter(({ type }) => type === 'plugin.changed')
    .map(({ data }) => data as { plugin: string; cause: string })
    .filter(({ plugin }) => plugin === 'lint');
  expect(told.map(({ cause }) => cause)).not.toContain('swap');
  expect(told.filter(({ cause }) => cause !== 'edit')).toHaveLength(ids.length + 1);
});

it('an agent that reads its reports elsewhere hears them there', async () => {
  const elsewhere = join(await scratch(), 'loaded');
  const place = await Place.open({ AIRLOCK_LOADED_DIR: elsewhere });
  await place.put('1', '1');
  await place.settled();
  place.write(HOOK, 'edited');
  expect(await place.next()).toMatchObject({ kind: 'cold' });
  await pause(50);
  await place.wire.request('runtime.restarted', { operationId: 'restarted-elsewhere' });
  await place.settled();
  place.write(SKILL, 'edited');
  expect(await place.next()).toMatchObject({ kind: 'skill-content-only', reasons: { total: 1 } });
});
