/** The platform of the examples, asked with curl, and real agents that dial in to it. */
import { execFile, spawn, spawnSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { afterEach, beforeEach, expect, it, onTestFinished } from 'vitest';

import { sha256Of, packPlugin } from '../_kit/bundle.ts';
import { Program, repository } from '../_kit/program.ts';
import { until } from '../_kit/until.ts';

const PLATFORM_TOKEN = 'token-of-the-platform-'.padEnd(40, 'x');
const tokenOf = (workspace: string): string => `token-of-${workspace}-`.padEnd(40, 'x');

const hasCurl = spawnSync('curl', ['--version']).status === 0;

type Line = { event: string; [key: string]: unknown };
type Answer = { status: number; retryAfter: string; body: Record<string, unknown> };

let agents: Program[] = [];
beforeEach((context) => {
  if (!hasCurl) context.skip('curl is not installed');
  agents = [];
});
afterEach(() => Promise.all(agents.map((agent) => agent.close())));

async function startPlatform() {
  const folder = (await startProgram()).folder;
  const workspaces = join(folder, 'workspaces.json');
  const know = (more: Record<string, object> = {}): Promise<void> => {
    const all = { w1: {}, w2: {}, far: { external: true }, ...more };
    const entries = Object.entries(all).map(([id, one]) => [id, { token: tokenOf(id), ...one }]);
    return writeFile(workspaces, JSON.stringify(Object.fromEntries(entries)));
  };
  await know();
  const file = join(repository, 'examples/platform/platform.mjs');
  const child = spawn(process.execPath, [file, workspaces, join(folder, 'bundles')], {
    env: { PATH: process.env['PATH'], PLATFORM_TOKEN },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const said: Line[] = [];
  createInterface(child.stdout).on('line', (line) => said.push(JSON.parse(line) as Line));
  await until(() => expect(said[0]).toMatchObject({ event: 'listening' }));
  const address = `127.0.0.1:${String(said[0]?.['port'])}`;
  return { folder, address, said, know, child };
}

async function startProgram(): Promise<Program> {
  const program = await Program.open();
  agents.push(program);
  return program;
}

/** An agent that dials in; it has no token of its own. */
async function startAgent(address: string, workspace: string): Promise<Program> {
  const agent = await startProgram();
  const token = join(agent.folder, 'token');
  await writeFile(token, tokenOf(workspace));
  await agent.serve({
    AIRLOCK_TOKEN: '',
    AIRLOCK_DIAL: `ws://${address}`,
    AIRLOCK_DIAL_TOKEN_FILE: token,
    AIRLOCK_WORKSPACE: workspace,
  });
  return agent;
}

/** Asks with curl. */
function curl(url: string, ...words: string[]): Promise<Answer> {
  const all = ['-sS', '-w', '\n%{http_code} %header{retry-after}', ...words, url];
  return new Promise((resolve, reject) => {
    execFile('curl', all, (error, stdout) => {
      if (error !== null) return reject(new Error('curl failed', { cause: error }));
      const [, body = '', status, retryAfter = ''] = /^([^]*)\n(\d+) (.*)$/.exec(stdout) ?? [];
      resolve({ status: Number(status), retryAfter, body: JSON.parse(body) as Answer['body'] });
    });
  });
}

it('answers 202, 200, 422 and 503 with the words that say what became of the plugin', async () => {
  const { folder, address, said, know, child } = await startPlatform();
  const pluginsOf = (workspace: string): string => `http://${address}/workspaces/${workspace}/plugins`;
  const bearer = ['-H', `Authorization: Bearer ${PLATFORM_TOKEN}`];
  const [file, broken] = [join(folder, 'lint.tgz'), join(folder, 'broken.tgz')];
  const { bytes } = await packPlugin('lint', '1.0.0');
  await writeFile(file, bytes);
  await writeFile(broken, Buffer.concat([(await packPlugin('broken', '1.0.0')).bytes, Buffer.from('x')]));
  const bring = (workspace: string, bundle = file, ...more: string[]): Promise<Answer> =>
    curl(pluginsOf(workspace), ...bearer, ...more, '--data-binary', `@${bundle}`);

  // Nobody knows whether it runs.
  expect(await bring('w1')).toMatchObject({
    status: 503,
    retryAfter: '5',
    body: { code: 'UNREACHABLE', retry: 'later', executed: 'no' },
  });
  expect((await curl(pluginsOf('w1'), ...bearer)).body).toEqual({
    recorded: [],
    connected: false,
    installed: null,
  });

  const agent = await startAgent(address, 'w1');
  await until(() => expect(said).toContainEqual({ event: 'connected', workspace: 'w1' }));
  const once = ['-H', 'Idempotency-Key: request-1'];
  const first = await bring('w1', file, ...once);
  expect(first).toMatchObject({
    status: 202,
    body: { status: 'delivered', plugin: 'lint', pluginVersion: '1.0.0', reload: { action: 'restart' } },
  });
  const live = join(agent.root, 'lint', '.complete');
  expect(JSON.parse(await readFile(live, 'utf8'))).toMatchObject({ by: 'dial', source: 'platform' });
  // The same request again has the answer of the operation; another one finds the plugin there.
  expect(await bring('w1', file, ...once)).toEqual(first);
  expect(await bring('w1')).toMatchObject({ status: 200, body: { status: 'present' } });
  expect(await bring('w1', broken)).toMatchObject({ status: 422, body: { code: 'ARCHIVE_CORRUPT' } });
  expect((await curl(pluginsOf('w1'), ...bearer)).body).toMatchObject({
    recorded: ['lint'],
    installed: [{ name: 'lint', status: 'admitted' }],
  });

  // External: nothing is pushed, and it is told where to pull. It does, with its own token.
  const external = await bring('far');
  expect(external).toMatchObject({ status: 422, body: { code: 'RUNTIME_EXTERNAL' } });
  expect(external.body['hint']).toContain('GET /workspaces/far/plugins/:name/download');
  const out = join(folder, 'pulled.tgz');
  const own = ['-H', `Authorization: Bearer ${tokenOf('far')}`];
  await new Promise((resolve) => {
    execFile('curl', ['-sSf', ...own, '-o', out, `${pluginsOf('far')}/lint/download`], resolve);
  });
  expect(sha256Of(await readFile(out))).toBe(sha256Of(bytes));

  // Definitely not running: recorded, and delivered when it starts.
  await know({ w2: { running: false } });
  expect(await bring('w2')).toMatchObject({ status: 200, body: { status: 'recorded', plugin: 'lint' } });
  await know();
  const late = await startAgent(address, 'w2');
  const delivered = { event: 'delivered', workspace: 'w2', plugin: 'lint', status: 'installed' };
  await until(() => expect(said).toContainEqual(delivered));
  await readFile(join(late.root, 'lint', '.complete'));

  // Gone without a word from the owner: it may be back in a moment.
  await agent.kill();
  await until(() => expect(said).toContainEqual(expect.objectContaining({ event: 'lost', workspace: 'w1' })));
  expect(await bring('w1')).toMatchObject({ status: 503, retryAfter: '5' });

  // Who may ask for what.
  for (const [url, ...words] of [
    [pluginsOf('w1')],
    [pluginsOf('w1'), '-H', `Authorization: Bearer ${tokenOf('w1')}`],
    [`${pluginsOf('far')}/lint/download`, '-H', `Authorization: Bearer ${tokenOf('w1')}`],
  ] as [string, ...string[]][]) {
    expect(await curl(url, ...words)).toMatchObject({ status: 401, body: { code: 'UNAUTHENTICATED' } });
  }
  for (const url of [
    pluginsOf('nobody'),
    pluginsOf('constructor'),
    `${pluginsOf('w1')}/none/download`,
    `${pluginsOf('w1')}/..%2f..%2fworkspaces/download`,
    `http://${address}/other`,
  ]) {
    expect(await curl(url, ...bearer)).toMatchObject({ status: 404, body: { code: 'NOT_FOUND' } });
  }

  // It ends in order, and says so to its agents.
  child.kill('SIGTERM');
  await until(() => expect(child.exitCode).toBe(0));
  const told = { msg: 'not connected to the platform', why: expect.stringContaining('shutting down') };
  await until(() => expect(late.log).toContainEqual(expect.objectContaining(told)));
  expect(await late.stop()).toBe(0);
});
