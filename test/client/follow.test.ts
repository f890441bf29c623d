import { afterEach, expect, it } from 'vitest';

import { openSession } from '../../client/connect.ts';
import { type Following, follow } from '../../client/follow.ts';
import { Fault } from '../../shared/api/fault.ts';
import { until } from '../_kit/until.ts';
import { type FakeAgent, fakeAgent } from './fake-agent.ts';

let agent: FakeAgent;
const stop = { now: new AbortController() };

afterEach(async () => {
  stop.now.abort();
  await agent.close();
});

/** Follows a fake agent; each pause is told, and lasts as long as the test says. */
async function start(pausing: (millis: number, pauses: number[]) => void | Promise<void>, status?: number) {
  agent = await fakeAgent(status === undefined ? {} : { status: { code: status } });
  stop.now = new AbortController();
  const { signal } = stop.now;
  const opened: Following['resume'][] = [];
  const told: string[] = [];
  const pauses: number[] = [];
  const open = ({ onEvent, resume }: Following) => {
    opened.push(resume);
    return openSession({ url: agent.url, client: 'test', events: 'all', onEvent, resume, signal });
  };
  const ended = follow(open, {
    signal,
    onEvent: ({ seq }) => void told.push(`event ${seq}`),
    onConnected: ({ resumed }) => void told.push(resumed ? 'resumed' : 'connected'),
    onLost: ({ code }) => void told.push(`lost: ${code}`),
    sleep: async (millis) => {
      pauses.push(millis);
      await pausing(millis, pauses);
    },
  });
  const outcome = ended.then(
    () => 'over',
    (error: unknown) => (error instanceof Fault ? error.code : String(error)),
  );
  const connected = (count: number) => until(() => expect(told.filter(isConnected)).toHaveLength(count));
  return { opened, told, pauses, outcome, connected };
}

const isConnected = (text: string): boolean => text === 'connected';
const last = () => {
  const peer = agent.peers.at(-1);
  if (peer === undefined) throw new Error('nobody has connected');
  return peer;
};
const tell = (seq: number): void =>
  last().notify('event', {
    bootId: 'boot-1',
    seq,
    at: '2026-05-08T14:15:30.123Z',
    type: 'draining',
    data: {},
  });
const refuse = (code: number): void => void (agent.behaviour.status = { code });
const admit = (): void => void delete agent.behaviour.status;

it('connects again after pauses that double up to 15 s, says once that it was lost, and goes on behind what it saw', async () => {
  const { opened, told, pauses, connected } = await start((_, all) => {
    if (all.length === 7) admit();
  });
  await connected(1);
  tell(8);
  tell(9);
  await until(() => expect(told).toContain('event 9'));
  refuse(502);
  last().socket.terminate();
  await connected(2);
  expect(pauses).toEqual([1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
  expect(opened).toEqual([undefined, ...Array.from(pauses, () => ({ bootId: 'boot-1', seq: 9 }))]);
  tell(10);
  await until(() => expect(told).toContain('event 10'));
  last().socket.close(1001, 'draining');
  await connected(3);
  // Whoever was connected begins anew with a short pause.
  expect(pauses.slice(7)).toEqual([1000]);
  expect(opened.at(-1)).toEqual({ bootId: 'boot-1', seq: 10 });
  expect(told).toEqual([
    'connected',
    'event 8',
    'event 9',
    'lost: UNREACHABLE',
    'connected',
    'event 10',
    'lost: DRAINING',
    'connected',
  ]);
});

it('goes on behind where the first connection began, if nothing happened meanwhile', async () => {
  const { opened, connected } = await start(() => undefined);
  await connected(1);
  last().socket.terminate();
  await connected(2);
  expect(opened).toEqual([undefined, { bootId: 'boot-1', seq: 7 }]);
});

it('counts what came over a connection that broke before it had begun', async () => {
  const { opened, told, connected } = await start(() => undefined);
  await connected(1);
  agent.behaviour.hello = null;
  last().socket.terminate();
  await until(() => expect(agent.peers).toHaveLength(2));
  tell(8);
  await until(() => expect(told).toContain('event 8'));
  agent.behaviour.hello = undefined;
  last().socket.terminate();
  await connected(2);
  expect(opened.map((at) => at?.seq)).toEqual([undefined, 7, 8]);
});

it.each([
  [401, 'UNAUTHENTICATED'],
  [403, 'FORBIDDEN'],
])('ends where another try changes nothing: HTTP %i', async (status, code) => {
  const { outcome, pauses, connected } = await start(() => undefined);
  await connected(1);
  refuse(status);
  last().socket.close(4401, 'gone');
  expect(await outcome).toBe(code);
  expect(pauses).toEqual([1000]);
});

it('bears that something else answers for a while, as a proxy does', async () => {
  const { pauses, connected } = await start((_, all) => {
    if (all.length === 2) refuse(429);
    if (all.length === 3) admit();
  });
  await connected(1);
  refuse(404);
  last().socket.terminate();
  await connected(2);
  expect(pauses).toEqual([1000, 2000, 4000]);
});

it.each([
  [404, 'UNREACHABLE'],
  [401, 'UNAUTHENTICATED'],
  [503, 'DRAINING'],
])('fails at once where the first connection does: HTTP %i', async (status, code) => {
  const { outcome, pauses, told } = await start(() => undefined, status);
  expect([await outcome, pauses, told]).toEqual([code, [], []]);
});

it('is over with the signal: while it is connected, while it waits, while it connects', async () => {
  const first = await start(() => undefined);
  await first.connected(1);
  const closed = new Promise((resolve) => last().socket.once('close', resolve));
  stop.now.abort();
  expect(await first.outcome).toBe('over');
  await closed;
  await agent.close();

  const second = await start(() => stop.now.abort());
  await second.connected(1);
  last().socket.terminate();
  expect([await second.outcome, second.opened.length]).toEqual(['over', 1]);
  await agent.close();

  const third = await start(() => void (agent.behaviour.hello = null));
  await third.connected(1);
  last().socket.terminate();
  await until(() => expect(agent.peers).toHaveLength(2));
  stop.now.abort();
  expect([await third.outcome, third.told]).toEqual(['over', ['connected', 'lost: UNREACHABLE']]);
});

it('ends at once when it is aborted while it connects, and closes a session that comes too late', async () => {
  agent = await fakeAgent();
  stop.now = new AbortController();
  const { signal } = stop.now;
  let late: (session: Awaited<ReturnType<typeof openSession>>) => void = () => undefined;
  const given: unknown[] = [];
  const ended = follow(
    (more) => {
      given.push(more.signal);
      stop.now.abort();
      return new Promise((resolve) => {
        late = resolve;
      });
    },
    { signal, onEvent: () => undefined },
  );
  await ended;
  expect(given).toEqual([signal]);
  const session = await openSession({ url: agent.url, client: 'test' });
  late(session);
  expect(await session.closed).toMatchObject({ code: 1000 });
});

it('waits as long as a full agent says', async () => {
  const { told, pauses, connected } = await start((_, all) => {
    if (all.length === 3) admit();
  });
  await connected(1);
  agent.behaviour.status = { code: 429, headers: { 'Retry-After': '7' } };
  last().socket.terminate();
  await connected(2);
  expect(pauses).toEqual([1000, 7000, 7000]);
  expect(told.filter((text) => text.startsWith('lost'))).toHaveLength(1);
});

it('closes its session when a function of the caller throws', async () => {
  agent = await fakeAgent();
  const sessions: Awaited<ReturnType<typeof openSession>>[] = [];
  const followed = follow(
    async (more) => {
      const session = await openSession({ url: agent.url, client: 'test', ...more });
      sessions.push(session);
      return session;
    },
    {
      onEvent: () => undefined,
      onConnected: () => {
        throw new Error('a mistake of the caller');
      },
    },
  );
  await expect(followed).rejects.toThrow('a mistake of the caller');
  expect(await sessions[0]?.closed).toMatchObject({ code: 1000 });
});
