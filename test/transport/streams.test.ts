/** The streams of a session: bundles that come in, lists that go out, and readers that do not read. */
import { describe, expect, it } from 'vitest';

import { deferred } from '../../agent/worker/deferred.ts';
import type { Link } from '../../agent/service/upload.ts';
import type { Served } from '../../agent/transport/session.ts';
import { Fault } from '../../shared/api/fault.ts';
import type { PluginInfo } from '../../shared/api/plugin.ts';
import { StreamMemory } from '../../agent/transport/streams.ts';
import { truncate } from '../../shared/truncate.ts';
import { WIRE } from '../../shared/api/rpc.ts';
import { FakeInflow, Talk, listing, makeServed, pluginsOf } from '../_kit/talk.ts';
import { FakeClock } from '../_kit/clock.ts';
import { paramsOf, settle } from '../_kit/engines.ts';

/** A service that opens a stream for every install. */
function opening(): { served: Served; inflow: FakeInflow; streams: Link[] } {
  const inflow = new FakeInflow();
  const streams: Link[] = [];
  const served = makeServed({
    begin: (_, __, link) => {
      const stream = link(inflow);
      streams.push(stream);
      return Promise.resolve({ status: 'open', stream: stream.stream, offset: 0, limit: 100 });
    },
    'plugin.list': listing(pluginsOf(101)),
  });
  return { served, inflow, streams };
}

const begin = (talk: Talk): Promise<Record<string, unknown> | undefined> =>
  talk.ask('install.begin', paramsOf());

describe('a bundle that comes in', () => {
  it('has a number of its own, which no other stream of the connection ever gets', async () => {
    const { served, streams } = opening();
    const talk = await Talk.start(served);
    await begin(talk);
    streams[0]?.drop();
    await begin(talk);
    await talk.ask('plugin.list', { all: true });
    await begin(talk);
    expect(streams.map(({ stream }) => stream)).toEqual([1, 2, 4]);
  });

  it('goes to its upload, with offset and FIN', async () => {
    const { served, inflow } = opening();
    const talk = await Talk.start(served);
    await begin(talk);
    talk.frame(1, 0, 10);
    talk.frame(1, 10, 0, true);
    expect(inflow.taken).toEqual([
      [0, 10, false],
      [10, 0, true],
    ]);
  });

  it('is acknowledged by windows', async () => {
    const { served, streams } = opening();
    const talk = await Talk.start(served);
    await begin(talk);
    streams[0]?.grant(10, 20);
    expect(talk.socket.texts.at(-1)).toEqual({
      jsonrpc: '2.0',
      method: 'window',
      params: { stream: 1, offset: 10, limit: 20 },
    });
  });

  it('that fails is reset with the reason, and what is still on the way is let pass', async () => {
    const { served, streams, inflow } = opening();
    const talk = await Talk.start(served);
    await begin(talk);
    const fault = new Fault('DEADLINE', 'Too slow');
    streams[0]?.drop(fault);
    expect(talk.socket.texts.at(-1)).toEqual({
      jsonrpc: '2.0',
      method: 'reset',
      params: { stream: 1, error: fault.toData() },
    });
    talk.frame(1, 0, 10);
    expect([inflow.taken, talk.closed]).toEqual([[], []]);
  });

  it('whose stream was taken over ends without a word', async () => {
    const { served, streams } = opening();
    const talk = await Talk.start(served);
    await begin(talk);
    const before = talk.socket.texts.length;
    streams[0]?.drop();
    expect(talk.socket.texts).toHaveLength(before);
  });

  it('waits for another connection when this one ends', async () => {
    const { served, streams, inflow } = opening();
    const talk = await Talk.start(served);
    await begin(talk);
    await begin(talk);
    streams[0]?.drop();
    talk.session.ended();
    expect(inflow.detached).toEqual([streams[1]]);
  });

  it('waits for another connection also if this one ended before the stream was there', async () => {
    const { served, inflow, streams } = opening();
    const gate = deferred<void>();
    const talk = await Talk.start({
      ...served,
      service: {
        ...served.service,
        begin: async (...all) => {
          await gate.promise;
          return served.service.begin(...all);
        },
      },
    });
    talk.send('install.begin', paramsOf());
    talk.session.ended();
    gate.resolve();
    await settle();
    expect(inflow.detached).toEqual(streams);
    expect(streams).toHaveLength(1);
  });

  it('is refused beyond eight streams, lists included, and welcome when one has ended', async () => {
    const { served, streams } = opening();
    const talk = await Talk.start(served);
    await talk.ask('plugin.list', { all: true });
    for (let i = 1; i < WIRE.streamsInFlight; i += 1) {
      expect(await begin(talk)).toMatchObject({ result: { status: 'open' } });
    }
    expect(await begin(talk)).toMatchObject({ error: { data: { code: 'RATE_LIMITED' } } });
    expect(await talk.ask('plugin.list', { all: true })).toMatchObject({
      error: { data: { code: 'RATE_LIMITED' } },
    });
    expect(await talk.ask('plugin.list', {})).toMatchObject({ result: {} });
    streams[0]?.drop();
    expect(await begin(talk)).toMatchObject({ result: { status: 'open' } });
  });
});

describe('a list', () => {
  const lists = (count: number): Promise<Talk> =>
    Talk.start(makeServed({ 'plugin.list': listing(pluginsOf(count)) }));
  const linesOf = (talk: Talk): PluginInfo[] =>
    Buffer.concat(talk.socket.frames.map(({ data }) => data))
      .toString('utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as PluginInfo);

  it('of a hundred stands in the answer, and needs no stream', async () => {
    const talk = await lists(100);
    const answer = await talk.ask('plugin.list', { all: true });
    expect(answer?.['result']).toEqual({ plugins: { items: pluginsOf(100), total: 100 } });
  });

  it('of more is cut in the answer, and says how many there are', async () => {
    const talk = await lists(101);
    const answer = await talk.ask('plugin.list', {});
    expect(answer?.['result']).toEqual({ plugins: { items: pluginsOf(100), total: 101 } });
  });

  it('of more comes whole on a stream, as lines of JSON under the client’s credit', async () => {
    const talk = await lists(2000);
    expect(await talk.ask('plugin.list', { all: true })).toMatchObject({ result: { stream: 1 } });
    expect(talk.socket.frames).toEqual([]);
    let granted = 0;
    while (talk.socket.frames.at(-1)?.fin !== true) {
      granted += 10_007;
      talk.window(1, granted);
      const sent = talk.socket.frames.reduce((sum, { data }) => sum + data.length, 0);
      expect(sent).toBeLessThanOrEqual(granted);
    }
    expect(linesOf(talk)).toEqual(pluginsOf(2000));
    // The stream is over: a window that comes late does no harm.
    const before = talk.socket.frames.length;
    talk.window(1, Number.MAX_SAFE_INTEGER);
    expect([talk.socket.frames.length, talk.closed]).toEqual([before, []]);
  });

  it('of more comes at once for a window that lies past its end', async () => {
    const talk = await lists(500);
    await talk.ask('plugin.list', { all: true });
    talk.window(1, Number.MAX_SAFE_INTEGER);
    expect(linesOf(talk)).toEqual(pluginsOf(500));
  });

  it('is not disturbed by windows of other streams, or by bytes that the client sends on it', async () => {
    const talk = await lists(200);
    await talk.ask('plugin.list', { all: true });
    talk.window(0, 1000);
    talk.window(2, 1000);
    talk.frame(1, 0, 10, true);
    expect([talk.socket.frames, talk.closed]).toEqual([[], []]);
  });

  it('that ends makes room for another', async () => {
    const talk = await lists(200);
    for (let i = 1; i <= 2 * WIRE.streamsInFlight; i += 1) {
      expect(await talk.ask('plugin.list', { all: true })).toMatchObject({ result: { stream: i } });
      talk.window(i, Number.MAX_SAFE_INTEGER);
    }
  });
});

describe('a list that nobody reads', () => {
  const kept = (talk: Talk): Promise<Record<string, unknown> | undefined> =>
    talk.ask('plugin.list', { all: true });

  // Was a bug: eight of them, and every list, plugin.files and install.begin of the connection was refused for good.
  it('makes room when its reader cancels it', async () => {
    const talk = await Talk.start(makeServed({ 'plugin.list': listing(pluginsOf(200)) }));
    for (let i = 0; i < WIRE.streamsInFlight; i += 1) await kept(talk);
    expect(await kept(talk)).toMatchObject({ error: { data: { code: 'RATE_LIMITED' } } });
    talk.cancel(1);
    talk.cancel(1);
    talk.cancel(77);
    expect(await kept(talk)).toMatchObject({ result: { stream: WIRE.streamsInFlight + 1 } });
    talk.window(1, Number.MAX_SAFE_INTEGER);
    expect([talk.socket.frames, talk.closed]).toEqual([[], []]);
  });

  it('is ended where no credit comes, and its reader is told', async () => {
    const clock = new FakeClock();
    const served = { ...makeServed({ 'plugin.list': listing(pluginsOf(200)) }), clock };
    const talk = await Talk.start(served);
    await kept(talk);
    clock.advance(20_000);
    talk.window(1, 100);
    clock.advance(29_999);
    // Was a bug: a window that asked for nothing new kept the stream.
    talk.window(1, 100);
    talk.window(1, 50);
    expect(served.memory.kept).toBeGreaterThan(0);
    clock.advance(1);
    expect(talk.socket.texts.at(-1)).toMatchObject({
      method: 'reset',
      params: { stream: 1, error: { code: 'DEADLINE' } },
    });
    expect(served.memory.kept).toBe(0);
  });

  it('holds no more memory than there is for all connections together, and gives it back with its connection', async () => {
    const served = {
      ...makeServed({ 'plugin.list': listing(pluginsOf(200)) }),
      memory: new StreamMemory(30_000),
    };
    const [one, other] = [await Talk.start(served), await Talk.start(served)];
    expect(await kept(one)).toMatchObject({ result: { stream: 1 } });
    expect(await kept(other)).toMatchObject({ error: { data: { code: 'RATE_LIMITED', retry: 'later' } } });
    one.session.ended();
    expect(served.memory.kept).toBe(0);
    expect(await kept(other)).toMatchObject({ result: { stream: 1 } });
  });

  it('closes with 1002 for a cancel that is none', async () => {
    const talk = await Talk.start(makeServed());
    talk.cancel(-1);
    expect(talk.closed).toEqual([1002]);
  });
});

describe('an answer', () => {
  // Was a bug: lists were cut by UTF-16 units, so that an answer in Chinese closed the connection on every try.
  it('fits a frame, whatever letters its lists are written in', async () => {
    const path = (i: number): string => `规则/${'漢'.repeat(330)}-${i}.md`;
    const paths = truncate(Array.from({ length: 1000 }, (_, i) => path(i)));
    const answer = {
      plugin: 'lint',
      verdict: 'drifted',
      modified: paths,
      missing: paths,
      unlisted: paths,
    } as const;
    const talk = await Talk.start(makeServed({ 'plugin.verify': () => Promise.resolve(answer) }));
    const verified = await talk.ask('plugin.verify', { plugin: 'lint' });
    expect(verified).toMatchObject({ result: { verdict: 'drifted' } });
    expect(Buffer.byteLength(JSON.stringify(verified))).toBeLessThan(WIRE.frameBytes);
  });

  it('that does not fit all the same fails its question, not the connection', async () => {
    const talk = await Talk.start(
      makeServed({
        'plugin.get': () => Promise.resolve({ name: 'a', status: 'admitted', detail: 'x'.repeat(300_000) }),
      }),
    );
    expect(await talk.ask('plugin.get', { plugin: 'a' })).toMatchObject({
      error: { data: { code: 'INTERNAL', executed: 'yes', retry: 'never' } },
    });
    expect(talk.closed).toEqual([]);
  });
});

describe('a reader that is too slow', () => {
  it('is closed with 1008 instead of being waited for, and nothing more is piled up', async () => {
    const talk = await Talk.start(makeServed());
    const before = talk.socket.texts.length;
    talk.socket.buffered = 16 * 1024 * 1024;
    talk.eventLog.publish({ type: 'draining', data: {} });
    expect([talk.socket.texts.length, talk.closed]).toEqual([before + 1, []]);
    talk.socket.buffered += 1;
    talk.eventLog.publish({ type: 'draining', data: {} });
    expect(talk.closed[0]).toBe(1008);
    talk.eventLog.publish({ type: 'draining', data: {} });
    await talk.ask('plugin.list', {});
    expect(talk.socket.texts).toHaveLength(before + 1);
    expect(talk.closed).toEqual([1008]);
  });

  it('cannot have a list piled up for it either', async () => {
    const talk = await Talk.start(makeServed({ 'plugin.list': listing(pluginsOf(200)) }));
    await talk.ask('plugin.list', { all: true });
    talk.socket.buffered = 16 * 1024 * 1024 + 1;
    talk.window(1, Number.MAX_SAFE_INTEGER);
    expect([talk.socket.frames, talk.closed]).toEqual([[], [1008]]);
  });
});
