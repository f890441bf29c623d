/** The owner's probe command in a running agent: what it gets, and what becomes of it when the agent ends. */
import { type ChildProcess, execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { expect, it, onTestFinished } from 'vitest';

import { Program } from '../_kit/program.ts';
import { until } from '../_kit/until.ts';
import { yamlOf } from '../_kit/install-room.ts';

type Scene = { program: Program; plugin: string; at: (name: string) => string };

/** The directory of a plugin, and nothing that runs. */
async function prepared(): Promise<Scene> {
  const program = await Program.open();
  onTestFinished(() => program.close());
  const at = (name: string): string => join(program.folder, name);
  await mkdir(at('lint'));
  await writeFile(at('lint/plugin.yaml'), yamlOf());
  return { program, plugin: at('lint'), at };
}

/** An agent with that command, in which `$OUT` is a directory for what it writes, and the directory of a plugin. */
async function serving(command: string): Promise<Scene> {
  const scene = await prepared();
  await scene.program.serve({ OUT: scene.program.folder, AIRLOCK_PROBE_COMMAND: command });
  return scene;
}

const staging = (program: Program): Promise<string[]> => readdir(join(program.root, '.staging'));

/** A command that writes its process id and then does not end. */
const HANGS = 'echo $$ > "$OUT/pid.new" && mv "$OUT/pid.new" "$OUT/pid"; sleep 600';

async function hanging(
  { program, plugin, at }: Scene,
  env: Record<string, string> = {},
): Promise<{ pid: number; push: ChildProcess }> {
  const push = program.start(['push', plugin, '--to', program.url], env);
  await until(() => expect(existsSync(at('pid'))).toBe(true));
  return { pid: Number(readFileSync(at('pid'), 'utf8')), push };
}

const gone = (pid: number): Promise<void> =>
  until(() => {
    const stat = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, 'utf8') : '1 (gone) Z';
    expect(stat).toMatch(/\) Z/);
  });

it('the command gets the environment of the agent without its token, and refuses by its exit code', async () => {
  const { program, plugin, at } = await serving('env > "$OUT/env"; echo it is not good; exit 1');
  const { code, stdout } = await program.here(['push', plugin, '--to', program.url, '--json']);
  expect([code, JSON.parse(stdout)]).toMatchObject([
    1,
    {
      error: {
        code: 'PROBE_FAILED',
        status: 422,
        detail: expect.stringContaining('it is not good') as string,
      },
    },
  ]);
  const env = readFileSync(at('env'), 'utf8');
  expect(env).toMatch(/^PLUGIN_NAME=lint$/m);
  expect(env).not.toContain(program.token);
  expect(await program.json(['list'])).toMatchObject([]);
  await until(async () => expect(await staging(program)).toEqual([]));
});

it('the command also judges the bundles of an image', async () => {
  const { program, plugin, at } = await prepared();
  await mkdir(at('bundles'));
  await program.here(['pack', plugin, '--out', at('bundles/lint.tgz')]);
  const words = ['boot', at('bundles'), '--root', at('other'), '--probe-command', 'exit 7', '--json'];
  const { code, stdout } = await program.here(words);
  expect(code).toBe(1);
  expect(stdout).toContain('PROBE_FAILED');
});

it('as process 1 of a container, Airlock leaves no zombie of its own behind each command', async (ctx) => {
  const contained = (command: string, ...words: string[]) =>
    promisify(execFile)('unshare', ['-Urpf', '--mount-proc', command, ...words]).catch(String);
  const can = await contained('true');
  if (typeof can === 'string') ctx.skip(`no container can be made here: ${can.split('\n')[0]}`);
  const { program, at } = await prepared();
  await mkdir(at('bundles'));
  for (const name of ['a', 'b', 'c']) {
    await mkdir(at(name));
    await writeFile(at(`${name}/plugin.yaml`), yamlOf(name));
    await program.here(['pack', at(name), '--out', at(`bundles/${name}.tgz`)]);
  }
  const probe = `cat /proc/[0-9]*/stat >> ${at('seen')}; true`;
  const words = ['boot', at('bundles'), '--root', at('other'), '--probe-command', probe, '--json'];
  expect(await contained(process.execPath, program.program, ...words)).toMatchObject({ stderr: '' });
  const seen = readFileSync(at('seen'), 'utf8');
  expect(seen.match(/^1 \(/gm)).toHaveLength(3);
  expect(seen).not.toMatch(/^\d+ \(.*\) Z /m);
});

it('an agent that is told to end does not wait for the command, and leaves nothing', async () => {
  const scene = await serving(HANGS);
  const { pid } = await hanging(scene);
  expect(await scene.program.stop()).toBe(0);
  await gone(pid);
  expect(await staging(scene.program)).toEqual([]);
});

it('the command is killed with an agent that is killed, and the next agent removes what it tested', async () => {
  const scene = await serving(HANGS);
  const { pid } = await hanging(scene);
  await scene.program.kill();
  await gone(pid);
  expect(await staging(scene.program)).not.toEqual([]);
  await scene.program.serve({ OUT: scene.program.folder });
  expect(await staging(scene.program)).toEqual([]);
});

it('a push that is ended by a signal meanwhile ends the command, and leaves nothing anywhere', async () => {
  const scene = await serving(HANGS);
  await mkdir(scene.at('tmp'));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    const { pid, push } = await hanging(scene, { TMPDIR: scene.at('tmp') });
    expect(await readdir(scene.at('tmp'))).toHaveLength(1);
    const ended = once(push, 'exit');
    push.kill(signal);
    expect([signal, await ended]).toEqual([signal, [130, null]]);
    await gone(pid);
    expect(await readdir(scene.at('tmp'))).toEqual([]);
    await until(async () => expect(await staging(scene.program)).toEqual([]));
    await rm(scene.at('pid'));
  }
});
