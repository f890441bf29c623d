import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { expect, onTestFinished, test } from 'vitest';

import { run } from '../../cli/run.ts';
import { TOKEN, startTestAgent } from '../_kit/agent.ts';
import { beginOf, packPlugin, push } from '../_kit/bundle.ts';
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
    for (let i = 0; i < 500; i += 1) {
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
  expect(await person.until(person.out, /lint/)).toBe('lint  hot  edited: skills/a');
  expect(JSON.parse(await program.until(program.out, /lint/))).toMatchObject({
    plugin: 'lint',
    kind: 'skill-content-only',
    skills: ['skills/a'],
  });
  await appendFile(join(layout.live('lint'), 'run.sh'), 'more');
  expect(await person.until(person.out, /restart/)).toMatch(/^lint {2}needs a restart {2}edited: run\.sh: /);
  for (const { stop, ended } of [person, program]) {
    stop.abort();
    expect(await ended).toBe(0);
  }
});

test('airlock watch --to shows the events of an agent, and ends with exit code 3 when the agent does', async () => {
  const agent = await startTestAgent({ env: { AIRLOCK_DURABILITY: 'none' } });
  const person = start(['--to', `ws://127.0.0.1:${agent.port}`], true);
  const program = start(['--to', `ws://127.0.0.1:${agent.port}`], false);
  for (const { until, error } of [person, program]) await until(error, /^Watching/);
  const bundle = await packPlugin('lint', '1.0.0');
  await push(await Wire.start(agent), beginOf('lint', bundle), bundle);
  expect(await person.until(person.out, /install\.complete/)).toMatch(/ lint {2}.*version=1\.0\.0/);
  expect(person.out.join('')).not.toContain('install.progress');
  const line = await program.until(program.out, /install\.complete/);
  expect(JSON.parse(line)).toMatchObject({ type: 'install.complete', data: { plugin: 'lint' } });
  person.stop.abort();
  expect(await person.ended).toBe(0);
  await agent.close();
  expect(await program.ended).toBe(3);
});

test('airlock watch --root of a directory that is not there is a mistake', async () => {
  const { ended, error } = start(['--root', '/nowhere/at/all'], false);
  expect(await ended).toBe(1);
  expect(error.join('')).toContain('"/nowhere/at/all" cannot be read');
});
