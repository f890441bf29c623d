/** The pages of an agent: who gets them, and how much of them. Real sockets, on the loopback. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { type PageDoor, type Place, judgePage, pathOf } from '../../agent/transport/upgrade-policy.ts';
import { Failures } from '../../agent/transport/rate-limit.ts';
import { readinessSchema } from '../../shared/api/maintenance.ts';
import { HEALTH_PATH } from '../../shared/api/rpc.ts';
import { TOKEN, scratch, startTestAgent } from '../_kit/agent.ts';
import { page, readMetrics, scrape } from '../_kit/metrics.ts';
import { rawSocket } from '../_kit/raw-socket.ts';
import { Wire, bearer } from '../_kit/wire.ts';

const asBrowser = (pair: string): Record<string, string> => ({
  authorization: `Basic ${Buffer.from(pair).toString('base64')}`,
});

describe('who is let see a page', () => {
  const HERE = '127.0.0.1';
  const THERE = '10.1.2.3';
  const known = { caller: { scope: 'read', label: 'x' }, isValid: () => true } as const;
  const judged = (
    address: string | undefined,
    headers: Record<string, string>,
    {
      without = 'here',
      basic = false,
      place = 'network',
      url = '/metrics',
    }: Partial<PageDoor> & { place?: Place; url?: string } = {},
  ): boolean | string => {
    const rawHeaders = Object.entries({ host: 'localhost:7423', ...headers }).flat();
    const authenticate = (header: string | undefined) => (header === `Bearer ${TOKEN}` ? known : undefined);
    const policy = { authenticate, allowOrigin: ['https://good.example'], allowHost: [] };
    const found = judgePage({ url, rawHeaders }, { address, place }, policy, new Failures(Date.now), {
      without,
      basic,
    });
    return 'refused' in found ? found.refused.code : found.trusted;
  };
  it.each<[string, string | undefined, Record<string, string>, boolean | string]>([
    ['a token, from anywhere', THERE, bearer(), true],
    ['no token, on this machine', HERE, {}, true],
    ['no token, on this machine by IPv6', '::1', { host: '[::1]:7423' }, true],
    ['no token, on this machine as IPv6 has it', '::ffff:127.0.0.1', {}, true],
    ['no token, elsewhere', THERE, {}, 'UNAUTHENTICATED'],
    ['no address any more', undefined, {}, 'UNAUTHENTICATED'],
    ['a wrong token, also on this machine', HERE, bearer('x'.repeat(40)), 'UNAUTHENTICATED'],
    ['a proxy on this machine that says so', HERE, { 'x-forwarded-for': THERE }, 'UNAUTHENTICATED'],
    [
      'a proxy on this machine that says it in another way',
      HERE,
      { forwarded: `for=${THERE}` },
      'UNAUTHENTICATED',
    ],
    ['a web page whose name leads to this machine', HERE, { host: 'evil.example' }, 'UNAUTHENTICATED'],
    ['a browser', HERE, { origin: 'https://evil.example' }, 'FORBIDDEN'],
    [
      'a browser of a known origin without a token',
      HERE,
      { origin: 'https://good.example' },
      'UNAUTHENTICATED',
    ],
    [
      'a browser of a known origin with a token',
      THERE,
      { origin: 'https://good.example', ...bearer() },
      true,
    ],
  ])('%s', (_, address, headers, expected) => {
    expect(judged(address, headers)).toBe(expected);
  });

  it('gets the open page anyway, but is not trusted more for it', () => {
    expect(judged(THERE, {}, { without: 'everybody' })).toBe(false);
    expect(judged(HERE, {}, { without: 'everybody' })).toBe(true);
    expect(judged(HERE, bearer('x'.repeat(40)), { without: 'everybody' })).toBe('UNAUTHENTICATED');
  });

  it('needs a token on this machine too, where nobody gets the page without one', () => {
    expect(judged(HERE, {}, { without: 'nobody' })).toBe('UNAUTHENTICATED');
    expect(judged(HERE, bearer(), { without: 'nobody' })).toBe(true);
  });

  it.each<[string, Record<string, string>, boolean | string]>([
    ['a name and the token', asBrowser(`me:${TOKEN}`), true],
    ['no name and the token', asBrowser(`:${TOKEN}`), true],
    ['a token with a wrong end', asBrowser(`me:${TOKEN}x`), 'UNAUTHENTICATED'],
    ['no colon', asBrowser(TOKEN), 'UNAUTHENTICATED'],
    ['nothing', asBrowser(''), 'UNAUTHENTICATED'],
    ['what is no base64', { authorization: 'Basic ***' }, 'UNAUTHENTICATED'],
    ['two tokens', asBrowser(`me:${TOKEN} ${TOKEN}`), 'UNAUTHENTICATED'],
  ])('a browser sends %s', (_, headers, expected) => {
    expect(judged(THERE, headers, { basic: true })).toBe(expected);
    expect(judged(THERE, headers)).toBe('UNAUTHENTICATED');
  });

  it('is refused another name on the loopback, and anything behind the path', () => {
    expect(judged(HERE, { host: 'evil.example', ...bearer() }, { place: 'loopback' })).toBe('FORBIDDEN');
    expect(judged(HERE, bearer(), { url: `/metrics?token=${TOKEN}` })).toBe('INVALID_PARAMS');
    expect(judged(HERE, bearer(), { url: '/metrics?' })).toBe('INVALID_PARAMS');
  });

  it('the path ends where anything else begins', () => {
    expect([pathOf({ url: '/readyz?x' }), pathOf({})]).toEqual(['/readyz', '']);
  });
});

describe('the pages of a running agent', () => {
  it('say that it lives, by GET and HEAD and nothing else', async () => {
    const agent = await startTestAgent();
    for (const path of ['/healthz', HEALTH_PATH]) {
      const { status, body } = await page(agent, path, { host: 'anything.example' });
      expect([status, body]).toEqual([200, '{"status":"ok"}\n']);
      const head = await page(agent, path, {}, 'HEAD');
      expect([head.status, head.body, head.headers['content-length']]).toEqual([
        200,
        '',
        String(body.length),
      ]);
    }
    for (const path of ['/healthz', '/readyz', '/metrics', HEALTH_PATH]) {
      for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']) {
        const { status, headers } = await page(agent, path, bearer(), method);
        expect([status, headers['allow']]).toEqual([405, 'GET, HEAD']);
      }
    }
    for (const path of ['/metrics/', '/Metrics', '//metrics', '/constructor', '/__proto__', '/readyz/x']) {
      expect((await page(agent, path, bearer())).status).toBe(404);
    }
  });

  it('give the metrics with their type, of which nothing is kept', async () => {
    const agent = await startTestAgent();
    const { status, headers, body } = await page(agent, '/metrics', bearer());
    expect(status).toBe(200);
    expect(headers).toMatchObject({
      'content-type': 'text/plain; version=0.0.4; charset=utf-8',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    });
    expect(headers['access-control-allow-origin']).toBeUndefined();
    expect(body.endsWith('\n')).toBe(true);
    expect(readMetrics(body).get('airlock_draining')).toBe(0);
    const head = await page(agent, '/metrics', {}, 'HEAD');
    expect([head.status, head.body]).toEqual([200, '']);
  });

  it('count who is refused, and tell who tries too often to wait', async () => {
    const agent = await startTestAgent();
    const before = await scrape(agent);
    const statuses: number[] = [];
    for (let i = 0; i < 11; i += 1) {
      statuses.push((await page(agent, '/metrics', bearer('x'.repeat(40)))).status);
    }
    expect([statuses[0], statuses[10]]).toEqual([401, 429]);
    expect((await page(agent, '/readyz', { origin: 'https://evil.example' })).status).toBe(403);
    const after = await scrape(agent);
    const grown = (series: string): number => (after.get(series) ?? 0) - (before.get(series) ?? 0);
    expect(grown('airlock_authentication_failures_total')).toBe(11);
    expect(grown('airlock_requests_refused_total{code="UNAUTHENTICATED"}')).toBe(10);
    expect(grown('airlock_requests_refused_total{code="RATE_LIMITED"}')).toBe(1);
    expect(grown('airlock_requests_refused_total{code="FORBIDDEN"}')).toBe(1);
  });

  it('tell on a Unix socket without a token, and not with a wrong one', async () => {
    const socketPath = join(await scratch(), 'agent.sock');
    await startTestAgent({ env: { AIRLOCK_LISTEN: `unix:${socketPath}` } });
    const statusOf = async (path: string, headers = {}): Promise<number | undefined> => {
      const request = httpRequest({ socketPath, path, headers, agent: false });
      request.end();
      const [response] = (await once(request, 'response')) as [{ statusCode?: number; resume(): void }];
      response.resume();
      return response.statusCode;
    };
    expect(await statusOf('/metrics')).toBe(200);
    expect(await statusOf('/readyz')).toBe(200);
    expect(await statusOf('/metrics', bearer('x'.repeat(40)))).toBe(401);
  });

  it('say whether it is ready, and why only to who is trusted', async () => {
    const agent = await startTestAgent();
    const trusted = await page(agent, '/readyz');
    expect(trusted.status).toBe(200);
    const { status, checks } = readinessSchema.parse(JSON.parse(trusted.body));
    expect(status).toBe('ok');
    expect(checks?.map(({ check }) => check)).toEqual([
      'draining',
      'root',
      'recovery',
      'watch',
      'restart',
      'dial',
    ]);
    const stranger = await page(agent, '/readyz', { 'x-forwarded-for': '10.1.2.3' });
    expect([stranger.status, stranger.body]).toEqual([200, '{"status":"ok"}\n']);
    const both = await page(agent, '/readyz', { 'x-forwarded-for': '10.1.2.3', ...bearer() });
    expect(JSON.parse(both.body)).toHaveProperty('checks');
  });

  it('say that it shuts down to who has asked just before', async () => {
    const agent = await startTestAgent();
    const wire = await Wire.start(agent);
    const socket = await rawSocket(agent);
    let said = '';
    socket.setEncoding('utf8').on('data', (text: string) => (said += text));
    socket.write('GET /readyz HTTP/1.1\r\nHost: localhost\r\n');
    // The agent has the first half of the head when it answers what came after it.
    await wire.request('plugin.list', {});
    const closed = agent.close();
    await wire.closed;
    socket.write('\r\n');
    await once(socket, 'end');
    await closed;
    expect(said).toMatch(/^HTTP\/1\.1 503 .*"check":"draining","status":"fail"/s);
  });

  it('are answered to many at once from one look', async () => {
    const agent = await startTestAgent();
    const texts = await Promise.all(Array.from({ length: 20 }, () => page(agent, '/metrics')));
    expect(new Set(texts.map(({ body }) => body)).size).toBeLessThan(20);
    expect(texts.every(({ status }) => status === 200)).toBe(true);
  });
});

describe('the status page', () => {
  const STRANGE = { 'x-forwarded-for': '10.1.2.3' };

  it('may run and load nothing but its own style and script, and nothing of it is kept', async () => {
    const agent = await startTestAgent();
    const { status, headers, body } = await page(agent, '/');
    expect(status).toBe(200);
    expect(headers).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'no-referrer',
      'cross-origin-resource-policy': 'same-origin',
    });
    const hashOf = (element: string): string => {
      const all = [...body.matchAll(new RegExp(`<${element}>(.*?)</${element}>`, 'gs'))];
      expect(all).toHaveLength(1);
      return createHash('sha256')
        .update(all[0]?.[1] ?? '')
        .digest('base64');
    };
    expect(String(headers['content-security-policy']).split('; ')).toEqual([
      "default-src 'none'",
      `style-src 'sha256-${hashOf('style')}'`,
      `script-src 'sha256-${hashOf('script')}'`,
      "connect-src 'self'",
      'img-src data:',
      "form-action 'none'",
      "frame-ancestors 'none'",
      "base-uri 'none'",
    ]);
    const head = await page(agent, '/', {}, 'HEAD');
    expect([head.status, head.body]).toEqual([200, '']);
    expect((await page(agent, '/', {}, 'POST')).status).toBe(405);
    expect((await page(agent, '/?x')).status).toBe(400);
  });

  it('is shown to who has a token, and a browser is asked for it', async () => {
    const agent = await startTestAgent();
    const unknown = await page(agent, '/', STRANGE);
    expect([unknown.status, unknown.headers['www-authenticate']]).toEqual([
      401,
      'Basic realm="Airlock: the password is a token", charset="UTF-8"',
    ]);
    expect(unknown.body).not.toContain(agent.layout.root);
    expect((await page(agent, '/', { ...STRANGE, ...bearer() })).status).toBe(200);
    expect((await page(agent, '/', { ...STRANGE, ...asBrowser(`x:${TOKEN}`) })).status).toBe(200);
    expect((await page(agent, '/', asBrowser(`x:${'y'.repeat(40)}`))).status).toBe(401);
    const metrics = await page(agent, '/metrics', asBrowser(`x:${TOKEN}`));
    expect([metrics.status, metrics.headers['www-authenticate']]).toEqual([401, 'Bearer']);
  });

  it('counts a wrong token with those at the other pages', async () => {
    const agent = await startTestAgent();
    const wrong = 'x'.repeat(40);
    for (let i = 0; i < 5; i += 1) {
      expect((await page(agent, '/', asBrowser(`x:${wrong}`))).status).toBe(401);
      expect((await page(agent, '/metrics', bearer(wrong))).status).toBe(401);
    }
    const late = await page(agent, '/', asBrowser(`x:${wrong}`));
    expect([late.status, late.headers['www-authenticate']]).toEqual([429, undefined]);
    expect(Number(late.headers['retry-after'])).toBeGreaterThan(0);
    expect((await page(agent, '/', asBrowser(`x:${TOKEN}`))).status).toBe(200);
  });

  it('needs a token on this machine too, or is not there, as the owner says', async () => {
    const strict = await startTestAgent({ env: { AIRLOCK_STATUS_PAGE: 'token' } });
    expect((await page(strict, '/')).status).toBe(401);
    expect((await page(strict, '/', bearer())).status).toBe(200);
    expect((await page(strict, '/metrics')).status).toBe(200);
    const off = await startTestAgent({ env: { AIRLOCK_STATUS_PAGE: 'off' } });
    expect((await page(off, '/')).status).toBe(404);
    expect((await page(off, '/', bearer())).status).toBe(404);
  });
});
