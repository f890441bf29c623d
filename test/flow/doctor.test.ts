/** `airlock doctor --to`: an agent about its root and about itself. */
import { chmod, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, it, onTestFinished } from 'vitest';

import { layoutOf } from '../../shared/format/layout.ts';
import { type Examined, readDiagnosis } from '../_kit/doctor.ts';
import { writeFiles, yamlOf } from '../_kit/loader-root.ts';
import { Program, examplePlugin } from '../_kit/program.ts';
import { snapshotTree } from '../_kit/tree-snapshot.ts';
import { until } from '../_kit/until.ts';
import { inProcess } from '../_kit/two-ways.ts';

const SMALL = { AIRLOCK_MAX_UNPACKED: '1M' };

async function serving(env: Record<string, string> = {}): Promise<Program> {
  const program = await Program.open();
  onTestFinished(() => program.close());
  await program.serveHere({ ...SMALL, ...env });
  return program;
}

async function ask(program: Program, env: Record<string, string> = {}): Promise<Examined> {
  const { stdout, code, stderr } = await program.here(['doctor', '--to', program.url, '--json'], env);
  expect(stderr).toBe('');
  return readDiagnosis(stdout, code);
}

const saidBy = ({ of }: Examined, check: Parameters<Examined['of']>[0]): string =>
  of(check)
    .map(({ level, found, fix }) => `${level}: ${found}${fix === undefined ? '' : ` -> ${fix}`}`)
    .join('\n');

it('finds nothing bad in a good agent, shows its settings without secrets, and changes nothing', async () => {
  const program = await serving({ AIRLOCK_KEEP: '2', AIRLOCK_PROBE_COMMAND: 'true # hunter2' });
  await program.json(['push', examplePlugin]);
  await until(async () => expect(saidBy(await ask(program), 'watch')).toBe('ok: The agent watches'));
  await until(async () => expect(saidBy(await ask(program), 'leftovers')).toBe('ok: Nothing is left behind'));
  const before = await snapshotTree(program.root);
  const examined = await ask(program);
  expect(examined.bad).toEqual([]);
  expect(examined.diagnosis).toMatchObject({ agent: '0.0.0-test', root: program.root });
  expect(saidBy(examined, 'listen')).toMatch(/^ok: The agent answers on 127\.0\.0\.1:\d+$/);
  expect(examined.of('agent')).toEqual([]);
  const keep = examined.diagnosis.settings.find(({ env }) => env === 'AIRLOCK_KEEP');
  expect(keep).toEqual({ flag: '--keep', env: 'AIRLOCK_KEEP', value: '2', from: 'variable' });
  expect(JSON.stringify(examined.diagnosis)).not.toMatch(new RegExp(`hunter2|${program.token}`));
  expect(await snapshotTree(program.root)).toEqual(before);
  const { code, text } = await inProcess(['doctor', '--to', program.url], { AIRLOCK_TOKEN: program.token });
  expect(code).toBe(0);
  expect(text).toContain(`${program.root} as its agent 0.0.0-test finds it\n`);
});

it('finds what becomes bad under an agent that runs', async () => {
  const tokens = await Program.open();
  onTestFinished(() => tokens.close());
  const file = join(tokens.folder, 'tokens');
  await writeFile(file, `write ${'t'.repeat(40)} one\n`);
  await chmod(file, 0o644);
  const loadedDir = join(tokens.folder, 'reports');
  const program = await serving({
    AIRLOCK_TOKEN_FILE: file,
    AIRLOCK_LOADED_DIR: loadedDir,
    AIRLOCK_DURABILITY: 'none',
    AIRLOCK_DIAL: 'ws://127.0.0.1:1',
    AIRLOCK_WORKSPACE: 'w1',
    AIRLOCK_WATCH: 'off',
  });
  const layout = layoutOf(program.root);
  await writeFiles(layout.live('half'), { 'plugin.yaml': yamlOf('half') });
  await writeFile(layout.stateOf('torn'), '{');
  await mkdir(join(layout.staging, 'what is this'));
  await until(async () => expect(saidBy(await ask(program), 'dial')).toMatch(/^error/));
  const examined = await ask(program);
  expect(examined.code).toBe(1);
  expect(saidBy(examined, 'token')).toMatch(/warning: Everybody on this machine may read .* -> chmod 0600/);
  expect(saidBy(examined, 'durability')).toMatch(/^warning: AIRLOCK_DURABILITY is "none" -> Leave/);
  expect(saidBy(examined, 'dial')).toMatch(
    /^error: Not connected to ws:\/\/127\.0\.0\.1:1\/v1\/agents since .* -> Check/,
  );
  expect(saidBy(examined, 'watch')).toMatch(/^note: The agent does not watch/);
  expect(saidBy(examined, 'plugins')).toMatch(/warning: The gate refuses "half": no-marker -> Install it/);
  expect(saidBy(examined, 'troubles')).toMatch(/^error: The state of "torn" cannot be read -> Look at/);
  expect(saidBy(examined, 'leftovers')).toMatch(/^warning: Nobody knows ".*what is this" -> Look at/);
  await rm(loadedDir, { recursive: true });
  expect(saidBy(await ask(program), 'loaded')).toMatch(
    /^warning: ".*reports" \(AIRLOCK_LOADED_DIR\) is not there -> Make/,
  );
  await writeFile(file, 'short\n');
  expect(saidBy(await ask(program), 'token')).toMatch(/error: .*Line 1 of the token file .* -> A token has/);
  await rename(program.root, `${program.root}-gone`);
  const gone = await ask(program);
  expect(saidBy(gone, 'root')).toMatch(/^error: ".*root" is not there -> Mount the volume/);
  expect(gone.of('space')).toEqual([]);
  await rename(`${program.root}-gone`, program.root);
  expect(saidBy(await ask(program), 'root')).toMatch(/^ok: /);
});

it('asks for no more than a read token, and no agent that is not there', async () => {
  const folder = await Program.open();
  onTestFinished(() => folder.close());
  const file = join(folder.folder, 'tokens');
  const reader = 'r'.repeat(40);
  await writeFile(file, `read ${reader} dashboard\n`, { mode: 0o600 });
  const program = await serving({ AIRLOCK_TOKEN_FILE: file });
  expect((await ask(program, { AIRLOCK_TOKEN: reader })).code).toBe(0);
  await program.stop();
  const { code, stderr } = await program.here(['doctor', '--to', program.url]);
  expect([code, stderr]).toEqual([3, expect.stringContaining('what to do')]);
  await rm(file);
});

it('says which agent serves the root that a command examines beside it', async () => {
  const program = await Program.open();
  onTestFinished(() => program.close());
  await program.serve(SMALL);
  const address = new URL(program.url).host;
  const words = ['doctor', '--root', program.root, '--listen', address, '--json'];
  const { stdout, code } = await program.run(words, SMALL);
  const examined = readDiagnosis(stdout, code);
  expect(examined.bad).toEqual([]);
  expect(saidBy(examined, 'agent')).toMatch(/^ok: An agent serves this root: process \d+/);
  expect(saidBy(examined, 'listen')).toBe(`ok: A process listens on ${address}`);
});
