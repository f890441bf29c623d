/** What a command ends with when nobody reads what it says, or nobody can. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { expect, it, onTestFinished } from 'vitest';

import { type Layout } from '../../shared/format/layout.ts';
import { scratch } from '../_kit/agent.ts';
import { install, makeRoot } from '../_kit/loader-root.ts';
import { program } from '../_kit/program.ts';
import { inProcess } from '../_kit/two-ways.ts';
import { until } from '../_kit/until.ts';

const NOWHERE = ['--to', 'ws://127.0.0.1:1'];
const env = { AIRLOCK_TOKEN: 'x'.repeat(43), NO_COLOR: '1' };

/** Runs a command whose output nobody reads any more from the beginning. @param closed which output. */
async function unread(words: readonly string[], closed: 'stdout' | 'stderr'): Promise<unknown> {
  // The shell holds the command back until the reader is gone.
  const script = closed === 'stdout' ? 'read go; exec "$@"' : 'read go; exec "$@" 3>&1 1>/dev/null 2>&3 3>&-';
  const child = spawn('sh', ['-c', script, 'sh', process.execPath, program, ...words], {
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  child.stdout.destroy();
  await pause(50);
  child.stdin.end('go\n');
  const [code] = await once(child, 'exit');
  return code;
}

async function drifted(): Promise<Layout> {
  const layout = await makeRoot();
  await install(layout, 'lint');
  await appendFile(join(layout.live('lint'), 'plugin.yaml'), '# more\n');
  return layout;
}

it('what was found out is the exit code, also where the reader has gone', async () => {
  const { root } = await drifted();
  expect(await unread(['list', '--root', root], 'stdout')).toBe(0);
  expect(await unread(['verify', '--root', root], 'stdout')).toBe(1);
  expect(await unread(['list', ...NOWHERE, '--json'], 'stdout')).toBe(3);
});

it('what went wrong is the exit code, also where nobody reads it', async () => {
  expect(await unread(['list', ...NOWHERE], 'stderr')).toBe(3);
  expect(await unread(['listt'], 'stderr')).toBe(2);
});

it('airlock watch ends without a failure at the first event for which its reader is gone', async () => {
  const { root, live } = await drifted();
  const child = spawn(process.execPath, [program, 'watch', '--root', root], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child.stderr, 'data');
  child.stdout.destroy();
  const ended = once(child, 'exit');
  await appendFile(join(live('lint'), 'plugin.yaml'), '# and more\n');
  expect(await ended).toEqual([0, null]);
});

it.runIf(process.platform === 'linux')('a result that cannot be written is a failure, and said', async () => {
  const { root } = await makeRoot();
  const full = await open('/dev/full', 'w');
  onTestFinished(() => full.close());
  const child = spawn(process.execPath, [program, 'list', '--root', root], {
    env: { ...process.env, ...env },
    stdio: ['ignore', full.fd, 'pipe'],
  });
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (said += text));
  expect(await once(child, 'close')).toEqual([1, null]);
  expect(said).toMatch(/^The result could not be written: ENOSPC.*\n$/);
});

it.runIf(process.platform === 'linux')('an agent whose log has no room any more serves on', async () => {
  const folder = await scratch();
  const socket = join(folder, 's');
  const full = await open('/dev/full', 'w');
  onTestFinished(() => full.close());
  const words = ['agent', '--root', join(folder, 'plugins'), '--listen', `unix:${socket}`];
  const child = spawn(process.execPath, [program, ...words], {
    env: { ...process.env, ...env },
    stdio: ['ignore', full.fd, 'ignore'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const ended = once(child, 'exit');
  const answered = until(async () => {
    expect((await inProcess(['list', '--to', `ws+unix:${socket}`])).text).toMatch(/no plugins/i);
  }, 200);
  expect(await Promise.race([answered, ended])).toBeUndefined();
  child.kill('SIGTERM');
  expect(await ended).toEqual([0, null]);
});
