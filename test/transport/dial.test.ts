/** An agent that dials out: what it shows, what it makes of the answers, and when it tries again. */
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readFileSync } from 'node:fs';

import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';

import { readAgentConfig } from '../../agent/config.ts';
import { createLog } from '../../agent/log.ts';
import { DIAL_BACKOFF, Dialler, type DialOptions } from '../../agent/transport/dial.ts';
import type { DialStatus } from '../../shared/api/maintenance.ts';
import { CLOSE, HEALTH_PATH, PROTOCOL } from '../../shared/api/rpc.ts';
import { TOKEN, scratch, startTestAgent } from '../_kit/agent.ts';
import { canCertify, makeAuthority, makeCertificate } from '../_kit/certificates.ts';
import { FakeClock } from '../_kit/clock.ts';
import { FakePlatform } from '../_kit/platform.ts';
import { until } from '../_kit/until.ts';
import { Wire, ask, bearer } from '../_kit/wire.ts';

const NO_FILES = { token: undefined, ca: undefined, cert: undefined, key: undefined };

/** A dialler whose sessions do nothing, on a clock of its own. */
function start(url: string, options: Partial<DialOptions> = {}): { dialler: Dialler; clock: FakeClock } {
  const clock = new FakeClock();
  const dialler = new Dialler({
    url,
    workspace: 'w1',
    files: NO_FILES,
    agent: '1.2.3',
    session: () => ({ started: true, text: () => {}, binary: () => {}, ended: () => {} }) as never,
    traffic: { open: 0, opened: 0, receivedBytes: 0, sentBytes: 0 },
    log: createLog('silent'),
    clock,
    random: () => 1,
    ...options,
  });
  dialler.start();
  onTestFinished(() => dialler.close(CLOSE.draining, 'over', 100));
  return { dialler, clock };
}

const stateIs = (dialler: Dialler, state: DialStatus['state'], failures = dialler.status.failures) =>
  until(() => expect(dialler.status).toMatchObject({ state, failures }));

/** How long it waits, in milliseconds. */
const pauseOf = ({ status: { next, last } }: Dialler): number =>
  Date.parse(next ?? '') - Date.parse(last?.at ?? '');

/** Two times are taken one after the other: they may differ by this much on a busy machine. */
const near = (millis: number): unknown => expect.closeTo(millis, -2.5);

const raw = (status: number, headers = '', body = ''): { raw: string } => ({
  raw: `HTTP/1.1 ${status} No\r\nContent-Length: ${body.length}\r\n${headers}\r\n${body}`,
});

describe('what it shows', () => {
  it('is its token, its workspace and the subprotocol, and no compression', async () => {
    const platform = await FakePlatform.open();
    const token = join(await scratch(), 'token');
    await writeFile(token, `# of the platform\nwrite ${TOKEN} w1\n`);
    const { dialler } = start(platform.url, { files: { ...NO_FILES, token } });
    await stateIs(dialler, 'connected');
    const [{ headers, url } = { headers: {}, url: '' }] = platform.upgrades;
    expect(url).toBe('/v1/agents');
    expect(headers).toMatchObject({
      authorization: `Bearer ${TOKEN}`,
      'airlock-workspace': 'w1',
      'sec-websocket-protocol': PROTOCOL,
      'user-agent': 'airlock/1.2.3',
    });
    expect(headers).not.toHaveProperty('sec-websocket-extensions');
    expect(headers).not.toHaveProperty('origin');
  });

  it('is read anew for each try, and a file that holds no token stops no later try', async () => {
    const platform = await FakePlatform.open();
    const token = join(await scratch(), 'token');
    const { dialler, clock } = start(platform.url, { files: { ...NO_FILES, token } });
    await stateIs(dialler, 'waiting', 1);
    expect(dialler.status.last?.why).toContain(token);
    await writeFile(token, '# nothing\n');
    clock.advance(DIAL_BACKOFF.first);
    await stateIs(dialler, 'waiting', 2);
    expect(dialler.status.last?.why).toContain('holds no token');
    await writeFile(token, TOKEN);
    clock.advance(DIAL_BACKOFF.first * 2);
    await stateIs(dialler, 'connected');
    expect(platform.upgrades.map(({ headers }) => headers.authorization)).toEqual([`Bearer ${TOKEN}`]);
  });

  it('goes over TLS to a platform whose certificate is checked, with a certificate of its own', async (context) => {
    if (!canCertify()) context.skip('openssl is not installed');
    const folder = await scratch();
    const authority = makeAuthority(folder, 'authority');
    const [own, shown] = ['platform', 'agent'].map((name) => makeCertificate(folder, name, authority));
    const platform = await FakePlatform.open({
      cert: readFileSync(own?.cert ?? ''),
      key: readFileSync(own?.key ?? ''),
      ca: readFileSync(authority.cert),
      requestCert: true,
      rejectUnauthorized: true,
    });
    const files = { token: undefined, ca: authority.cert, cert: shown?.cert, key: shown?.key };
    await stateIs(start(platform.url, { files }).dialler, 'connected');
    const { NODE_TLS_REJECT_UNAUTHORIZED: before } = process.env;
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
    onTestFinished(() => {
      if (before === undefined) delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
      else process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = before;
    });
    const stranger = start(platform.url, { files: { ...files, ca: undefined } }).dialler;
    await stateIs(stranger, 'waiting', 1);
    expect(stranger.status.last?.hint).toContain('AIRLOCK_DIAL_CA');
    const bare = start(platform.url, { files: { ...files, cert: undefined, key: undefined } }).dialler;
    await stateIs(bare, 'waiting', 1);
    await writeFile(join(folder, 'broken.pem'), 'no certificate');
    const broken = start(platform.url, {
      files: { ...files, ca: undefined, cert: join(folder, 'broken.pem') },
    });
    await stateIs(broken.dialler, 'waiting', 1);
    expect(broken.dialler.status.last?.hint).toContain('AIRLOCK_DIAL_CERT');
    expect(platform.upgrades).toHaveLength(1);
  });
});

describe('an answer', () => {
  let platform: FakePlatform;
  beforeEach(async () => {
    platform = await FakePlatform.open();
  });

  it.each([
    [401, 'does not know the token', 'AIRLOCK_DIAL_TOKEN_FILE'],
    [403, 'does not admit this agent', 'AIRLOCK_WORKSPACE'],
    [404, 'nothing at this path', 'AIRLOCK_DIAL'],
    [426, 'another protocol', PROTOCOL],
    [302, 'redirects', 'AIRLOCK_DIAL'],
    [418, 'HTTP 418', 'AIRLOCK_DIAL'],
    [200, 'HTTP 200', 'AIRLOCK_DIAL'],
  ])('%i says what to do, and the next try comes as late as any', async (status, why, hint) => {
    const other = await FakePlatform.open();
    platform.answer = raw(status, `Location: http://127.0.0.1:${other.port}/v1/agents\r\n`);
    const { dialler } = start(platform.url);
    await stateIs(dialler, 'waiting', 1);
    expect(dialler.status.last).toMatchObject({
      why: expect.stringContaining(why),
      hint: expect.stringContaining(hint),
    });
    expect(pauseOf(dialler)).toEqual(near(DIAL_BACKOFF.most));
    expect(other.sockets).toEqual([]);
  });

  it.each([
    [503, '', 2000],
    [503, 'Retry-After: 20\r\n', 22_000],
    [429, 'Retry-After: 99999\r\n', 62_000],
    [500, 'Retry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n', 2000],
  ])('%i %j is temporary', async (status, headers, millis) => {
    platform.answer = raw(status, headers);
    const { dialler } = start(platform.url);
    await stateIs(dialler, 'waiting', 1);
    expect(pauseOf(dialler)).toEqual(near(millis));
  });

  it('without end is not read', async () => {
    platform.answer = { raw: `HTTP/1.1 401 No\r\nContent-Length: 99999999999\r\n\r\n${'x'.repeat(1 << 20)}` };
    const { dialler } = start(platform.url);
    await stateIs(dialler, 'waiting', 1);
    await until(() => expect(platform.sockets.every(({ destroyed }) => destroyed)).toBe(true));
    expect(dialler.status.last?.why).toContain('401');
  });

  it.each([
    ['no answer', 'nothing' as const],
    ['an answer that never ends', { raw: 'HTTP/1.1 101 Switching\r\nX: y' }],
  ])('%s is given up after 10 s', async (_, answer) => {
    platform.answer = answer;
    const { dialler, clock } = start(platform.url);
    await until(() => expect(platform.upgrades).toHaveLength(1));
    clock.advance(9999);
    expect(dialler.status.state).toBe('connecting');
    clock.advance(1);
    await stateIs(dialler, 'waiting', 1);
    expect(dialler.status.last?.why).toContain('within 10 s');
    await until(() => expect(platform.sockets.every(({ destroyed }) => destroyed)).toBe(true));
  });

  it('in another protocol is none', async () => {
    platform.subprotocol = false;
    const { dialler } = start(platform.url);
    await stateIs(dialler, 'waiting', 1);
    expect(pauseOf(dialler)).toEqual(near(DIAL_BACKOFF.most));
  });

  it('that says that another agent came for the workspace lets it wait, so that two do not fight', async () => {
    const { dialler } = start(platform.url);
    await stateIs(dialler, 'connected');
    await until(() => expect(platform.peers).toHaveLength(1));
    platform.peers[0]?.close(CLOSE.replaced, 'newer');
    await stateIs(dialler, 'waiting', 1);
    expect(dialler.status.last?.why).toContain('another agent');
    expect(pauseOf(dialler)).toEqual(near(DIAL_BACKOFF.most));
  });
});

describe('the next try', () => {
  it('comes after twice as long, up to a minute, and soon again after a connection that lasted', async () => {
    const platform = await FakePlatform.open();
    platform.answer = raw(500);
    const { dialler, clock } = start(platform.url);
    const pauses: number[] = [];
    for (let failures = 1; failures <= 7; failures += 1) {
      await stateIs(dialler, 'waiting', failures);
      pauses.push(pauseOf(dialler));
      if (failures === 7) platform.answer = 'upgrade';
      clock.advance(60_000);
    }
    expect(pauses).toEqual([2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000].map(near));
    await stateIs(dialler, 'connected');
    await until(() => expect(platform.peers).toHaveLength(1));
    // It has not lasted: a platform that takes every connection and drops it is not asked at once.
    platform.peers[0]?.terminate();
    await stateIs(dialler, 'waiting', 8);
    clock.advance(60_000);
    await stateIs(dialler, 'connected');
    await until(() => expect(platform.peers).toHaveLength(2));
    clock.advance(15_000);
    platform.peers[1]?.terminate();
    await stateIs(dialler, 'waiting', 1);
    expect(pauseOf(dialler)).toEqual(near(2000));
  });

  it('of a fleet that has lost its platform is spread over the whole pause', async () => {
    const platform = await FakePlatform.open();
    const { url } = platform;
    await platform.close();
    const count = 100;
    const fleet = Array.from(
      { length: count },
      (_, i) => start(url, { random: () => (i * 0.618_034) % 1 }).dialler,
    );
    for (const dialler of fleet) await stateIs(dialler, 'waiting', 1);
    const pauses = fleet.map(pauseOf);
    const perSlot = Array.from(
      { length: 10 },
      (_, slot) => pauses.filter((pause) => Math.min(9, Math.floor(pause / 200)) === slot).length,
    );
    expect(Math.max(...perSlot)).toBeLessThanOrEqual(count / 5);
    expect(fleet[0]?.status.last?.why).toContain('nothing listens there');
  });

  it('does not come after the end, whatever it was doing', async () => {
    const platform = await FakePlatform.open();
    platform.answer = 'nothing';
    const connecting = start(platform.url);
    await until(() => expect(platform.upgrades).toHaveLength(1));
    await connecting.dialler.close(CLOSE.draining, 'over', 60_000);
    await until(() => expect(platform.sockets.every(({ destroyed }) => destroyed)).toBe(true));
    platform.answer = raw(500);
    const waiting = start(platform.url);
    await stateIs(waiting.dialler, 'waiting', 1);
    waiting.dialler.stop();
    for (const { clock } of [connecting, waiting]) {
      expect(clock.running).toBe(0);
    }
    platform.answer = 'upgrade';
    const connected = start(platform.url);
    await stateIs(connected.dialler, 'connected');
    await until(() => expect(platform.peers).toHaveLength(1));
    const closed = once(platform.peers[0] as never, 'close');
    await connected.dialler.close(CLOSE.draining, 'draining', 60_000);
    expect((await closed)[0]).toBe(CLOSE.draining);
    expect(connected.clock.running).toBe(0);
  });
});

describe('an agent that dials out', () => {
  it('needs no token of its own: then it answers for its health, and lets nobody in', async () => {
    const platform = await FakePlatform.open();
    const agent = await startTestAgent({
      token: '',
      env: { AIRLOCK_DIAL: platform.url, AIRLOCK_WORKSPACE: 'w1' },
    });
    await until(() => expect(platform.peers).toHaveLength(1));
    expect((await ask(agent, { path: HEALTH_PATH, upgrade: false })).status).toBe(200);
    expect((await ask(agent, { headers: bearer() })).status).toBe(401);
  });

  it('listens as well if it has a token, and says how it stands with the platform', async () => {
    const platform = await FakePlatform.open();
    platform.answer = raw(401);
    const agent = await startTestAgent({ env: { AIRLOCK_DIAL: platform.url, AIRLOCK_WORKSPACE: 'w1' } });
    const wire = await Wire.start(agent);
    await until(async () => {
      expect(await wire.request('status', { quick: true })).toMatchObject({
        dial: {
          url: platform.url,
          state: 'waiting',
          failures: 1,
          last: { why: expect.stringContaining('401') },
        },
      });
    });
  });

  it('ends a connection on which it hears nonsense, and tries again', async () => {
    const platform = await FakePlatform.open();
    const env = { AIRLOCK_DIAL: platform.url, AIRLOCK_WORKSPACE: 'w1' };
    await startTestAgent({ env });
    await until(() => expect(platform.peers).toHaveLength(1));
    const closed = once(platform.peers[0] as never, 'close');
    platform.peers[0]?.send('nonsense');
    expect((await closed)[0]).toBe(CLOSE.malformed);
    await until(() => expect(platform.peers).toHaveLength(2));
  });
});

describe('the settings', () => {
  const read = (env: Record<string, string>) =>
    readAgentConfig({}, { AIRLOCK_TOKEN: TOKEN, AIRLOCK_WORKSPACE: 'w1', ...env }).dial;

  it.each([
    ['wss://platform.example', 'wss://platform.example/v1/agents'],
    ['wss://platform.example:8443/fleet/', 'wss://platform.example:8443/fleet/'],
    ['ws://localhost:1', 'ws://localhost:1/v1/agents'],
    ['ws://127.1:1', 'ws://127.0.0.1:1/v1/agents'],
    ['ws://[::1]:1', 'ws://[::1]:1/v1/agents'],
  ])('take %s', (dial, url) => {
    expect(read({ AIRLOCK_DIAL: dial })).toMatchObject({ url, workspace: 'w1' });
  });

  it.each([
    'ws://platform.example',
    'ws://10.0.0.1',
    'ws://127.0.0.1.example',
    'ws://localhost.example',
    'ws://[::ffff:127.0.0.1]',
    'https://platform.example',
    'wss://user:secret@platform.example',
    'wss://platform.example/?token=secret',
    'wss://platform.example/#x',
    'platform.example',
  ])('refuse %s', (dial) => {
    expect(() => read({ AIRLOCK_DIAL: dial })).toThrow(/AIRLOCK_DIAL/);
    expect(() => read({ AIRLOCK_DIAL: dial })).not.toThrow(/secret/);
  });

  it('want the id of the workspace, and a certificate with its key', () => {
    const AIRLOCK_DIAL = 'wss://platform.example';
    for (const id of ['', 'a b', 'ü', 'a\nb']) {
      expect(() => read({ AIRLOCK_DIAL, AIRLOCK_WORKSPACE: id })).toThrow(/id of its workspace/);
    }
    expect(() => read({ AIRLOCK_DIAL, AIRLOCK_DIAL_CERT: 'c.pem' })).toThrow(/needs its key/);
    expect(read({ AIRLOCK_DIAL: '' })).toBeUndefined();
  });
});
