import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { expect, onTestFinished, test } from 'vitest';

import { run } from '../../cli/run.ts';
import { TOKEN, type TestAgent, startTestAgent } from '../_kit/agent.ts';
import { beginOf, packPlugin, push } from '../_kit/bundle.ts';
import { Cable } from '../_kit/cable.ts';
import { deafPort } from '../_kit/deaf-port.ts';
import { install, makeRoot, yamlOf } from '../_kit/loader-root.ts';
import { Wire } from '../_kit/wire.ts';

/** Runs the command until the test ends it. */
function start(words: readonly string[], isTTY: boolean) {
  const out: string[] = [];
  const error: string[] = [];
  const stop = new AbortController();
  onTestFinished(() => stop.abort());
  const ended = run({
    words: ['watch', ...words],
    env: { AIRLOCK_TOKEN: TOKEN, NO_COLOR: '1' },
    out: { isTTY, write: (text: string) => out.push(text) },
    error: { write: (text: string) => error.push(text) },
    version: '0.0.0-test',
    self: new URL(import.meta.url),
    signal: stop.signal,
  });
  const until = async (lines: readonly string[], wanted: RegExp): Promise<string> => {
    for (const end = Date.now() + 60_000; Date.now() < end;) {
      const found = lines.find((line) => wanted.test(line));
      if (found !== undefined) return found.trim();
      await pause(20);
    }
    throw new Error(`No line like ${wanted} came: ${JSON.stringify({ out, error })}`);
  };
  return { out, error, stop, ended, until };
}

test('airlock watch --root shows what changes and what it means, as lines for people and as JSON', async () => {
  const layout = await makeRoot();
  await install(layout, 'lint', { 'plugin.yaml': yamlOf('lint'), 'skills/a/SKILL.md': 'one', 'run.sh': 'x' });
  const person = start(['--root', layout.root], true);
  const program = start(['--root', layout.root], false);
  for (const { until, error } of [person, program]) await until(error, /^Watching/);
  await appendFile(join(layout.live('lint'), 'skills/a/SKILL.md'), 'more');
  expect(await person.until(person.out, /lint/)).toBe('lint  hot  edited in place: skills/a');
  expect(JSON.parse(await program.until(program.out, /lint/))).toMatchObject({
    plugin: 'lint',
    kind: 'skill-content-only',
    skills: ['skills/a'],
  });
  await appendFile(join(layout.live('lint'), 'run.sh'), 'more');
  expect(await person.until(person.out, /restart/)).toMatch(
    /^lint {2}needs a restart {2}edited in place: run\.sh: /,
  );
  for (const { stop, ended } of [person, program]) {
    stop.abort();
    expect(await ended).toBe(0);
  }
});

const env = { AIRLOCK_DURABILITY: 'none' };
const to = (port: number): string[] => ['--to', `ws://127.0.0.1:${port}`];

/** Installs a version of a plugin through the agent itself, whatever lies between it and who watches. */
async function deliver(agent: TestAgent, version: string): Promise<void> {
  const bundle = await packPlugin('lint', version);
  await push(await Wire.start(agent), beginOf('lint', bundle), bundle);
}

type Line = { bootId: string; seq: number; type: string; data: { plugins?: object; version?: string } };
const linesOf = (out: readonly string[]): Line[] => out.map((line) => JSON.parse(line) as Line);
/** Every event once and in order: from one number to the next, and on from a snapshot. */
function expectWhole(lines: readonly Line[]): void {
  for (const [i, { bootId, seq, type }] of lines.entries()) {
    const before = lines[i - 1];
    if (before === undefined || type === 'snapshot') continue;
    expect([bootId, seq]).toEqual([before.bootId, before.seq + 1]);
  }
}

test('airlock watch --to shows the events of an agent until Ctrl-C', async () => {
  const agent = await startTestAgent({ env });
  const person = start(to(agent.port), true);
  await person.until(person.error, /^Watching/);
  await deliver(agent, '1.0.0');
  expect(await person.until(person.out, /install\.complete/)).toMatch(/ lint {2}.*version=1\.0\.0/);
  expect(await person.until(person.out, /plugin\.changed/)).toMatch(
    /^\S+Z {2}plugin\.changed {2}lint {2}needs a restart; somebody restarts it {2}operation \S+: /,
  );
  expect(person.out.join('')).not.toContain('install.progress');
  person.stop.abort();
  expect(await person.ended).toBe(0);
});

test('airlock watch --to misses nothing of an agent that lives on while the connection is cut', async () => {
  const agent = await startTestAgent({ env });
  const cable = await Cable.lay(agent.port);
  onTestFinished(() => cable.close());
  const program = start(to(cable.port), false);
  const isThere = (version: string): RegExp =>
    new RegExp(`"type":"install.complete".*"version":"${version}"`);
  await program.until(program.error, /^Watching/);
  await deliver(agent, '1.0.0');
  await program.until(program.out, isThere('1.0.0'));
  cable.truncate();
  await program.until(program.error, /connecting again until Ctrl-C/);
  await deliver(agent, '2.0.0');
  await program.until(program.error, /^Connected again; nothing was missed/);
  await program.until(program.out, isThere('2.0.0'));
  await deliver(agent, '3.0.0');
  await program.until(program.out, isThere('3.0.0'));
  const lines = linesOf(program.out);
  expect(lines[0]).toMatchObject({ seq: 1 });
  expectWhole(lines);
  expect(lines.some(({ type }) => type === 'snapshot')).toBe(false);
  expect(program.error).toHaveLength(3);
  program.stop.abort();
  expect(await program.ended).toBe(0);
});

test('airlock watch --to shows what is there after the agent was started anew, and goes on', async () => {
  const first = await startTestAgent({ env });
  const cable = await Cable.lay(first.port);
  onTestFinished(() => cable.close());
  const program = start(to(cable.port), false);
  const person = start(to(cable.port), true);
  for (const { until, error } of [program, person]) await until(error, /^Watching/);
  await deliver(first, '1.0.0');
  cable.lead(undefined);
  await first.close();
  await program.until(program.error, /is shutting down; connecting again until Ctrl-C/);
  const second = await startTestAgent({ root: first.layout.root, env });
  cable.lead(second.port);
  await program.until(program.error, /^Connected again, to the agent/);
  expect(await person.until(person.out, / snapshot /)).toMatch(
    /^\S+Z {2}snapshot {2}1 plugin; see "airlock list"$/,
  );
  await deliver(second, '2.0.0');
  await program.until(program.out, /"type":"install.complete".*"version":"2.0.0"/);
  const lines = linesOf(program.out);
  expectWhole(lines);
  expect(lines.filter(({ type }) => type === 'snapshot')).toMatchObject([
    { bootId: second.bootId, data: { plugins: { total: 1, items: [{ name: 'lint' }] } } },
  ]);
  expect(program.error).toHaveLength(3);
});

test('airlock watch --to ends with exit code 4 when its token is refused, at once or later', async () => {
  const first = await startTestAgent({ env });
  const cable = await Cable.lay(first.port);
  onTestFinished(() => cable.close());
  const program = start(to(cable.port), false);
  await program.until(program.error, /^Watching/);
  cable.lead(undefined);
  await first.close();
  const other = { ...env, AIRLOCK_TOKEN: 'z'.repeat(43) };
  cable.lead((await startTestAgent({ root: first.layout.root, env: other })).port);
  expect(await program.ended).toBe(4);
  expect(program.error.join('')).toMatch(/connecting again.*UNAUTHENTICATED/s);
  const late = start(to(cable.port), false);
  expect([await late.ended, late.error.join('')]).toEqual([4, expect.not.stringContaining('again')]);
});

test('airlock watch --to fails at once with exit code 3 where there is no agent', async () => {
  const { ended, error, out } = start(to(await deafPort()), false);
  expect([await ended, out]).toEqual([3, []]);
  expect(error.join('')).toContain('UNREACHABLE');
});

test('airlock watch --root of a directory that is not there is a mistake', async () => {
  const { ended, error } = start(['--root', '/nowhere/at/all'], false);
  expect(await ended).toBe(1);
  expect(error.join('')).toContain('"/nowhere/at/all" does not exist');
});
