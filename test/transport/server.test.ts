/** The door: who is let in, and what becomes of those who behave badly. Real sockets, on the loopback. */
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, describe, expect, it, vi } from 'vitest';

import { HEALTH_PATH, PROTOCOL, WIRE } from '../../shared/api/rpc.ts';
import { type TestAgent, TOKEN, scratch, startTestAgent } from '../_kit/agent.ts';
import { rawSocket } from '../_kit/raw-socket.ts';
import { until } from '../_kit/until.ts';
import { Wire, ask, bearer } from '../_kit/wire.ts';

afterEach(() => {
  vi.useRealTimers();
});

const alive = async (agent: TestAgent): Promise<void> => {
  expect((await ask(agent, { path: HEALTH_PATH, upgrade: false })).status).toBe(200);
};

describe('who knocks', () => {
  it('is told 401 and how to do better without a token that is known', async () => {
    const agent = await startTestAgent();
    for (const headers of [
      {},
      bearer(`${TOKEN}x`),
      bearer(TOKEN.slice(1)),
      { authorization: `Basic ${TOKEN}` },
    ]) {
      const { status, headers: said, body } = await ask(agent, { headers });
      expect([status, said['www-authenticate']]).toEqual([401, 'Bearer']);
      expect(JSON.parse(body)).toMatchObject({ code: 'UNAUTHENTICATED' });
    }
  });

  it('is told 400 for anything behind the path, such as a token, which is nowhere read', async () => {
    const agent = await startTestAgent();
    for (const query of [`token=${TOKEN}`, `access_token=${TOKEN}`, 'x=1', '']) {
      for (const headers of [{}, bearer()]) {
        const { status, body } = await ask(agent, { path: `/v1/connect?${query}`, headers });
        expect([status, body.includes(TOKEN)]).toEqual([400, false]);
      }
    }
  });

  it('is told 403 if a browser sends it, whatever its token', async () => {
    const agent = await startTestAgent();
    for (const origin of ['https://example.org', 'null', 'http://127.0.0.1']) {
      const { status, body } = await ask(agent, { headers: { ...bearer(), origin } });
      expect([status, body]).toEqual([403, expect.stringContaining('FORBIDDEN')]);
    }
  });

  it('is told 400 if it does not speak this protocol', async () => {
    const agent = await startTestAgent();
    for (const protocol of ['airlock.v2', 'AIRLOCK.V1', 'airlock.v1.1', 'chat, superchat']) {
      const headers = { ...bearer(), 'sec-websocket-protocol': protocol };
      expect((await ask(agent, { headers })).status).toBe(400);
    }
    const headers = { ...bearer(), 'sec-websocket-protocol': 'airlock.v2, airlock.v1' };
    const { status, headers: said } = await ask(agent, { headers });
    expect([status, said['sec-websocket-protocol']]).toEqual([101, PROTOCOL]);
  });

  it('is told 404 at another path, with or without an upgrade', async () => {
    const agent = await startTestAgent();
    for (const path of ['/', '/v1', '/v1/connect/', '/v2/connect', '//v1/connect', HEALTH_PATH]) {
      expect((await ask(agent, { path, headers: bearer() })).status).toBe(404);
    }
    expect((await ask(agent, { path: '/nothing', upgrade: false })).status).toBe(404);
  });

  it('is told 426 and to what, if it asks without an upgrade', async () => {
    const { status, headers } = await ask(await startTestAgent(), { headers: bearer(), upgrade: false });
    expect([status, headers['upgrade']]).toEqual([426, 'websocket']);
  });

  it('is told that the agent lives, without a token and nothing more', async () => {
    const agent = await startTestAgent();
    const { status, body } = await ask(agent, { path: HEALTH_PATH, upgrade: false });
    expect([status, body]).toEqual([200, '{"status":"ok"}\n']);
    expect((await ask(agent, { path: HEALTH_PATH, method: 'POST', upgrade: false })).status).toBe(405);
  });

  it('is let in without compression, for that would let a frame be larger than it looks', async () => {
    const headers = { ...bearer(), 'sec-websocket-extensions': 'permessage-deflate; client_max_window_bits' };
    const { status, headers: said } = await ask(await startTestAgent(), { headers });
    expect([status, said['sec-websocket-extensions']]).toEqual([101, undefined]);
  });

  it('cannot bring the agent down with a handshake that is none', async () => {
    const agent = await startTestAgent();
    expect((await ask(agent, { headers: { ...bearer(), 'sec-websocket-key': 'x' } })).status).toBe(400);
    expect((await ask(agent, { headers: { ...bearer(), 'sec-websocket-version': '7' } })).status).toBe(400);
    for (const garbage of [
      '\0\u0001\u0002\r\n\r\n',
      'GET / HTTP/9.9\r\n\r\n',
      `GET /${'x'.repeat(99_999)}`,
    ]) {
      const socket = await rawSocket(agent);
      // However the agent hangs up, with what it has not read still on the way or without.
      const gone = new Promise((resolve) => {
        socket.once('end', resolve).once('close', resolve);
      });
      socket.resume().write(garbage);
      await gone;
    }
    await alive(agent);
  });

  it('is told 429 beyond the 64th connection, and let in again when one has left', async () => {
    const agent = await startTestAgent();
    const wires: Wire[] = [];
    // Whoever does not start its session is let go of while the others still come.
    for (let i = 0; i < WIRE.connections; i += 1) {
      wires.push(await Wire.start(agent));
    }
    expect((await ask(agent, { headers: bearer() })).status).toBe(429);
    expect((await ask(agent)).status).toBe(401);
    await wires[0]?.vanish();
    await until(async () => expect((await ask(agent, { headers: bearer() })).status).toBe(101));
  });

  it('is known by a token that was put into the file while the agent ran', async () => {
    const file = join(await scratch(), 'tokens');
    await writeFile(file, `read ${'r'.repeat(32)} reader\n`);
    const agent = await startTestAgent({ env: { AIRLOCK_TOKEN: '', AIRLOCK_TOKEN_FILE: file } });
    expect((await ask(agent, { headers: bearer() })).status).toBe(401);
    await writeFile(file, `read ${'r'.repeat(32)} reader\nwrite ${TOKEN} new\n`);
    expect((await ask(agent, { headers: bearer() })).status).toBe(101);
    const reader = await Wire.start(agent, { token: 'r'.repeat(32) });
    const { data } = await reader.refusal('install.commit', { operationId: 'operation-1' });
    expect([data.code, data.detail]).toEqual(['FORBIDDEN', expect.stringContaining('"reader"')]);
  });

  it('on an address that is taken is not waited for: the start fails and says what to do', async () => {
    const { port } = await startTestAgent();
    const second = startTestAgent({ env: { AIRLOCK_LISTEN: `127.0.0.1:${port}` } });
    await expect(second).rejects.toMatchObject({
      code: 'INVALID_PARAMS',
      hint: expect.stringContaining('AIRLOCK_LISTEN'),
    });
  });
});

describe('who is let in', () => {
  it('hears the hello at once, and is closed with 1008 after five seconds without an answer', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const agent = await startTestAgent();
    const silent = await Wire.connect(agent);
    const started = await Wire.start(agent);
    expect(await silent.hello()).toMatchObject({ protocol: PROTOCOL, bootId: agent.bootId });
    vi.advanceTimersByTime(WIRE.startMillis - 1);
    expect(await silent.refusal('plugin.list')).toMatchObject({ data: { code: 'INVALID_PARAMS' } });
    vi.advanceTimersByTime(1);
    expect(await silent.closed).toEqual({ code: 1008, reason: 'no session.start' });
    expect(await started.request('plugin.list')).toMatchObject({ plugins: { total: 0 } });
  });

  it('is given up when it does not answer pings for 45 seconds, and only then', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] });
    const agent = await startTestAgent();
    const wire = await Wire.start(agent);
    const [dead, quiet] = [await Wire.start(agent), await Wire.start(agent)];
    // From now on it takes nothing from its socket: no ping is seen, no pong is sent.
    dead.socket.pause();
    for (let i = 0; i < 5; i += 1) {
      const pinged = once(wire.socket, 'ping');
      vi.advanceTimersByTime(WIRE.pingMillis);
      await pinged;
      // An answer proves that the pong before it has arrived.
      await wire.request('plugin.list');
    }
    dead.socket.resume();
    expect((await dead.closed).code).toBe(1006);
    // It said nothing all the time, but its pongs did.
    expect(await quiet.request('plugin.list')).toMatchObject({ plugins: { total: 0 } });
    expect(await wire.request('plugin.list')).toMatchObject({ plugins: { total: 0 } });
  });

  it('is closed with 1002 for garbage, in text and in binary', async () => {
    const agent = await startTestAgent();
    const text = await Wire.start(agent);
    text.text('garbage');
    expect((await text.closed).code).toBe(1002);
    const binary = await Wire.start(agent);
    binary.socket.send(Buffer.from('garbage'), { binary: true });
    expect((await binary.closed).code).toBe(1002);
    const stream = await Wire.start(agent);
    stream.frame(7, 0, Buffer.from('x'));
    expect(await stream.closed).toEqual({ code: 1002, reason: 'there is no stream 7' });
    await alive(agent);
  });

  it('is closed with 1009 for a frame that is too large, also in pieces', async () => {
    const agent = await startTestAgent();
    for (const send of [
      (wire: Wire) => wire.socket.send(Buffer.alloc(WIRE.frameBytes + 1), { binary: true }),
      (wire: Wire) => wire.text('x'.repeat(WIRE.frameBytes + 1)),
      (wire: Wire) => {
        wire.socket.send(Buffer.alloc(WIRE.frameBytes), { binary: true, fin: false });
        wire.socket.send(Buffer.alloc(1), { binary: true, fin: true });
      },
    ]) {
      const wire = await Wire.start(agent);
      send(wire);
      expect((await wire.closed).code).toBe(1009);
    }
    await alive(agent);
  });

  it('is closed for text that is not UTF-8', async () => {
    const wire = await Wire.start(await startTestAgent());
    wire.socket.send(Buffer.from([0xff, 0xfe]), { binary: false });
    expect((await wire.closed).code).toBe(1007);
  });

  it('is not heard any more after what it is closed for', async () => {
    const agent = await startTestAgent();
    const [wire, watcher] = [await Wire.start(agent), await Wire.start(agent)];
    const bundle = { size: 100, sha256: 'a'.repeat(64) };
    wire.text('garbage');
    wire.ask('install.begin', { operationId: 'too-late-1', plugin: 'lint', bundle });
    await wire.closed;
    await watcher.request('install.begin', { operationId: 'in-time-1', plugin: 'other', bundle });
    const heard = watcher.events.map(({ data }) => (data as { operationId: string }).operationId);
    expect(new Set(heard)).toEqual(new Set(['in-time-1']));
  });

  it('is closed with 1008 when it does not read, however much it asks', async () => {
    // No pings, and no end of the wait for its close frame: asking so much may take longer than it may be silent.
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'setTimeout', 'clearTimeout'] });
    const agent = await startTestAgent();
    const slow = await Wire.start(agent);
    const other = await Wire.start(agent);
    slow.socket.pause();
    const before = process.memoryUsage().arrayBuffers;
    // Each answer has its id and a few hundred bytes: together they are far more than is kept for anybody.
    const question = JSON.stringify({ jsonrpc: '2.0', id: 'x'.repeat(128), method: 'no.such.method' });
    for (let i = 0; i < 80_000; i += 1) {
      slow.text(question);
      if (i % 1000 === 0) {
        await sleep(0);
      }
    }
    await other.request('plugin.list');
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 1024 * 1024);
    slow.socket.resume();
    expect(await slow.closed).toEqual({ code: 1008, reason: 'the client reads too slowly' });
  });
});

describe('the end of the agent', () => {
  it('is told with 1001, to those also who have not started', async () => {
    const agent = await startTestAgent();
    const [started, silent] = [await Wire.start(agent), await Wire.connect(agent)];
    await agent.close();
    expect(await started.closed).toEqual({ code: 1001, reason: 'draining' });
    expect(await silent.closed).toEqual({ code: 1001, reason: 'draining' });
    expect(started.events.map(({ type }) => type)).toEqual(['draining']);
    await expect(Wire.connect(agent)).rejects.toThrow('ECONNREFUSED');
  });

  it('does not wait for strangers who were refused and do not hang up: they are hung up on', async () => {
    const agent = await startTestAgent();
    const socket = await rawSocket(agent);
    const handshake = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n';
    socket.resume().write(`GET /v1/connect HTTP/1.1\r\nHost: x\r\n${handshake}\r\n`);
    await once(socket, 'end');
    // Half of the connection is ours still; where nobody holds the other, what is sent on it is answered by a reset.
    const drip = setInterval(() => socket.write('x'), 10);
    await new Promise((resolve) => {
      socket.on('close', resolve);
    });
    clearInterval(drip);
    await agent.close();
  });

  it('does not wait for long for those who neither read nor hang up, and lets go of them', async () => {
    const sockets = (): number =>
      process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;
    const agent = await startTestAgent();
    const before = sockets();
    const wire = await Wire.start(agent);
    wire.socket.pause();
    await rawSocket(agent);
    await agent.close();
    // Our two ends are left, theirs are not.
    await until(() => expect(sockets()).toBeLessThanOrEqual(before + 2));
  });
});
