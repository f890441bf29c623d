/** A pull from a server on the loopback, through a real agent and by the command. */
import { once } from 'node:events';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';

import type { PullParams } from '../../shared/api/methods.ts';
import type { Installed, PluginInfo } from '../../shared/api/plugin.ts';
import { type AgentOptions, type TestAgent, TOKEN, scratch, startTestAgent } from '../_kit/agent.ts';
import { type Bundle, beginOf, pack, packPlugin, push } from '../_kit/bundle.ts';
import { type BundleServer, bytesOf, cutAfter, serveBundles } from '../_kit/bundle-server.ts';
import { Program, runHere } from '../_kit/program.ts';
import { until } from '../_kit/until.ts';
import { Wire } from '../_kit/wire.ts';

vi.setConfig({ testTimeout: 60_000 });

const PULL_TOKEN = 'the-token-of-the-server-of-bundles';

let bundle: Bundle;
let server: BundleServer;
beforeEach(async () => {
  bundle = await packPlugin('lint', '1.0.0', 300_000);
  server = await serveBundles(bytesOf(bundle.bytes, { etag: '"one"' }));
});

let pulls = 0;
function pullOf(changes: Partial<PullParams> = {}): PullParams {
  pulls += 1;
  return {
    operationId: `pull-000${pulls}`,
    plugin: 'lint',
    url: `${server.origin}/lint.tgz?key=k`,
    ...changes,
  };
}

async function open(options: AgentOptions = {}): Promise<{ agent: TestAgent; wire: Wire }> {
  const agent = await startTestAgent(options);
  return { agent, wire: await Wire.start(agent) };
}

const failure = (code: string, more: object = {}): object => ({ data: { code, executed: 'no', ...more } });
const staged = ({ layout }: TestAgent): Promise<string[]> => readdir(layout.staging);

describe('plugin.pull', () => {
  it.each([
    ['of which nothing is known', () => undefined],
    ['whose digest is known', () => ({ sha256: bundle.sha256 })],
    ['whose size and digest are known', () => ({ size: bundle.size, sha256: bundle.sha256 })],
  ])('installs a bundle %s, and answers once for an operation id', async (_what, known) => {
    const { agent, wire } = await open();
    const params = pullOf({ bundle: known(), restart: false });
    const installed = await wire.request<Installed>('plugin.pull', params);
    expect(installed).toMatchObject({
      status: 'installed',
      plugin: 'lint',
      pluginVersion: '1.0.0',
      bundle: `sha256:${bundle.sha256}`,
      source: `${server.origin}/lint.tgz`,
    });
    expect(await wire.request<PluginInfo>('plugin.get', { plugin: 'lint' })).toMatchObject({
      status: 'admitted',
    });
    expect(await wire.request('plugin.pull', params)).toEqual(installed);
    expect(await wire.request('install.commit', { operationId: params.operationId })).toEqual(installed);
    expect(server.requests).toHaveLength(1);
    await expect(wire.request('plugin.pull', { ...params, force: true })).rejects.toMatchObject(
      failure('CONFLICT'),
    );
    const again = await wire.request<Installed>('plugin.pull', pullOf({ bundle: known() }));
    expect(again).toMatchObject({ status: 'present', installId: installed.installId });
    await agent.close();
    expect(await staged(agent)).toEqual([]);
  });

  it('goes on after a broken connection, and lets nobody see the token', async () => {
    const tokenFile = join(await scratch(), 'token');
    await writeFile(tokenFile, `${PULL_TOKEN}\n`);
    const { wire } = await open({
      env: { AIRLOCK_PULL_TOKEN_FILE: tokenFile, AIRLOCK_PULL_FROM: server.origin },
    });
    for (const known of [undefined, { size: bundle.size, sha256: bundle.sha256 }]) {
      server.requests.length = 0;
      server.answer((request, response) =>
        (request.headers.range === undefined
          ? cutAfter(bundle.bytes, 100_000, { etag: '"one"' })
          : bytesOf(bundle.bytes, { etag: '"one"' }))(request, response),
      );
      const installed = await wire.request<Installed>('plugin.pull', pullOf({ bundle: known, force: true }));
      expect(installed.status).toBe('installed');
      expect(server.requests).toMatchObject([
        { headers: { authorization: `Bearer ${PULL_TOKEN}` } },
        { headers: { authorization: `Bearer ${PULL_TOKEN}`, range: expect.any(String) as string } },
      ]);
    }
    server.answer((_request, response) => response.writeHead(403).end());
    const refused = wire.request('plugin.pull', pullOf());
    await expect(refused).rejects.toMatchObject(
      failure('FORBIDDEN', { hint: expect.stringContaining('AIRLOCK_PULL_TOKEN_FILE') as string }),
    );
    expect(JSON.stringify(wire.events)).not.toContain(PULL_TOKEN);
    expect(JSON.stringify(wire.events)).not.toContain('key=k');
    // It is read for each pull.
    await writeFile(tokenFile, 'another-token');
    await wire.request('plugin.pull', pullOf()).catch(() => undefined);
    expect(server.requests.at(-1)?.headers.authorization).toBe('Bearer another-token');
    await writeFile(tokenFile, 'read one-token label\n');
    await expect(wire.request('plugin.pull', pullOf())).rejects.toMatchObject(failure('INTERNAL'));
  });

  it('leaves nothing and tells of it when the bytes are others, too many, or none', async () => {
    const { agent, wire } = await open({ env: { AIRLOCK_MAX_PACKED: '1000000' } });
    const wrong = { sha256: 'a'.repeat(64) };
    const whole = { ...wrong, size: bundle.size };
    for (const known of [wrong, whole, { ...whole, size: bundle.size + 1 }, { ...whole, size: 10 }]) {
      const params = pullOf({ bundle: known });
      await expect(wire.request('plugin.pull', params)).rejects.toMatchObject(failure('DIGEST_MISMATCH'));
      expect(wire.events.at(-1)).toMatchObject({
        type: 'install.failed',
        data: { operationId: params.operationId, error: { code: 'DIGEST_MISMATCH' } },
      });
    }
    server.answer(bytesOf(Buffer.alloc(1_000_001)));
    await expect(wire.request('plugin.pull', pullOf())).rejects.toMatchObject(failure('TOO_LARGE'));
    server.answer(bytesOf(Buffer.alloc(0)));
    await expect(wire.request('plugin.pull', pullOf())).rejects.toMatchObject(failure('ARCHIVE_CORRUPT'));
    server.answer((_request, response) => response.writeHead(404).end());
    const params = pullOf();
    await expect(wire.request('plugin.pull', params)).rejects.toMatchObject(failure('NOT_FOUND'));
    // A failed one is made again.
    server.answer(bytesOf(bundle.bytes));
    expect((await wire.request<Installed>('plugin.pull', params)).status).toBe('installed');
    await agent.close();
    expect(await staged(agent)).toEqual([]);
  });

  it('is aborted while the server keeps it waiting, by its client and by an agent that ends', async () => {
    const { agent, wire } = await open();
    server.answer((_request, response) => {
      response.writeHead(200, { 'content-length': bundle.size });
      response.write(bundle.bytes.subarray(0, 10));
    });
    const whole = { size: bundle.size, sha256: bundle.sha256 };
    for (const known of [undefined, whole]) {
      server.requests.length = 0;
      const params = pullOf({ bundle: known });
      const id = wire.ask('plugin.pull', params);
      await until(() => expect(server.requests).toHaveLength(1));
      // What it has so far is in a file that has no name, and goes with the process.
      if (known === undefined) expect(await staged(agent)).toEqual([]);
      const status = await wire.request('status', { quick: true });
      expect(status).toMatchObject({
        operations: { items: [{ operationId: params.operationId }], total: 1 },
      });
      expect(await wire.request('install.abort', { operationId: params.operationId })).toEqual({
        aborted: true,
      });
      await expect(wire.answer(id)).rejects.toMatchObject(failure('CANCELLED'));
    }
    server.requests.length = 0;
    const left = [pullOf(), pullOf({ plugin: 'other', bundle: whole })].map((params) =>
      wire.ask('plugin.pull', params),
    );
    await until(() => expect(server.requests).toHaveLength(2));
    const closed = agent.close();
    for (const id of left) await expect(wire.answer(id)).rejects.toMatchObject(failure('DRAINING'));
    await closed;
    expect(await staged(agent)).toEqual([]);
  });

  it('gives up a server that sends a byte now and then', async () => {
    const { wire } = await open({ timeouts: { deadline: 300, stall: 5000 } });
    server.answer((_request, response) => {
      response.writeHead(200, { 'content-length': bundle.size });
      const timer = setInterval(() => response.write('x'), 20);
      response.on('close', () => clearInterval(timer));
    });
    for (const known of [undefined, { size: bundle.size, sha256: bundle.sha256 }]) {
      const params = pullOf({ bundle: known });
      await expect(wire.request('plugin.pull', params)).rejects.toMatchObject(failure('DEADLINE'));
    }
  });

  it('needs a token that may write, and pulls from whom the owner allows only', async () => {
    const tokens = join(await scratch(), 'tokens');
    const reader = 'r'.repeat(40);
    await writeFile(tokens, `read ${reader} reader\nwrite ${TOKEN} writer\n`);
    const env = {
      AIRLOCK_TOKEN_FILE: tokens,
      AIRLOCK_TOKEN: '',
      AIRLOCK_PULL_FROM: 'https://plugins.example.com:443',
    };
    const agent = await startTestAgent({ env });
    const read = await Wire.start(agent, { token: reader });
    await expect(read.request('plugin.pull', pullOf())).rejects.toMatchObject(failure('FORBIDDEN'));
    const wire = await Wire.start(agent);
    await expect(wire.request('plugin.pull', pullOf())).rejects.toMatchObject(
      failure('FORBIDDEN', { hint: expect.stringContaining('https://plugins.example.com;') as string }),
    );
    expect(server.requests).toEqual([]);
  });

  it('is refused where the id belongs to a push', async () => {
    const { wire } = await open();
    const params = beginOf('lint', bundle);
    await push(wire, params, bundle);
    const pull = pullOf({ operationId: params.operationId });
    await expect(wire.request('plugin.pull', pull)).rejects.toMatchObject(failure('CONFLICT'));
  });
});

describe('an external workspace', () => {
  it('refuses a push, a rollback and an uninstall, and pulls', async () => {
    const env = { AIRLOCK_RUNTIME: 'external', AIRLOCK_WORKSPACE: 'w 1' };
    const { agent, wire } = await open({ env });
    const one = { operationId: 'change-0001', plugin: 'lint' };
    const changes = {
      'install.begin': beginOf('lint', bundle),
      'plugin.rollback': one,
      'plugin.uninstall': one,
    };
    const hint = expect.stringContaining('GET /workspaces/w%201/plugins/lint/download') as string;
    for (const [method, params] of Object.entries(changes)) {
      const fault = failure('RUNTIME_EXTERNAL', { status: 422, hint, retry: 'never' });
      await expect(wire.request(method, params)).rejects.toMatchObject(fault);
      await expect(wire.request(method, {})).rejects.toMatchObject(failure('INVALID_PARAMS'));
    }
    const theirs = await pack({ 'plugin.yaml': 'name: lint\nversion: 1.0.0\nruntimes: [codex]\n' });
    server.answer(bytesOf(theirs.bytes));
    expect((await wire.request<Installed>('plugin.pull', pullOf())).status).toBe('installed');
    expect(await wire.request('plugin.list', {})).toMatchObject({
      plugins: { items: [{ name: 'lint', status: 'admitted' }] },
    });
    const removed = await runHere(['uninstall', 'lint', '--root', agent.layout.root], env);
    expect(removed.code).toBe(0);
  });
});

describe('airlock pull', () => {
  it('pulls through an agent and on a root itself', async () => {
    const program = await Program.open();
    onTestFinished(() => program.close());
    await program.serveHere();
    const url = `${server.origin}/lint.tgz`;
    const words = ['pull', 'lint', url, '--digest', `sha256:${bundle.sha256}`];
    const first = await program.here([...words, '--to', program.url, '--expect', 'none', '--json']);
    expect(JSON.parse(first.stdout)).toMatchObject({ status: 'installed', by: 'token', source: url });
    const second = await program.here(['pull', 'lint', url, '--root', program.root]);
    expect(second).toMatchObject({ code: 0 });
    expect(second.stdout).toContain('present');
  });

  it('is interrupted while the server keeps it waiting, and leaves nothing', async () => {
    const root = await scratch();
    server.answer(() => undefined);
    const interrupt = new AbortController();
    const ended = runHere(['pull', 'lint', `${server.origin}/a`, '--root', root], {}, {}, interrupt.signal);
    await until(() => expect(server.requests).toHaveLength(1));
    interrupt.abort();
    expect((await ended).code).toBe(130);
    expect(await readdir(join(root, '.staging'))).toEqual([]);
  });

  it('leaves nothing behind when it is killed', async () => {
    const program = await Program.open();
    onTestFinished(() => program.close());
    await program.serve();
    server.answer((_request, response) => {
      response.writeHead(200, { 'content-length': bundle.size });
      response.write(bundle.bytes.subarray(0, 100_000));
    });
    const { size, sha256 } = bundle;
    const wire = await Wire.start(
      { host: '127.0.0.1', port: Number(new URL(program.url).port) },
      { token: program.token },
    );
    for (const known of [undefined, { size, sha256 }]) {
      wire.ask('plugin.pull', pullOf({ plugin: known === undefined ? 'lint' : 'other', bundle: known }));
    }
    await until(() => expect(server.requests).toHaveLength(2));
    program.agent?.kill('SIGKILL');
    if (program.agent !== undefined) await once(program.agent, 'exit');
    // Where the moment was that in which the file still had its name.
    await writeFile(join(program.root, '.staging/.tmp-lint-1-spool-1'), 'the beginning of a bundle');
    await program.serve();
    expect(await readdir(join(program.root, '.staging'))).toEqual([]);
  });
});
