/** The judgement of an upgrade: hosts, origins, headers sent twice, failures that are counted. */
import { once } from 'node:events';
import { mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import { readAgentConfig } from '../../agent/config.ts';
import { openIngress } from '../../agent/transport/ingress.ts';
import { createLog } from '../../agent/log.ts';
import { isHostAllowed } from '../../agent/transport/upgrade-policy.ts';
import { Failures, networkOf } from '../../agent/transport/rate-limit.ts';
import { CLOSE, CONNECT_PATH, PROTOCOL } from '../../shared/api/rpc.ts';
import { type TestAgent, TOKEN, scratch, startTestAgent } from '../_kit/agent.ts';
import { Wire, ask, bearer } from '../_kit/wire.ts';

const A = 'a'.repeat(43);
const B = 'b'.repeat(43);

describe('the Host header', () => {
  it.each([
    ['127.0.0.1:7423', true],
    ['127.9.9.9', true],
    ['[::1]:7423', true],
    ['localhost', true],
    ['LocalHost.:80', true],
    ['a.localhost', true],
    ['evil.example', false],
    ['127.0.0.1.evil.example', false],
    ['localhost.evil.example:7423', false],
    ['127.0.0.1@evil.example', false],
    ['10.0.0.1', false],
    ['[::1', false],
    ['', false],
    [undefined, false],
  ])('%j on the loopback: %s', (host, allowed) => {
    expect(isHostAllowed(host, 'loopback', [])).toBe(allowed);
  });

  it('may have other names that are listed, on a network none but those', () => {
    expect(isHostAllowed('agent.example:7423', 'loopback', ['Agent.example'])).toBe(true);
    expect(isHostAllowed('anything', 'network', [])).toBe(true);
    expect(isHostAllowed('anything', 'network', ['agent.example'])).toBe(false);
    expect(isHostAllowed('localhost', 'network', ['agent.example'])).toBe(true);
    expect(isHostAllowed('anything', 'unix', ['agent.example'])).toBe(true);
  });

  it('of another name is refused over the wire, whatever the token', async () => {
    const agent = await startTestAgent({ env: { AIRLOCK_ALLOW_HOST: 'airlock.example' } });
    const statusFor = async (host: string): Promise<number> =>
      (await ask(agent, { headers: { ...bearer(), host } })).status;
    expect(await statusFor('evil.example:80')).toBe(403);
    expect(await statusFor('airlock.example')).toBe(101);
    expect(await statusFor(`localhost:${agent.port}`)).toBe(101);
  });
});

it('an Origin is served only where it is listed', async () => {
  const agent = await startTestAgent({
    env: { AIRLOCK_ALLOW_ORIGIN: 'https://a.example, https://B.example' },
  });
  for (const [origin, status] of [
    ['https://a.example', 101],
    ['https://b.example', 101],
    ['http://a.example', 403],
    ['https://a.example.evil.example', 403],
    ['null', 403],
    ['', 403],
  ] as const) {
    expect([origin, (await ask(agent, { headers: { ...bearer(), origin } })).status]).toEqual([
      origin,
      status,
    ]);
  }
});

/** Sends a head as it stands. @returns the status of the answer */
async function statusOf({ host, port }: TestAgent, lines: string[]): Promise<number> {
  const socket = connect(port, host);
  onTestFinished(() => void socket.destroy());
  socket.on('error', () => undefined);
  socket.write(`GET ${CONNECT_PATH} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`);
  const [data] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return Number(/^HTTP\/1\.1 (\d+)/.exec(data.toString())?.[1]);
}

it('a header that decides something may stand there once only', async () => {
  const agent = await startTestAgent();
  const head = [
    `Host: 127.0.0.1`,
    `Authorization: Bearer ${TOKEN}`,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    `Sec-WebSocket-Protocol: ${PROTOCOL}`,
  ];
  expect(await statusOf(agent, head)).toBe(101);
  for (const twice of [
    'host: evil.example',
    `AUTHORIZATION: Bearer ${A}`,
    `Authorization: Bearer ${TOKEN}`,
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Protocol: chat',
    'Sec-WebSocket-Version: 13',
  ]) {
    expect([twice, await statusOf(agent, [...head, twice])]).toEqual([twice, 400]);
    expect([twice, await statusOf(agent, [twice, ...head])]).toEqual([twice, 400]);
  }
  expect(await statusOf(agent, [...head, 'Origin: http://a', 'Origin: http://b'])).toBe(400);
});

describe('failures', () => {
  it('are too many after ten a minute, told with the seconds to wait; valid tokens pass meanwhile', async () => {
    const agent = await startTestAgent();
    const inside = await Wire.start(agent);
    const statuses: number[] = [];
    for (let i = 0; i < 12; i += 1) {
      statuses.push((await ask(agent, { headers: bearer(A) })).status);
    }
    expect(statuses).toEqual([...Array<number>(10).fill(401), 429, 429]);
    const { headers, body } = await ask(agent, { headers: bearer(A) });
    expect(Number(headers['retry-after'])).toBeGreaterThan(0);
    expect(Number(headers['retry-after'])).toBeLessThanOrEqual(60);
    expect(JSON.parse(body)).toMatchObject({ code: 'RATE_LIMITED', status: 429, retry: 'never' });
    expect((await ask(agent, { headers: bearer() })).status).toBe(101);
    expect(await inside.request('plugin.list')).toMatchObject({ plugins: { total: 0 } });
  });

  it('are forgotten after a minute, and logged no more often than they are answered', () => {
    let now = 0;
    const failures = new Failures(() => now);
    const seen = Array.from({ length: 100 }, () => failures.count('10.0.0.1'));
    expect(seen.filter(({ wait }) => wait === 0)).toHaveLength(10);
    expect(seen.filter(({ log }) => log)).toHaveLength(11);
    expect(failures.count('10.0.0.2').wait).toBe(0);
    now = 60_000;
    expect(failures.count('10.0.0.1')).toEqual({ wait: 0, log: true });
  });

  it('need the same memory from however many addresses they come', () => {
    const failures = new Failures(() => 0);
    for (let i = 0; i < 100_000; i += 1) {
      failures.count(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`);
    }
    expect(failures.size).toBe(1000);
  });

  it.each([
    ['10.0.0.1', '10.0.0.1'],
    ['::ffff:10.0.0.1', '10.0.0.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
    ['2001:db8:1:2::9', '2001:db8:1:2'],
    ['2001:db8::9', '2001:db8:0:0'],
    ['::1', '0:0:0:0'],
    ['fe80::1%eth0', 'fe80:0:0:0'],
    ['', ''],
  ])('of %s count for %s', (address, network) => {
    expect(networkOf(address)).toBe(network);
  });
});

describe('a token that leaves the file', () => {
  /** A session with each of two tokens, and the file in which they stand. */
  async function withFile(path: string): Promise<[TestAgent, Wire, Wire]> {
    const agent = await startTestAgent({ env: { AIRLOCK_TOKEN: '', AIRLOCK_TOKEN_FILE: path } });
    return [agent, await Wire.start(agent, { token: A }), await Wire.start(agent, { token: B })];
  }

  it('ends the sessions that it began with 4401, and no other', async () => {
    const file = join(await scratch(), 'tokens');
    await writeFile(file, `write ${A} old\nwrite ${B} new\n`);
    const [agent, old, kept] = await withFile(file);
    await writeFile(file, `write ${B} new\n`);
    expect(await old.closed).toEqual({ code: CLOSE.tokenGone, reason: 'the token is no longer valid' });
    expect(await kept.request('plugin.list')).toMatchObject({ plugins: { total: 0 } });
    expect((await ask(agent, { headers: bearer(A) })).status).toBe(401);
  });

  it('ends them also if the file was replaced by a rename, or its scope is another', async () => {
    const file = join(await scratch(), 'tokens');
    await writeFile(file, `write ${A} one\nwrite ${B} two\n`);
    const [, one, two] = await withFile(file);
    await writeFile(`${file}.new`, `read ${A} one\nwrite ${B} renamed\n`);
    await rename(`${file}.new`, file);
    expect((await one.closed).code).toBe(CLOSE.tokenGone);
    expect(await two.request('plugin.list')).toMatchObject({ plugins: { total: 0 } });
  });

  it('ends them also if a directory was exchanged under a link, as Kubernetes does', async () => {
    const folder = await scratch();
    for (const [name, text] of [
      ['..1', `write ${A} one\nwrite ${B} two\n`],
      ['..2', `write ${B} two\n`],
    ] as const) {
      await mkdir(join(folder, name));
      await writeFile(join(folder, name, 'tokens'), text);
    }
    await symlink('..1', join(folder, '..data'));
    await symlink('..data/tokens', join(folder, 'tokens'));
    const [, one, two] = await withFile(join(folder, 'tokens'));
    await symlink('..2', join(folder, '..new'));
    await rename(join(folder, '..new'), join(folder, '..data'));
    expect((await one.closed).code).toBe(CLOSE.tokenGone);
    expect(await two.request('plugin.list')).toMatchObject({ plugins: { total: 0 } });
  });
});

it('an agent that listens on a network without TLS warns of it once', async () => {
  for (const [place, times] of [
    ['network', 1],
    ['loopback', 0],
    ['unix', 0],
  ] as const) {
    const warnings: unknown[] = [];
    const log = createLog('silent');
    log.warn = (...words: unknown[]) => void warnings.push(words);
    const door = await openIngress(readAgentConfig({}, { AIRLOCK_TOKEN: TOKEN }), log);
    const nothing = (): void => undefined;
    const close = (): Promise<void> => Promise.resolve();
    const doings = {
      review: nothing,
      useTls: nothing,
      stop: nothing,
      close,
      certificateEnds: () => undefined,
    };
    const server = { place, host: 'x', port: 1, ...doings };
    door.watch(server)();
    expect([place, warnings.length]).toEqual([place, times]);
  }
});
