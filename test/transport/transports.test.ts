/** TLS, mutual TLS and Unix sockets: an agent, and the client that comes to it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, lstatSync, readFileSync, rmSync, watch } from 'node:fs';
import { copyFile, mkdir, readdir, symlink, utimes, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { connect as tlsConnect } from 'node:tls';

import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';

import { type ConnectOptions, type Reach, connect } from '../../client/connect.ts';
import { readAgentConfig } from '../../agent/config.ts';
import { type TestAgent, TOKEN, scratch, startTestAgent } from '../_kit/agent.ts';
import { type Pair, canCertify, makeAuthority, makeCertificate } from '../_kit/certificates.ts';
import { until } from '../_kit/until.ts';

async function reach(url: string, options: Partial<ConnectOptions> = {}): Promise<Reach> {
  const answer = await connect({ url, token: TOKEN, client: 'test', ...options });
  if (answer.state === 'reachable') {
    onTestFinished(async () => void (await answer.session.close()));
  }
  return answer;
}

/** What came of it, in short. */
async function outcome(url: string, options: Partial<ConnectOptions> = {}): Promise<string> {
  try {
    const answer = await reach(url, options);
    return answer.state === 'reachable'
      ? `list of ${(await answer.session.call('plugin.list', {})).plugins.total}`
      : answer.state;
  } catch (error) {
    return (error as { code: string }).code;
  }
}

const secure = ({ port }: TestAgent): string => `wss://127.0.0.1:${port}`;

describe('TLS', () => {
  beforeEach((context) => {
    if (!canCertify()) context.skip('openssl is not installed');
  });

  type Journal = { folder: string; authority: Pair; own: Pair; ca: Buffer };

  async function journal(): Promise<Journal> {
    const folder = await scratch();
    const authority = makeAuthority(folder, 'authority');
    const own = makeCertificate(folder, 'agent', authority);
    return { folder, authority, own, ca: readFileSync(authority.cert) };
  }

  const envOf = ({ cert, key }: Pair, more: Record<string, string> = {}): Record<string, string> => ({
    AIRLOCK_TLS_CERT: cert,
    AIRLOCK_TLS_KEY: key,
    ...more,
  });

  it('is spoken, checked by the client, and still asks for a token', async () => {
    const { own, ca } = await journal();
    const agent = await startTestAgent({ env: envOf(own) });
    expect(await outcome(secure(agent), { tls: { ca } })).toBe('list of 0');
    expect(await outcome(secure(agent))).toBe('unknown');
    expect(await outcome(secure(agent), { tls: { ca }, token: 'x'.repeat(43) })).toBe('UNAUTHENTICATED');
    expect(await outcome(`ws://127.0.0.1:${agent.port}`)).toBe('unknown');
    const answer = await reach(secure(agent));
    expect(answer.state === 'unknown' && answer.error.hint).toContain('--ca');
  });

  it('goes on with a certificate that was read again, and with the old one where the new one is of no use', async () => {
    const { folder, authority, own, ca } = await journal();
    const agent = await startTestAgent({ env: envOf(own) });
    const before = await reach(secure(agent), { tls: { ca } });
    const shown = async (): Promise<unknown> => {
      const socket = tlsConnect({ host: '127.0.0.1', port: agent.port, ca });
      await once(socket, 'secureConnect');
      const name = socket.getPeerCertificate().subject.CN;
      socket.destroy();
      return name;
    };
    expect(await shown()).toBe('agent');
    const next = makeCertificate(folder, 'next', authority);
    // The certificate alone: it does not belong to the key.
    await copyFile(next.cert, own.cert);
    await new Promise((resolve) => setTimeout(resolve, 2500));
    expect(await shown()).toBe('agent');
    await copyFile(next.key, own.key);
    await until(async () => expect(await shown()).toBe('next'), 200);
    await writeFile(own.cert, 'garbage');
    await new Promise((resolve) => setTimeout(resolve, 2500));
    expect(await shown()).toBe('next');
    expect(before.state === 'reachable' && (await before.session.call('plugin.list', {}))).toBeTruthy();
  });

  it('is mutual where an authority of clients is named: without its certificate nobody comes as far as a token', async () => {
    const { folder, own, ca } = await journal();
    const clients = makeAuthority(folder, 'clients');
    const mine = makeCertificate(folder, 'client', clients);
    const stranger = makeCertificate(folder, 'stranger', makeAuthority(folder, 'other'));
    const agent = await startTestAgent({ env: envOf(own, { AIRLOCK_TLS_CLIENT_CA: clients.cert }) });
    const as = ({ cert, key }: Pair): ConnectOptions['tls'] => ({
      ca,
      cert: readFileSync(cert),
      key: readFileSync(key),
    });
    expect(await outcome(secure(agent), { tls: as(mine) })).toBe('list of 0');
    expect(await outcome(secure(agent), { tls: as(mine), token: undefined })).toBe('UNAUTHENTICATED');
    expect(await outcome(secure(agent), { tls: { ca } })).toBe('unknown');
    expect(await outcome(secure(agent), { tls: as(stranger) })).toBe('unknown');
    expect(await outcome(secure(agent), { tls: as(own) })).toBe('unknown');
  });

  it('does not begin with a pair that is none, nor with an authority that is empty', async () => {
    const { folder, authority, own } = await journal();
    const empty = join(folder, 'empty.pem');
    await writeFile(empty, '');
    const secret = readFileSync(own.key, 'utf8').split('\n')[1] ?? '';
    for (const env of [
      envOf({ cert: own.cert, key: authority.key }),
      envOf({ cert: own.key, key: own.key }),
      envOf({ cert: own.cert, key: join(folder, 'none') }),
      envOf({ cert: own.cert, key: folder }),
      envOf(own, { AIRLOCK_TLS_CLIENT_CA: empty }),
    ]) {
      const failed = startTestAgent({ env });
      await expect(failed).rejects.toMatchObject({ code: 'INVALID_PARAMS' });
      await expect(failed).rejects.not.toThrow(secret);
    }
  });
});

it('TLS needs both halves, and a port', () => {
  for (const env of [
    { AIRLOCK_TLS_CERT: 'a' },
    { AIRLOCK_TLS_KEY: 'a' },
    { AIRLOCK_TLS_CLIENT_CA: 'a' },
    { AIRLOCK_TLS_CERT: 'a', AIRLOCK_TLS_KEY: 'a', AIRLOCK_LISTEN: 'unix:/a' },
  ]) {
    expect(() => readAgentConfig({}, env)).toThrow(/TLS/);
  }
});

describe('a Unix socket', () => {
  const start = (path: string, env: Record<string, string> = {}): Promise<TestAgent> =>
    startTestAgent({ env: { AIRLOCK_LISTEN: `unix:${path}`, AIRLOCK_TOKEN: '', ...env } });

  it('needs no token, is its owner’s alone, and is gone with the agent', async () => {
    const path = join(await scratch(), 'a b%41:c.sock');
    const agent = await start(path);
    expect(lstatSync(path).mode & 0o7777).toBe(0o600);
    expect(await outcome(`ws+unix:${path}`, { token: undefined })).toBe('list of 0');
    expect(await outcome(`ws+unix://${path}`, { token: undefined })).toBe('list of 0');
    await agent.close();
    expect(existsSync(path)).toBe(false);
  });

  it('knows who shows a token, and refuses a wrong one', async () => {
    const path = join(await scratch(), 's');
    await start(path, { AIRLOCK_TOKEN: TOKEN });
    expect(await outcome(`ws+unix:${path}`)).toBe('list of 0');
    expect(await outcome(`ws+unix:${path}`, { token: 'x'.repeat(43) })).toBe('UNAUTHENTICATED');
  });

  it('is at no moment open to others, nor is anything left beside it', async () => {
    const folder = await scratch();
    const modes = new Set<number>();
    const watcher = watch(folder, (_, name) => {
      const found = lstatSync(join(folder, name ?? ''), { throwIfNoEntry: false });
      modes.add((found?.mode ?? 0o600) & 0o077);
    });
    onTestFinished(() => watcher.close());
    await start(join(folder, 's'));
    await until(() => expect(modes.size).toBeGreaterThan(0));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(modes).toEqual(new Set([0]));
    expect(await readdir(folder)).toEqual(['s']);
  });

  it('clears away what an agent has left beside it that was killed while it made its own', async () => {
    const folder = await scratch();
    const left = ['.al-aB3dE6', '.al-empty1', '.al-fresh1', '.al-others', '.al-toolong', '.al-file00'];
    const [whole = '', , fresh = '', others = '', , file = ''] = left;
    for (const name of left) {
      if (name === file) await writeFile(join(folder, name), 'mine');
      else await mkdir(join(folder, name));
    }
    const code = `require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`;
    const killed = spawn(process.execPath, ['-e', code, join(folder, whole, 's')], { stdio: 'inherit' });
    expect(await once(killed, 'exit')).toEqual([null, 'SIGKILL']);
    await writeFile(join(folder, others, 's'), 'no socket');
    const before = new Date(Date.now() - 61_000);
    for (const name of left) if (name !== fresh) await utimes(join(folder, name), before, before);
    await start(join(folder, 's'));
    expect((await readdir(folder)).toSorted()).toEqual(
      ['.al-file00', '.al-fresh1', '.al-others', '.al-toolong', 's'].toSorted(),
    );
    expect(await readdir(join(folder, others))).toEqual(['s']);
  });

  it('of a dead agent is replaced, one of a living is not', async () => {
    const path = join(await scratch(), 's');
    const code = `require('net').createServer().listen(process.argv[1], () => console.log('up'))`;
    const dead = spawn(process.execPath, ['-e', code, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    onTestFinished(() => void dead.kill('SIGKILL'));
    await once(dead.stdout, 'data');
    await expect(start(path)).rejects.toMatchObject({ message: expect.stringContaining('is taken') });
    dead.kill('SIGKILL');
    await once(dead, 'exit');
    expect(existsSync(path)).toBe(true);
    await start(path);
    await expect(start(path)).rejects.toMatchObject({ message: expect.stringContaining('is taken') });
    expect(await outcome(`ws+unix:${path}`, { token: undefined })).toBe('list of 0');
  });

  it('takes the place of nothing else: a file, a link, a directory stay', async () => {
    const folder = await scratch();
    await writeFile(join(folder, 'file'), 'mine');
    await symlink('file', join(folder, 'link'));
    for (const name of ['file', 'link', '.']) {
      await expect(start(join(folder, name).replace(/\/$/, ''))).rejects.toMatchObject({
        code: 'INVALID_PARAMS',
      });
    }
    await expect(start(join(folder, 'no', 's'))).rejects.toMatchObject({ code: 'INVALID_PARAMS' });
    expect((await readdir(folder)).toSorted()).toEqual(['file', 'link']);
    expect(readFileSync(join(folder, 'file'), 'utf8')).toBe('mine');
  });

  it('of somebody else who came after is not removed at the end', async () => {
    const path = join(await scratch(), 's');
    const agent = await start(path);
    rmSync(path);
    const other = createServer().listen(path);
    onTestFinished(() => void other.close());
    await once(other, 'listening');
    chmodSync(path, 0o600);
    await agent.close();
    expect(existsSync(path)).toBe(true);
  });

  it('is reached by an absolute path only', async () => {
    for (const url of ['ws+unix:', 'ws+unix:relative', 'ws+unix:/', 'ws+unix://host/path']) {
      expect(await outcome(url)).toBe('INVALID_PARAMS');
    }
  });
});
