/** The restart command of an agent that has no file descriptors left. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { build } from 'esbuild';
import { expect, it } from 'vitest';

import { scratch } from '../_kit/agent.ts';
import { repository } from '../_kit/program.ts';

const PROGRAM = `
import { closeSync, openSync } from 'node:fs';
import { Restarter } from './agent/service/restarter.ts';
let end = () => {};
const ended = new Promise((resolve) => { end = resolve; });
const restarter = new Restarter({
  command: 'true',
  timeout: 60_000,
  env: { PATH: process.env.PATH },
  clock: { now: () => 0, after: (millis, call) => (millis < 60_000 ? setImmediate(call) : 0, () => undefined) },
  begin: async () => ({ at: 0, versions: [] }),
  loaded: async () => end(),
  log: { info: () => undefined, error: () => end() },
});
const descriptors = [];
try {
  for (;;) descriptors.push(openSync('/dev/null'));
} catch {}
restarter.want();
await ended;
for (const descriptor of descriptors) closeSync(descriptor);
await restarter.close();
console.log(JSON.stringify(restarter.status()));
`;

it('fails, is told as failed, and does not end the agent', async () => {
  const file = join(await scratch(), 'restart.mjs');
  await build({
    stdin: { contents: PROGRAM, resolveDir: repository, loader: 'ts' },
    outfile: file,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20.19',
    logLevel: 'warning',
  });
  const { stdout } = await promisify(execFile)('/bin/sh', [
    '-c',
    'ulimit -n 64; exec "$0" "$1"',
    process.execPath,
    file,
  ]);
  expect(JSON.parse(stdout)).toMatchObject({
    state: 'idle',
    last: { ok: false, how: expect.stringContaining('EMFILE') },
  });
});
