/** The main thread of an agent asks the disk for nothing synchronously: a disk that hangs must not stop its pongs. */
import { once } from 'node:events';
import { readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { expect, it, onTestFinished } from 'vitest';

import { processIdentity } from '../../agent/disk/identity.ts';
import { createLocks } from '../../agent/disk/lock.ts';
import type { Status } from '../../shared/api/maintenance.ts';
import { HEALTH_PATH } from '../../shared/api/rpc.ts';
import { layoutOf } from '../../shared/format/layout.ts';
import { page } from '../_kit/metrics.ts';
import { SKILL, put, version } from '../_kit/place.ts';
import { Program, addressOf } from '../_kit/program.ts';
import { until } from '../_kit/until.ts';
import { Wire } from '../_kit/wire.ts';

const TOKENS = ['a', 'b'].map((letter) => letter.repeat(40)) as [string, string];
const tokenLine = (token: string): string => `write ${token} one\n`;

const preload = (file: string): URL => new URL(`../_kit/${file}`, import.meta.url);

async function openProgram(): Promise<{ program: Program; tokenFile: string }> {
  const program = await Program.open();
  onTestFinished(() => program.close());
  const tokenFile = join(program.folder, 'tokens');
  await writeFile(tokenFile, tokenLine(TOKENS[0]));
  return { program, tokenFile };
}

it('makes no synchronous call on the disk once it listens', async () => {
  const { program, tokenFile } = await openProgram();
  const written = join(program.folder, 'calls.json');
  await program.serve({
    NODE_OPTIONS: `--import=${preload('sync-calls.mjs').href}`,
    SYNC_CALLS: written,
    AIRLOCK_TOKEN_FILE: tokenFile,
    AIRLOCK_RESTART_COMMAND: 'true',
  });
  const layout = layoutOf(program.root);
  const wire = await Wire.start(addressOf(program), { token: TOKENS[0] });
  const since = Date.now();
  await until(async () => expect((await wire.request<Status>('status', {})).watch?.mode).toBe('on'));
  await put(wire, await version('1', '1'));
  const { installId } = await put(wire, await version('2', '1'), true);
  await wire.request('plugin.list', {});
  await wire.request('plugin.verify', { plugin: 'lint' });
  expect((await page(addressOf(program), '/metrics')).status).toBe(200);
  expect((await page(addressOf(program), '/readyz')).status).toBe(200);
  expect((await page(addressOf(program), '/')).status).toBe(200);
  // A restart of the agent's own, a report of the runtime, a restart that somebody tells of.
  await wire.until(() => wire.events.find(({ type }) => type === 'plugin.loaded'));
  const report = { version: 1, generation: installId, at: new Date().toISOString() };
  await writeFile(`${layout.loaded}/lint.json.tmp`, JSON.stringify(report));
  await rename(`${layout.loaded}/lint.json.tmp`, layout.loadedOf('lint'));
  await wire.request('runtime.restarted', { operationId: 'restarted-0001' });
  // Another process has the lock for a while.
  const foreign = await (await createLocks(layout.locks, processIdentity())).take('lint');
  const held = wire.ask('plugin.hold', { operationId: 'hold-0001', plugin: 'lint' });
  await pause(300);
  await foreign?.();
  await wire.answer(held);
  await wire.request('plugin.hold', { operationId: 'hold-0002', plugin: 'lint', release: true });
  await writeFile(tokenFile, TOKENS.map(tokenLine).join(''));
  await Wire.start(addressOf(program), { token: TOKENS[1] });
  await wire.request('sweep', { operationId: 'sweep-0001' });
  await wire.request('recover', { operationId: 'recover-0001' });
  await wire.request('doctor', {});
  await writeFile(join(layout.live('lint'), SKILL), 'edited by hand');
  await wire.until(() =>
    wire.events.find(
      ({ type, data }) => type === 'plugin.changed' && (data as { cause: string }).cause === 'edit',
    ),
  );
  await wire.request('plugin.rollback', { operationId: 'rollback-0001', plugin: 'lint', force: true });
  await wire.request('plugin.uninstall', { operationId: 'uninstall-0001', plugin: 'lint', force: true });
  // The lock of who serves the root says every few seconds that it is held.
  const names = await readdir(layout.locks);
  const record = names.find((name) => /^\.agent\.(?!lock$)/.test(name)) ?? '';
  await until(async () => {
    const { mtimeMs } = await stat(join(layout.locks, record));
    expect(mtimeMs).toBeGreaterThan(since);
  });
  expect(await program.stop()).toBe(0);
  const calls = JSON.parse(await readFile(written, 'utf8')) as { starting: number; serving: string[] };
  expect(calls.starting).toBeGreaterThan(0);
  expect(calls.serving).toEqual([]);
});

it('answers whatever asks for no disk while the disk of the root hangs, and LOCKED after the wait', async () => {
  const { program, tokenFile } = await openProgram();
  const sign = join(program.folder, 'hung');
  const module = preload('hung-disk.mjs');
  module.search = new URLSearchParams({ root: program.root, sign }).toString();
  // As an argument, which threads inherit.
  const under = ['/bin/sh', '-c', `exec "$0" '--import=${module.href}' "$@"`];
  await program.serve({ AIRLOCK_TOKEN_FILE: tokenFile, AIRLOCK_LOCK_SECONDS: '1' }, under);
  const address = addressOf(program);
  const wire = await Wire.start(address, { token: TOKENS[0] });
  await put(wire, await version('1', '1'));
  await until(async () => expect((await wire.request<Status>('status', {})).operations.total).toBe(0));
  await writeFile(sign, '');
  const hold = { plugin: 'lint' };
  const listed = wire.ask('plugin.list', {});
  const refused = wire.ask('plugin.hold', { ...hold, operationId: 'hold-0001' });
  await writeFile(tokenFile, TOKENS.map(tokenLine).join(''));
  const other = await Wire.connect(address, { token: TOKENS[1] });
  expect((await other.hello()).agent).toBeTypeOf('string');
  for (let second = 0; second < 4; second += 1) {
    wire.socket.ping();
    await once(wire.socket, 'pong');
    expect((await fetch(`http://${address.host}:${address.port}${HEALTH_PATH}`)).status).toBe(200);
    if (second < 1) {
      expect(await wire.request('install.abort', { operationId: 'nobody-knows' })).toEqual({
        aborted: false,
      });
    }
    await pause(500);
  }
  await expect(wire.answer(refused)).rejects.toMatchObject({ data: { code: 'LOCKED', executed: 'no' } });
  expect((await page(address, '/readyz')).status).toBe(503);
  expect((await page(address, '/metrics')).status).toBe(200);
  expect((await page(address, '/')).body).toContain('The disk of the root does not answer');
  await rm(sign);
  expect(await wire.answer(listed)).toMatchObject({ plugins: { total: 1 } });
  const again = { ...hold, operationId: 'hold-0002' };
  expect(await wire.request('plugin.hold', again)).toMatchObject({ plugin: 'lint' });
});
