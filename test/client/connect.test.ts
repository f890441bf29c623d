import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';

import { afterEach, describe, expect, it } from 'vitest';

import { connect, type ConnectOptions, openSession, type Reach } from '../../client/connect.ts';
import type { Session } from '../../client/session.ts';
import { Fault } from '../../shared/api/fault.ts';
import { deafPort } from '../_kit/deaf-port.ts';
import { until } from '../_kit/until.ts';
import { type Behaviour, type FakeAgent, fakeAgent, HELLO } from './fake-agent.ts';

const TOKEN = 'secret-token-of-enough-characters-000000';
let agents: FakeAgent[] = [];
let sessions: Session[] = [];

afterEach(async () => {
  await Promise.all(sessions.map((session) => session.close()));
  await Promise.all(agents.map((agent) => agent.close()));
  [agents, sessions] = [[], []];
});

async function agentWith(behaviour: Behaviour = {}): Promise<FakeAgent> {
  const agent = await fakeAgent(behaviour);
  agents.push(agent);
  return agent;
}

async function reach(options: Partial<ConnectOptions> & { url: string }): Promise<Reach> {
  const answer = await connect({ client: 'test', token: TOKEN, timeoutMillis: 30_000, ...options });
  if (answer.state === 'reachable') sessions.push(answer.session);
  return answer;
}

const fault = (promise: Promise<unknown>): Promise<Fault> =>
  promise.then(
    () => new Fault('INTERNAL', 'nothing was thrown'),
    (error: unknown) => error as Fault,
  );

const unusedUrl = async (): Promise<string> => `ws://127.0.0.1:${await deafPort()}`;

describe('connecting', () => {
  it('is reachable when the agent says hello and takes the start', async () => {
    const agent = await agentWith();
    const answer = await reach({ url: agent.url });
    expect(answer.state === 'reachable' && answer.session.hello).toEqual(HELLO);
    expect(agent.upgrades[0]?.url).toBe('/v1/connect');
    expect(agent.upgrades[0]?.headers).toMatchObject({
      authorization: `Bearer ${TOKEN}`,
      'sec-websocket-protocol': 'airlock.v1',
    });
    expect(agent.upgrades[0]?.headers['sec-websocket-extensions']).toBeUndefined();
    expect(agent.violations).toEqual([]);
  });

  it('sends its frames over the loopback with a mask of zeros', async () => {
    const agent = await agentWith();
    const answer = await reach({ url: agent.url });
    const socket = agent.upgrades[0]?.socket;
    if (answer.state !== 'reachable' || socket === undefined) throw new Error('not connected');
    const sent = once(socket, 'data');
    answer.session.call('status', {}).catch(() => undefined);
    const [first] = (await sent) as [Buffer];
    // FIN and text; masked, with a length of less than 126; the mask; the text as it is.
    expect(first[0]).toBe(0x81);
    expect(first.subarray(2, 6)).toEqual(Buffer.alloc(4));
    expect(first.toString('utf8', 6)).toContain('"method":"status"');
  });

  it('sends no Authorization header without a token', async () => {
    const agent = await agentWith();
    await reach({ url: agent.url, token: undefined });
    expect(agent.upgrades[0]?.headers.authorization).toBeUndefined();
  });

  it('cannot tell when the connection is refused', async () => {
    const answer = await reach({ url: await unusedUrl() });
    expect(answer).toMatchObject({
      state: 'unknown',
      error: { code: 'UNREACHABLE', retry: 'later', executed: 'no' },
    });
  });

  it('is definitely not running only when the owner says so', async () => {
    const url = await unusedUrl();
    expect(await reach({ url, notRunning: async () => 'it was stopped' })).toEqual({
      state: 'not-running',
      why: 'it was stopped',
    });
    expect(await reach({ url, notRunning: async () => undefined })).toMatchObject({ state: 'unknown' });
  });

  it('still cannot tell when the look-up of the owner fails', async () => {
    const notRunning = (): Promise<string> => Promise.reject(new Error('no database'));
    expect(await reach({ url: await unusedUrl(), notRunning })).toMatchObject({ state: 'unknown' });
  });

  it('believes an agent that answers more than an owner who says that it is not running', async () => {
    const agent = await agentWith();
    expect((await reach({ url: agent.url, notRunning: async () => 'stopped' })).state).toBe('reachable');
  });

  it('decides about an external workspace before any connection', async () => {
    const agent = await agentWith();
    const error = await fault(
      reach({ url: agent.url, externalPull: async () => '/workspaces/w1/plugins/x/download' }),
    );
    expect(error).toMatchObject({ code: 'RUNTIME_EXTERNAL' });
    expect(error.hint).toContain('GET /workspaces/w1/plugins/x/download');
    expect(agent.upgrades).toHaveLength(0);
    const failing = (): Promise<string> => Promise.reject(new Error('no database'));
    expect((await reach({ url: agent.url, externalPull: failing })).state).toBe('reachable');
  });

  it('asks an external workspace, if nothing is to be changed there', async () => {
    const asked: string[] = [];
    const agent = await agentWith({
      onRequest: ({ id, method }, peer) => {
        asked.push(method);
        const result = { plugins: { items: [], total: 0 } };
        if (method === 'plugin.list') peer.answer(id, result);
      },
    });
    let where: string | undefined = '/workspaces/w1/plugins/x/download';
    const externalPull = async (): Promise<string | undefined> => where;
    const session = await openSession({ url: agent.url, client: 'test', queriesOnly: true, externalPull });
    sessions.push(session);
    expect(await session.call('plugin.list', {})).toEqual({ plugins: { items: [], total: 0 } });
    const change = { operationId: 'operation-1', plugin: 'lint' };
    for (const method of ['plugin.rollback', 'plugin.uninstall'] as const) {
      expect((await fault(session.call(method, change))).code).toBe('RUNTIME_EXTERNAL');
    }
    const bundle = { size: 1, sha256: 'a'.repeat(64) };
    expect((await fault(session.call('install.begin', { ...change, bundle }))).code).toBe('RUNTIME_EXTERNAL');
    expect(asked).toEqual(['plugin.list']);
    // A look-up that fails, or says no, stops nothing.
    where = undefined;
    void session.call('plugin.rollback', change).catch(() => undefined);
    await until(() => expect(asked).toEqual(['plugin.list', 'plugin.rollback']));
  });

  it.each([
    [401, 'UNAUTHENTICATED'],
    [403, 'FORBIDDEN'],
    [429, 'RATE_LIMITED'],
    [503, 'DRAINING'],
  ])('throws what HTTP %i means, for an agent that refuses is reachable', async (code, expected) => {
    const agent = await agentWith({ status: { code } });
    const error = await fault(reach({ url: agent.url }));
    expect(error).toBeInstanceOf(Fault);
    expect(error.code).toBe(expected);
    expect(JSON.stringify(error.toData())).not.toContain(TOKEN);
  });

  it('passes on the fault in the body of a refusal, if it is one of that status', async () => {
    const body = JSON.stringify({ error: new Fault('FORBIDDEN', 'Origin "x" is not allowed').toData() });
    const agent = await agentWith({ status: { code: 403, body } });
    expect((await fault(reach({ url: agent.url }))).message).toBe('Origin "x" is not allowed');
    agent.behaviour.status = { code: 401, body };
    expect((await fault(reach({ url: agent.url }))).code).toBe('UNAUTHENTICATED');
  });

  it('says when to come again if a refusal names a time', async () => {
    const agent = await agentWith({ status: { code: 429, headers: { 'Retry-After': '17' } } });
    expect((await fault(reach({ url: agent.url }))).hint).toBe('Try again in 17 s');
  });

  it('follows no redirect, so that the token goes nowhere else', async () => {
    const other = await agentWith();
    const agent = await agentWith({
      status: { code: 302, headers: { Location: other.url.replace('ws', 'http') } },
    });
    const error = await fault(reach({ url: agent.url }));
    expect(error).toMatchObject({ code: 'UNREACHABLE', retry: 'never' });
    expect(other.upgrades).toHaveLength(0);
  });

  it.each([404, 400])('says that HTTP %i comes from no agent', async (code) => {
    const agent = await agentWith({ status: { code } });
    expect(await fault(reach({ url: agent.url }))).toMatchObject({ code: 'UNREACHABLE', retry: 'never' });
  });

  it('cannot tell when a proxy has lost the agent', async () => {
    const agent = await agentWith({ status: { code: 502 } });
    expect(await reach({ url: agent.url })).toMatchObject({
      state: 'unknown',
      error: { code: 'UNREACHABLE' },
    });
  });

  it('refuses a server of another subprotocol, or of none', async () => {
    const agent = await agentWith({ subprotocol: 'chat' });
    expect(await fault(reach({ url: agent.url }))).toMatchObject({ code: 'UNREACHABLE', retry: 'never' });
    agent.behaviour.subprotocol = false;
    expect(await fault(reach({ url: agent.url }))).toMatchObject({ code: 'UNREACHABLE', retry: 'never' });
  });

  it('says that something is no agent when it does not speak HTTP', async () => {
    const server = createServer((socket) => socket.end('SSH-2.0-OpenSSH_9.6\r\n'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const error = await fault(reach({ url: `ws://127.0.0.1:${port}` }));
    server.close();
    expect(error).toMatchObject({ code: 'UNREACHABLE', retry: 'never' });
  });

  it('refuses a hello of another protocol', async () => {
    const agent = await agentWith({ hello: { ...HELLO, protocol: 'airlock.v2' } });
    const error = await fault(reach({ url: agent.url }));
    expect(error).toMatchObject({ code: 'UNREACHABLE', retry: 'never' });
    expect(error.message).toContain('hello');
  });

  it('cannot tell when there is no hello in time', async () => {
    const agent = await agentWith({ hello: null });
    expect(await reach({ url: agent.url, timeoutMillis: 100 })).toMatchObject({ state: 'unknown' });
  });

  it.each([
    [4401, 'UNAUTHENTICATED'],
    [4429, 'RATE_LIMITED'],
    [1001, 'DRAINING'],
  ])('understands close code %i during the greeting', async (code, expected) => {
    const agent = await agentWith({ hello: null });
    const attempt = fault(reach({ url: agent.url }));
    while (agent.peers.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    agent.peers[0]?.socket.close(code);
    expect((await attempt).code).toBe(expected);
  });

  it('stops connecting when the caller changes its mind', async () => {
    const agent = await agentWith({ hello: null });
    const controller = new AbortController();
    const attempt = fault(reach({ url: agent.url, signal: controller.signal }));
    setTimeout(() => controller.abort(), 50);
    expect((await attempt).code).toBe('CANCELLED');
    expect((await fault(reach({ url: agent.url, signal: AbortSignal.abort() }))).code).toBe('CANCELLED');
  });

  it.each([
    ['ws://user:hunter22@127.0.0.1:1', 'hunter22'],
    ['ws://127.0.0.1:1/?token=hunter22', 'hunter22'],
    ['ws://127.0.0.1:1/#hunter22', 'hunter22'],
    ['http://127.0.0.1:1', 'nothing secret'],
    ['hunter22 is no url', 'hunter22'],
  ])('refuses the address %s without quoting what may be secret', async (url, secret) => {
    const error = await fault(reach({ url }));
    expect(error.code).toBe('INVALID_PARAMS');
    expect(JSON.stringify(error.toData())).not.toContain(secret);
  });

  it('refuses a token with a line break before it is sent, and does not repeat it', async () => {
    const error = await fault(reach({ url: 'ws://127.0.0.1:1', token: `${TOKEN}\n` }));
    expect(error.code).toBe('INVALID_PARAMS');
    expect(error.message).not.toContain(TOKEN);
  });
});

describe('openSession', () => {
  it('throws the answers that are no session', async () => {
    const url = await unusedUrl();
    expect(await fault(openSession({ url, client: 'test' }))).toMatchObject({
      code: 'UNREACHABLE',
      retry: 'later',
    });
    const stopped = openSession({ url, client: 'test', notRunning: async () => 'it was stopped' });
    expect(await fault(stopped)).toMatchObject({ code: 'UNREACHABLE', retry: 'never' });
  });
});
