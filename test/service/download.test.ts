/** What a server may do to a download, by real servers on the loopback. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { describe, expect, it, onTestFinished, vi } from 'vitest';

import { type DownloadOptions, type DownloadSink, download } from '../../agent/service/download.ts';
import { readPullUrl } from '../../agent/service/pull-url.ts';
import { Fault } from '../../shared/api/fault.ts';
import { systemClock } from '../../shared/clock.ts';
import { scratch } from '../_kit/agent.ts';
import { bytesOf, cutAfter, redirectTo, serveBundles } from '../_kit/bundle-server.ts';
import { FakeClock } from '../_kit/clock.ts';
import { canCertify, makeAuthority, makeCertificate } from '../_kit/certificates.ts';
import { until } from '../_kit/until.ts';

const BYTES = randomBytes(300_000);
const TOKEN = 'a-token-of-the-server-of-bundles';

/** Takes bytes. One whose size and digest are known passes them on; another one can begin again. */
class Taken implements DownloadSink {
  readonly parts: Buffer[] = [];
  restarts = 0;
  restart?: () => Promise<void>;

  constructor(canRestart: boolean) {
    if (canRestart) {
      this.restart = async () => {
        this.restarts += 1;
        this.parts.length = 0;
      };
    }
  }

  get at(): number {
    return this.parts.reduce((sum, { length }) => sum + length, 0);
  }

  async write(bytes: Buffer): Promise<boolean> {
    this.parts.push(Buffer.from(bytes));
    return true;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.parts);
  }
}

type Changes = Omit<Partial<DownloadOptions>, 'url'> & { sink?: Taken };

/** Fetches an address. */
async function fetchInto(
  address: string,
  { sink = new Taken(true), ...changes }: Changes = {},
): Promise<Taken> {
  const { from } = changes;
  await download(
    {
      url: readPullUrl(address, from),
      from,
      token: undefined,
      ca: undefined,
      size: undefined,
      most: 1_000_000,
      idleMillis: 30_000,
      clock: systemClock,
      signal: new AbortController().signal,
      sleep: async () => undefined,
      ...changes,
    },
    sink,
  );
  return sink;
}

const faultOf = (fetched: Promise<unknown>): Promise<Fault> =>
  fetched.then(
    () => {
      throw new Error('It did not fail');
    },
    (error: unknown) => {
      if (!(error instanceof Fault)) throw error;
      return error;
    },
  );

describe('a download', () => {
  it('fetches the bytes, and uses no proxy of the environment', async () => {
    const proxy = await serveBundles((_request, response) => response.writeHead(502).end());
    for (const name of ['HTTP_PROXY', 'http_proxy', 'HTTPS_PROXY', 'ALL_PROXY']) {
      vi.stubEnv(name, proxy.origin);
    }
    vi.stubEnv('NO_PROXY', '');
    vi.stubEnv('NODE_USE_ENV_PROXY', '1');
    onTestFinished(() => void vi.unstubAllEnvs());
    const server = await serveBundles(bytesOf(BYTES));
    expect((await fetchInto(`${server.origin}/a.tgz?x=1`)).bytes.equals(BYTES)).toBe(true);
    expect(server.requests).toMatchObject([
      { path: '/a.tgz?x=1', headers: { 'accept-encoding': 'identity' } },
    ]);
    expect(server.requests[0]?.headers.authorization).toBeUndefined();
    expect(proxy.requests).toEqual([]);
  });

  it('sends the token, and follows a redirect on the same server with it', async () => {
    const server = await serveBundles(redirectTo('/b.tgz'));
    const before = server.requests;
    server.answer((request, response) =>
      (request.url === '/b.tgz' ? bytesOf(BYTES) : redirectTo('/b.tgz', 307))(request, response),
    );
    expect((await fetchInto(`${server.origin}/a.tgz`, { token: TOKEN })).at).toBe(BYTES.length);
    expect(before.map(({ path, headers }) => [path, headers.authorization])).toEqual([
      ['/a.tgz', `Bearer ${TOKEN}`],
      ['/b.tgz', `Bearer ${TOKEN}`],
    ]);
  });

  it('follows a redirect to another server without a token, and with one refuses it', async () => {
    const other = await serveBundles(bytesOf(BYTES));
    const server = await serveBundles(redirectTo(`${other.origin}/b.tgz`));
    expect((await fetchInto(`${server.origin}/a.tgz`)).at).toBe(BYTES.length);
    const fault = await faultOf(fetchInto(`${server.origin}/a.tgz`, { token: TOKEN }));
    expect(fault).toMatchObject({ code: 'INVALID_PARAMS' });
    expect(JSON.stringify([fault.toData(), fault.stack])).not.toContain(TOKEN);
    expect(other.requests).toHaveLength(1);
    // What the owner does not allow is refused behind a redirect too.
    const only = { from: [server.origin] };
    expect(await faultOf(fetchInto(`${server.origin}/a.tgz`, only))).toMatchObject({ code: 'FORBIDDEN' });
    expect(await faultOf(fetchInto(`${other.origin}/a.tgz`, only))).toMatchObject({ code: 'FORBIDDEN' });
  });

  it.each([
    ['a loop of redirects', redirectTo('/a.tgz')],
    ['a redirect to another scheme', redirectTo('https://127.0.0.1/a.tgz')],
    ['a redirect to a file', redirectTo('file:///etc/passwd')],
    ['a redirect to nowhere', redirectTo('http://')],
    ['a redirect off the loopback without TLS', redirectTo('http://plugins.example/a.tgz')],
    ['a content encoding', bytesOf(BYTES, { 'content-encoding': 'gzip' })],
    ['an answer without content', (_request, response) => void response.writeHead(204).end()],
    [
      'a part that was not asked for',
      (_request, response) => void response.writeHead(206, { 'content-range': 'bytes 0-0/9' }).end('x'),
    ],
  ] as [string, Parameters<typeof serveBundles>[0]][])('refuses %s', async (_what, handler) => {
    const server = await serveBundles(handler);
    expect(await faultOf(fetchInto(`${server.origin}/a.tgz`))).toMatchObject({ code: 'INVALID_PARAMS' });
    expect(server.requests.length).toBeLessThanOrEqual(6);
  });

  it.each([
    [401, 'FORBIDDEN', 'AIRLOCK_PULL_TOKEN_FILE'],
    [403, 'FORBIDDEN', 'AIRLOCK_PULL_TOKEN_FILE'],
    [404, 'NOT_FOUND', 'URL'],
    [400, 'INVALID_PARAMS', 'URL'],
    [429, 'RATE_LIMITED', 'in 7 s'],
    [503, 'UNREACHABLE', 'later'],
  ])('says what HTTP %d means', async (status, code, hint) => {
    const server = await serveBundles((_request, response) =>
      response.writeHead(status, { 'retry-after': '7' }).end('a page'),
    );
    const fault = await faultOf(fetchInto(`${server.origin}/a.tgz?secret=1`));
    expect(fault).toMatchObject({ code, hint: expect.stringContaining(hint) as string });
    expect(fault.message).not.toContain('secret');
    expect(server.requests).toHaveLength(1);
  });

  it('says that nobody listens', async () => {
    const fault = await faultOf(fetchInto('http://127.0.0.1:1/a.tgz'));
    expect(fault).toMatchObject({
      code: 'UNREACHABLE',
      message: expect.stringContaining('ECONNREFUSED') as string,
    });
  });
});

describe('a broken connection', () => {
  const etag = { etag: '"one"' };

  it('goes on with the byte after the last one', async () => {
    const server = await serveBundles(cutAfter(BYTES, 100_000, etag));
    const sink = new Taken(true);
    const done = fetchInto(`${server.origin}/a.tgz`, {
      sink,
      sleep: async () => server.answer(bytesOf(BYTES, etag)),
    });
    expect((await done).bytes.equals(BYTES)).toBe(true);
    const { range } = server.requests[1]?.headers ?? {};
    expect(range).toMatch(/^bytes=[1-9]\d*-$/);
    expect(server.requests[1]?.headers['if-range']).toBe('"one"');
    expect(sink.restarts).toBe(0);
  });

  it.each([
    ['other bytes are there', bytesOf(BYTES, { etag: '"two"' })],
    [
      'the server gives no ranges',
      (request, response) => {
        delete request.headers.range;
        bytesOf(BYTES, etag)(request, response);
      },
    ],
    [
      'the range is another one',
      (request, response) =>
        request.headers.range === undefined
          ? bytesOf(BYTES)(request, response)
          : void response.writeHead(206, { 'content-range': 'bytes 0-1/300000' }).end('xx'),
    ],
    [
      'there are fewer bytes',
      (request, response) =>
        request.headers.range === undefined
          ? bytesOf(BYTES)(request, response)
          : void response.writeHead(416).end(),
    ],
  ] as [string, Parameters<typeof serveBundles>[0]][])('begins again when %s', async (_what, next) => {
    const server = await serveBundles(cutAfter(Buffer.alloc(300_000), 100_000, etag));
    const sink = new Taken(true);
    await fetchInto(`${server.origin}/a.tgz`, { sink, sleep: async () => server.answer(next) });
    expect(sink.bytes.equals(BYTES)).toBe(true);
    expect(sink.restarts).toBeGreaterThan(0);
  });

  it('of a bundle that is passed on leaves out the bytes that it has', async () => {
    const server = await serveBundles(cutAfter(BYTES, 100_000));
    const whole = (
      request: Parameters<ReturnType<typeof bytesOf>>[0],
      response: Parameters<ReturnType<typeof bytesOf>>[1],
    ): void => {
      delete request.headers.range;
      bytesOf(BYTES)(request, response);
    };
    const sink = new Taken(false);
    await fetchInto(`${server.origin}/a.tgz`, {
      sink,
      size: BYTES.length,
      sleep: async () => server.answer(whole),
    });
    expect(sink.bytes.equals(BYTES)).toBe(true);
    expect(server.requests[1]?.headers.range).toMatch(/^bytes=[1-9]\d*-$/);
  });

  it('is given up after five tries that bring nothing, and fails with the last reason', async () => {
    const server = await serveBundles(cutAfter(BYTES, 100_000, etag));
    const busy = async (): Promise<void> =>
      server.answer((_request, response) => response.writeHead(503).end());
    expect(await faultOf(fetchInto(`${server.origin}/a.tgz`, { sleep: busy }))).toMatchObject({
      code: 'UNREACHABLE',
      message: expect.stringContaining('503') as string,
    });
    expect(server.requests).toHaveLength(6);
  });
});

describe('too much, too little, too slow', () => {
  it('refuses more bytes than are accepted or declared, also where the length is not said', async () => {
    const server = await serveBundles(bytesOf(BYTES));
    const address = `${server.origin}/a.tgz`;
    expect(await faultOf(fetchInto(address, { most: 299_999 }))).toMatchObject({ code: 'TOO_LARGE' });
    const small = new Taken(false);
    expect(await faultOf(fetchInto(address, { size: 10, sink: small }))).toMatchObject({
      code: 'DIGEST_MISMATCH',
    });
    expect(small.at).toBe(0);
    server.answer((_request, response) => void response.writeHead(200).end(BYTES));
    const sink = new Taken(true);
    expect(await faultOf(fetchInto(address, { most: 299_999, sink }))).toMatchObject({ code: 'TOO_LARGE' });
    expect(sink.at).toBeLessThan(300_000);
    expect(await faultOf(fetchInto(address, { size: 10 }))).toMatchObject({ code: 'DIGEST_MISMATCH' });
    // An endless answer.
    server.answer((_request, response) => {
      const more = (): void => {
        if (!response.destroyed) response.write(BYTES, () => setImmediate(more));
      };
      more();
    });
    expect(await faultOf(fetchInto(address))).toMatchObject({ code: 'TOO_LARGE' });
  });

  it('gives up a server that says nothing, and one that stops in the middle', async () => {
    const server = await serveBundles(() => undefined);
    const fault = await faultOf(fetchInto(`${server.origin}/a.tgz`, { idleMillis: 20 }));
    expect(fault).toMatchObject({
      code: 'UNREACHABLE',
      message: expect.stringContaining('nothing came') as string,
    });
    server.answer(
      (_request, response) => void response.writeHead(200, { etag: '"one"' }).write(BYTES.subarray(0, 10)),
    );
    const sink = new Taken(true);
    const clock = new FakeClock();
    const fetched = fetchInto(`${server.origin}/a.tgz`, {
      sink,
      clock,
      sleep: async () => server.answer(bytesOf(BYTES, { etag: '"one"' })),
    });
    await until(() => expect(sink.at).toBe(10));
    clock.advance(30_000);
    await fetched;
    expect(sink.bytes.subarray(10).equals(BYTES.subarray(10))).toBe(true);
  });

  it('ends with the reason of the signal, while it waits and while it reads', async () => {
    for (const handler of [() => undefined, cutAfter(BYTES, 10)]) {
      const server = await serveBundles(handler);
      const abort = new AbortController();
      const reason = new Fault('CANCELLED', 'The test has enough');
      const { signal } = abort;
      const sleep = async (): Promise<void> => abort.abort(reason);
      const failed = faultOf(fetchInto(`${server.origin}/a.tgz`, { signal, sleep }));
      await until(() => expect(server.requests).toHaveLength(1));
      abort.abort(reason);
      expect(await failed).toBe(reason);
    }
  });
});

it('checks the certificate of a server, by the authority of the owner', async (ctx) => {
  if (!canCertify()) ctx.skip('there is no openssl');
  const folder = await scratch();
  const authority = makeAuthority(folder, 'authority');
  const { cert, key } = makeCertificate(folder, 'server', authority);
  const server = await serveBundles(bytesOf(BYTES), { cert: readFileSync(cert), key: readFileSync(key) });
  const address = `${server.origin}/a.tgz`;
  expect(await faultOf(fetchInto(address))).toMatchObject({
    code: 'UNREACHABLE',
    retry: 'never',
    hint: expect.stringContaining('AIRLOCK_PULL_CA') as string,
  });
  expect((await fetchInto(address, { ca: readFileSync(authority.cert) })).bytes.equals(BYTES)).toBe(true);
  server.answer(redirectTo(`http://127.0.0.1:1/a.tgz`));
  const back = fetchInto(address, { ca: readFileSync(authority.cert) });
  expect(await faultOf(back)).toMatchObject({ code: 'INVALID_PARAMS' });
});

it.each([
  ['no URL', 'a.tgz'],
  ['http off the loopback', 'http://plugins.example.com/a.tgz'],
  ['a file', 'file:///a.tgz'],
  ['a user and a password', 'https://me:secret@plugins.example.com/a.tgz'],
])('refuses %s as address', (_what, address) => {
  expect(() => readPullUrl(address, undefined)).toThrow(
    expect.objectContaining({ code: 'INVALID_PARAMS' }) as Error,
  );
  expect(() => readPullUrl(address, undefined)).not.toThrow(/secret/);
});
