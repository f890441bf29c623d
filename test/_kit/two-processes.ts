/** Several processes on one root, which lock it in this way or that: what each case of them must show. */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';

import { type TestContext, expect, onTestFinished } from 'vitest';

import { linuxCalls } from '../../agent/disk/linux.ts';
import { type Opened, beginOf, sendUpTo } from './bundle.ts';
import { makeImage, statusesOf } from './image.ts';
import { LockHolder, buildHolder } from './lock-holder.ts';
import { mutilate } from './mutilated.ts';
import { Program, addressOf, endOf, program as built } from './program.ts';
import { until } from './until.ts';
import { type Version, judge, litterIn, versionOf } from './versions.ts';
import { Wire } from './wire.ts';

export type Kind = 'flock' | 'record';

const one = versionOf('lint', 1, { files: 12 });
const two = versionOf('lint', 2, { files: 12 });
const three = versionOf('lint', 3, { files: 12 });
const other = versionOf('other', 1, { files: 12 });

/** A program on a root of its own that locks in this way. */
async function open(ctx: TestContext, kind: Kind): Promise<Program> {
  const calls = linuxCalls();
  if (kind === 'flock' && typeof calls === 'string') ctx.skip(calls);
  const without = kind === 'record' ? await mutilate({}, false) : undefined;
  onTestFinished(() => without?.close());
  const program = await Program.open(without?.file ?? built);
  onTestFinished(() => program.close());
  return program;
}

const live = (program: Program, plugin: string): Promise<unknown> =>
  judge(program.root, plugin, plugin === 'lint' ? [one, two, three] : [other]);
const litter = (program: Program): Promise<string[]> => litterIn(program.root, 'lint', [one, two, three]);
const boot = (
  program: Program,
  directory: string,
  env: Record<string, string> = {},
): ChildProcessWithoutNullStreams => program.start(['boot', directory, '--root', program.root], env);
/** Opens an upload and sends half of it: the agent has the plugin until it ends. */
async function halfAnUpload(program: Program, version: Version): Promise<Wire> {
  const wire = await Wire.start(addressOf(program), { token: program.token });
  const params = beginOf(version.plugin, version.bundle);
  const begun: Opened = await wire.request('install.begin', params);
  await sendUpTo(wire, begun, version.bundle.bytes, Math.floor(version.bundle.size / 2));
  return wire;
}

/** A boot-install that is at work on a plugin until it may go on. */
type Waiting = { child: ChildProcessWithoutNullStreams; goOn: () => Promise<void> };

/** Boots a bundle, and waits until the process has staged it. Its probe command ends when it may go on. */
async function bootWaiting(program: Program): Promise<Waiting> {
  const [began, wait] = [join(program.folder, 'began'), join(program.folder, 'wait')];
  await writeFile(wait, '');
  const child = boot(program, await makeImage(program, { lint: three }), {
    AIRLOCK_PROBE_COMMAND: `touch '${began}'; while [ -e '${wait}' ]; do sleep 0.05; done`,
    AIRLOCK_PROBE_SECONDS: '600',
  });
  onTestFinished(() => rm(wait, { force: true }));
  await until(() => expect(existsSync(began)).toBe(true));
  expect([child.exitCode, existsSync(join(program.root, 'lint'))]).toEqual([null, false]);
  return { child, goOn: () => rm(wait) };
}

async function kill(child: ChildProcessWithoutNullStreams): Promise<void> {
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

const there = (program: Program, plugin: string): Promise<void> =>
  until(() => expect(existsSync(join(program.root, plugin))).toBe(true));

/** What an agent and a boot-install on one root do, by what it says of them. */
export const TWO_PROCESSES: Readonly<Record<string, (ctx: TestContext, kind: Kind) => Promise<void>>> = {
  'wait for each other: the agent is killed while it receives, and boot goes on': async (ctx, kind) => {
    const program = await open(ctx, kind);
    await program.serve();
    await halfAnUpload(program, one);
    const child = boot(program, await makeImage(program, { 'a-other': other, 'b-lint': two }));
    const ended = endOf(child);
    // It takes them by name, so it comes to the one that is being changed when the other is there.
    await there(program, 'other');
    expect([await live(program, 'lint'), child.exitCode]).toEqual([{ kind: 'absent' }, null]);
    await program.kill();
    const result = await ended;
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(statusesOf(result)).toEqual([
      ['other', 'installed'],
      ['lint', 'installed'],
    ]);
    expect(await live(program, 'lint')).toEqual({ kind: 'version', number: 2 });
    expect(await litter(program)).toEqual([]);
  },

  'wait for each other: boot is killed while it installs, and the agent goes on': async (ctx, kind) => {
    const program = await open(ctx, kind);
    const { child } = await bootWaiting(program);
    await program.serve();
    expect(program.log).toContainEqual(
      expect.objectContaining({
        msg: 'not recovered: another process works on these plugins',
        plugins: ['lint'],
      }),
    );
    const bundle = join(program.folder, 'two.tgz');
    await writeFile(bundle, two.bundle.bytes);
    let hasEnded = false;
    const pushing = program.here(['push', bundle, '--to', program.url, '--json']);
    const ended = pushing.finally(() => (hasEnded = true));
    expect(await program.json(['sweep'])).toMatchObject({ busy: { items: ['lint'], total: 1 } });
    expect([await live(program, 'lint'), hasEnded]).toEqual([{ kind: 'absent' }, false]);
    await kill(child);
    const result = await ended;
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(result.stdout)).toMatchObject({ status: 'installed', plugin: 'lint', replaced: null });
    expect(await live(program, 'lint')).toEqual({ kind: 'version', number: 2 });
    // The answer comes before the house-keeping, which still has the plugin.
    await until(async () =>
      expect(await program.json(['recover'])).toMatchObject({ busy: { total: 0 }, failed: { total: 0 } }),
    );
    expect(await litter(program)).toEqual([]);
  },

  'go on side by side where nobody is killed': async (ctx, kind) => {
    const program = await open(ctx, kind);
    const { child, goOn } = await bootWaiting(program);
    const ended = endOf(child);
    await program.serveHere();
    const directory = join(program.folder, 'other.tgz');
    await writeFile(directory, other.bundle.bytes);
    expect(await program.json(['push', directory])).toMatchObject({ status: 'installed' });
    await goOn();
    expect(statusesOf(await ended)).toEqual([['lint', 'installed']]);
    expect([await live(program, 'lint'), await live(program, 'other')]).toMatchObject([
      { number: 3 },
      { number: 1 },
    ]);
    expect(await program.json(['status'])).toMatchObject({
      locks: kind,
      plugins: { admitted: 2, refused: 0 },
    });
    expect(await litter(program)).toEqual([]);
  },

  'are refused the root if they are two agents, and the second may have it when the first is killed': async (
    ctx,
    kind,
  ) => {
    const program = await open(ctx, kind);
    await program.serve();
    const env = { AIRLOCK_ROOT: program.root, AIRLOCK_LISTEN: '127.0.0.1:0' };
    const refused = await program.run(['agent'], env);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('(LOCKED)');
    expect(refused.stderr).toContain(`Another agent works on "${program.root}"`);
    expect(refused.stderr).toContain(`what to do: End process ${program.agent?.pid} on the host `);
    expect(refused.stdout).not.toContain('listening');
    expect(await program.json(['list'])).toEqual([]);
    await program.kill();
    await program.serve();
    expect(await program.json(['status'])).toMatchObject({ root: program.root });
    expect(await program.stop()).toBe(0);
    await program.serve();
    expect(await program.json(['status'])).toMatchObject({ root: program.root });
  },

  'say LOCKED after the wait that they were given, and the house-keeping says what was busy': async (
    ctx,
    kind,
  ) => {
    const program = await open(ctx, kind);
    const patience = { AIRLOCK_LOCK_SECONDS: '1' };
    await program.serveHere(patience);
    const bundle = join(program.folder, 'one.tgz');
    await writeFile(bundle, one.bundle.bytes);
    await program.json(['push', bundle]);
    await writeFile(bundle, two.bundle.bytes);
    const file = await buildHolder(program.folder);
    const { holder, said } = await LockHolder.start(file, join(program.root, '.locks'), kind, 'lint');
    expect(said).toBe('taken');
    const ways = [
      ['--to', program.url],
      ['--root', program.root],
    ];
    const isLocked = async (words: string[]): Promise<void> => {
      const { code, stdout } = await program.here([...words, '--json'], patience);
      const error = { code: 'LOCKED', status: 423, retry: 'later', executed: 'no' };
      expect([words, code, JSON.parse(stdout)]).toMatchObject([words, 1, { error }]);
      expect(stdout).toContain(`Wait for process ${holder.pid} on the host `);
    };
    const isBusy = async (words: string[]): Promise<void> => {
      const { code, stdout } = await program.here([...words, '--json'], patience);
      const busy = { items: ['lint'], total: 1 };
      expect([words, code, JSON.parse(stdout)]).toMatchObject([words, 0, { busy, failed: { total: 0 } }]);
    };
    const askAll = async (way: string[]): Promise<void> => {
      if (way.includes('--to')) await isLocked(['push', bundle, ...way]);
      await isLocked(['rollback', 'lint', ...way]);
      await isLocked(['uninstall', 'lint', ...way]);
      await isBusy(['sweep', ...way]);
      await isBusy(['recover', 'lint', ...way]);
    };
    await Promise.all(ways.map(askAll));
    const directory = await makeImage(program, { 'a-lint': two, 'b-other': other });
    const booted = await program.here(['boot', directory, '--root', program.root], patience);
    expect(booted.code).toBe(1);
    expect(JSON.parse(booted.stdout)).toMatchObject([
      { plugin: 'lint', status: 'failed', error: { code: 'LOCKED' } },
      { plugin: 'other', status: 'installed' },
    ]);
    expect(await live(program, 'lint')).toEqual({ kind: 'version', number: 1 });
    await holder.kill();
    expect(await program.json(['push', bundle])).toMatchObject({ status: 'installed' });
    // The answer comes before the house-keeping.
    await until(async () => expect(await litter(program)).toEqual([]));
  },

  'may begin at once on a root that is not there yet': async (ctx, kind) => {
    const program = await open(ctx, kind);
    const directory = await makeImage(program, { other });
    const all = [1, 2, 3].map(() => endOf(boot(program, directory)));
    const ended = await Promise.all(all);
    expect(ended.map(({ code, stderr }) => [code, stderr])).toEqual([1, 2, 3].map(() => [0, '']));
    const said = ended.map(({ stdout }) => (JSON.parse(stdout) as { status: string }[])[0]?.status);
    expect(said.filter((status) => status === 'installed')).toHaveLength(1);
    expect(said.filter((status) => status === 'kept')).toHaveLength(2);
    expect(await live(program, 'other')).toEqual({ kind: 'version', number: 1 });
  },
};
