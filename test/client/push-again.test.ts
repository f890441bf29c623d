/** What a push does when it is told to wait, given up, cut off or cancelled, and whether it tells the truth about it. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import type { Bundle } from '../../client/bundle.ts';
import { openSession } from '../../client/connect.ts';
import { push, type PushOptions } from '../../client/push.ts';
import type { Session } from '../../client/session.ts';
import { upload } from '../../client/upload.ts';
import { Fault } from '../../shared/api/fault.ts';
import type { Installed } from '../../shared/api/plugin.ts';
import { until } from '../_kit/until.ts';
import { type Behaviour, type FakeAgent, type Peer, fakeAgent, installed } from './fake-agent.ts';
import { receiver } from './receiver.ts';

let directory: string;
let agent: FakeAgent;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'airlock-again-test-'));
});
afterAll(() => rm(directory, { recursive: true }));
afterEach(() => agent.close());

async function bundleOf(size: number): Promise<Bundle> {
  const file = join(directory, `${randomBytes(6).toString('hex')}.tgz`);
  const bytes = randomBytes(Math.min(size, 1_000_000));
  await writeFile(file, bytes);
  await truncate(file, size);
  return { plugin: 'lint', file, size, sha256: createHash('sha256').update(bytes).digest('hex') };
}

const open = (signal: AbortSignal | undefined): Promise<Session> =>
  openSession({ url: agent.url, client: 'test', signal });

type Run = { result: Installed | Fault; pauses: number[]; left: number[] };

async function run(
  behaviour: Behaviour,
  options: PushOptions = {},
  bundle?: Bundle,
  connect = open,
): Promise<Run> {
  agent = await fakeAgent(behaviour);
  const pauses: number[] = [];
  const left: number[] = [];
  const result = await push(connect, bundle ?? (await bundleOf(100)), {
    sleep: async (millis) => void pauses.push(millis),
    random: () => 1,
    onReconnect: (_why, _pause, more) => void left.push(more),
    ...options,
  }).catch((error: unknown) => error as Fault);
  return { result, pauses, left };
}

type Request = Parameters<NonNullable<Behaviour['onRequest']>>[0];
const opened = { status: 'open', stream: 1, offset: 0, limit: 1_000_000 };

/** Answers by method; what is not listed is not answered. */
const answering = (by: Record<string, (request: Request, peer: Peer) => void>): Behaviour => ({
  onRequest: (request, peer) => by[request.method]?.(request, peer),
});
const hangUp = (_: Request, peer: Peer): void => peer.socket.terminate();
const openIt = ({ id }: Request, peer: Peer): void => peer.answer(id, opened);

/** Which methods were asked, in their order. */
function noting(behaviour: Behaviour): Behaviour & { asked: string[] } {
  const asked: string[] = [];
  return {
    ...behaviour,
    asked,
    onRequest: (request, peer) => {
      asked.push(request.method);
      behaviour.onRequest?.(request, peer);
    },
  };
}

describe('an agent that asks to come later', () => {
  it('is waited for as long as it says, and more often than one that is silent', async () => {
    const to = receiver({ window: 1000 });
    const full: Behaviour = { ...to, status: { code: 429, headers: { 'Retry-After': '5' } } };
    const sleep = async (millis: number): Promise<void> => {
      waited.push(millis);
      if (waited.length === 20) delete agent.behaviour.status;
    };
    const waited: number[] = [];
    const { result, left } = await run(full, { sleep });
    expect(result).toMatchObject({ status: 'installed' });
    expect(waited.slice(0, 6)).toEqual([5500, 6000, 7000, 9000, 13_000, 13_000]);
    expect(left.slice(0, 2)).toEqual([60, 59]);
  });

  it('is not believed that it takes a day', async () => {
    const full: Behaviour = { status: { code: 429, headers: { 'Retry-After': '86400' } } };
    const { result, pauses } = await run(full, { tries: 1 });
    expect(result).toMatchObject({ code: 'RATE_LIMITED', executed: 'no' });
    expect(pauses).toHaveLength(12);
    expect(Math.max(...pauses)).toBeLessThanOrEqual(68_000);
  });

  it('begins an upload again that it has given up', async () => {
    const to = receiver({ window: 1000 });
    let commits = 0;
    const impatient: Behaviour = {
      ...to,
      onRequest: (request, peer) => {
        if (request.method === 'install.commit') commits += 1;
        const isFirst = request.method === 'install.commit' && commits === 1;
        if (isFirst) peer.refuse(request.id, new Fault('DEADLINE', 'No byte came in for too long'));
        else to.onRequest?.(request, peer);
      },
    };
    // The receiver continues where it was; this one starts over.
    const { result, pauses } = await run(impatient);
    expect(result).toMatchObject({ status: 'installed' });
    expect(pauses).toEqual([500]);
  });

  it('is believed that an install takes too long', async () => {
    const late = new Fault('DEADLINE', 'The install took too long', { retry: 'later' });
    const behaviour = answering({ 'install.begin': ({ id }, peer) => peer.refuse(id, late) });
    const { result, pauses } = await run(behaviour);
    expect(result).toMatchObject({ code: 'DEADLINE', executed: 'no' });
    expect(pauses).toEqual([]);
  });
});

describe('an agent that gives no credit for a while', () => {
  it('is only slow: the upload goes on', async () => {
    let begins = 0;
    const slow: Behaviour = {
      onRequest: ({ id, method }, peer) => {
        if (method === 'install.begin') {
          begins += 1;
          const at = begins === 1 ? { offset: 0, limit: 10 } : { offset: 10, limit: 100 };
          peer.answer(id, { status: 'open', stream: begins, ...at });
        } else if (begins === 1) {
          peer.refuse(id, new Fault('CONFLICT', 'Only 10 of 100 bytes came in', { retry: 'same' }));
        } else {
          peer.answer(id, installed('lint'));
        }
      },
    };
    const { result, pauses } = await run(slow, { stallMillis: 20 });
    expect(result).toMatchObject({ status: 'installed' });
    expect([begins, pauses]).toEqual([2, []]);
  });
});

describe('a connection that breaks again and again', () => {
  it('is made anew as long as the agent takes in more each time, though more was sent before', async () => {
    const size = 1_000_000;
    const cuts = Array.from({ length: 14 }, (_, i) => (i + 1) * 65_536);
    const to = receiver({ window: 2_000_000, cuts });
    const { result } = await run(to, {}, await bundleOf(size));
    expect(result).toMatchObject({ status: 'installed' });
    expect(to.begins).toHaveLength(cuts.length + 1);
  });

  it('while a proxy answers for the agent is made anew', async () => {
    const to = receiver({ window: 1000 });
    const gone: Behaviour = {
      ...to,
      onRequest: (request, peer) => {
        if (agent.upgrades.length > 1) return to.onRequest?.(request, peer);
        agent.behaviour.status = { code: 404 };
        peer.socket.terminate();
      },
    };
    const sleep = async (): Promise<void> => {
      if (agent.upgrades.length === 2) delete agent.behaviour.status;
    };
    const { result } = await run(gone, { sleep });
    expect(result).toMatchObject({ status: 'installed' });
    expect(agent.upgrades).toHaveLength(3);
  });

  it('is not made anew when the owner says that the workspace does not run', async () => {
    const asked = noting(answering({ 'install.begin': hangUp }));
    let opens = 0;
    const { result, pauses } = await run(asked, {}, undefined, async (signal) => {
      opens += 1;
      if (opens === 1) return open(signal);
      const url = 'ws://127.0.0.1:9';
      return openSession({ url, client: 'test', signal, notRunning: async () => 'it was stopped' });
    });
    expect(result).toMatchObject({ code: 'UNREACHABLE', retry: 'never', executed: 'no' });
    expect((result as Fault).message).toContain('it was stopped');
    expect([opens, pauses.length]).toEqual([2, 1]);
  });

  it('between two operations counts as no failure', async () => {
    const behaviour = answering({ 'plugin.get': hangUp });
    agent = await fakeAgent(behaviour);
    const session = await open(undefined);
    agent.peers[0]?.socket.terminate();
    await session.closed;
    const lost = await session.call('plugin.get', { plugin: 'lint' }).catch((error: unknown) => error);
    // It was not even sent.
    expect(lost).toMatchObject({ code: 'UNREACHABLE', retry: 'same', executed: 'no' });
  });
});

describe('whether it was executed', () => {
  it.each<[string, Behaviour, PushOptions, Fault['executed']]>([
    ['no, where nobody was reached', { status: { code: 502 } }, {}, 'no'],
    ['no, where it never began', answering({ 'install.begin': hangUp }), {}, 'no'],
    [
      'maybe, where an id of the caller may have been used before',
      answering({ 'install.begin': hangUp }),
      { operationId: 'operation-1' },
      'maybe',
    ],
    [
      'no, where the bytes never arrived',
      {
        ...answering({ 'install.begin': ({ id }, peer) => peer.answer(id, { ...opened, limit: 10 }) }),
        onFrame: (_, peer) => peer.socket.terminate(),
      },
      { operationId: 'operation-1' },
      'no',
    ],
    [
      'maybe, where the commit was not answered',
      answering({ 'install.begin': openIt, 'install.commit': hangUp }),
      {},
      'maybe',
    ],
  ])('%s', async (_, behaviour, options, executed) => {
    const { result } = await run(behaviour, { tries: 1, ...options });
    expect(result).toMatchObject({ code: 'UNREACHABLE', retry: 'later', executed });
    // Whoever cannot know what happened is told how to ask again.
    const isTold = (result as Fault).hint?.includes('with the operation id') === true;
    expect(isTold).toBe(executed === 'maybe');
  });

  it('stays unknown when the token is refused after a commit without an answer', async () => {
    const behaviour = answering({
      'install.begin': openIt,
      'install.commit': (_, peer) => {
        agent.behaviour.status = { code: 401 };
        peer.socket.terminate();
      },
    });
    const { result } = await run(behaviour);
    expect(result).toMatchObject({ code: 'UNAUTHENTICATED', executed: 'maybe' });
  });

  it('is known again when the agent opens the upload anew', async () => {
    const behaviour = answering({
      'install.begin': ({ id }, peer) => {
        if (agent.upgrades.length === 1) peer.answer(id, opened);
        else peer.answer(id, { ...opened, limit: 1 });
      },
      'install.commit': (_, peer) => peer.socket.terminate(),
    });
    behaviour.onFrame = (_, peer) => {
      if (agent.upgrades.length > 1) peer.socket.terminate();
    };
    const { result } = await run(behaviour, { tries: 2 });
    expect(result).toMatchObject({ code: 'UNREACHABLE', executed: 'no' });
  });
});

describe('cancelling', () => {
  const aborting = (aborted: boolean) => ({
    'install.abort': ({ id }: Request, peer: Peer) => peer.answer(id, { aborted }),
  });

  it('during the swap is too late: the answer is the answer', async () => {
    const controller = new AbortController();
    let commits = 0;
    const behaviour = answering({
      'install.begin': openIt,
      'install.commit': ({ id }, peer) => {
        commits += 1;
        if (commits === 1) controller.abort();
        else peer.answer(id, installed('lint'));
      },
      ...aborting(false),
    });
    const { result } = await run(behaviour, { signal: controller.signal });
    expect(result).toMatchObject({ status: 'installed' });
  });

  it('after the install has failed says that nothing has happened', async () => {
    const controller = new AbortController();
    let commits = 0;
    const behaviour = answering({
      'install.begin': openIt,
      'install.commit': ({ id }, peer) => {
        commits += 1;
        if (commits === 1) controller.abort();
        else peer.refuse(id, new Fault('NO_SPACE', 'The disk is full'));
      },
      ...aborting(false),
    });
    const { result } = await run(behaviour, { signal: controller.signal });
    expect(result).toMatchObject({ code: 'CANCELLED', executed: 'no', cause: { code: 'NO_SPACE' } });
  });

  it('between two tries tells the agent over a new connection', async () => {
    const controller = new AbortController();
    const behaviour = noting(
      answering({ 'install.begin': openIt, 'install.commit': hangUp, ...aborting(true) }),
    );
    const sleep = async (): Promise<void> => controller.abort();
    const { result } = await run(behaviour, { signal: controller.signal, sleep });
    expect(result).toMatchObject({ code: 'CANCELLED', executed: 'no' });
    expect(behaviour.asked).toEqual(['install.begin', 'install.commit', 'install.abort']);
  });

  it('where the agent is gone says what is known', async () => {
    const controller = new AbortController();
    const behaviour = answering({
      'install.begin': openIt,
      'install.commit': (_, peer) => {
        agent.behaviour.status = { code: 502 };
        peer.socket.terminate();
      },
    });
    const sleep = async (): Promise<void> => controller.abort();
    const { result } = await run(behaviour, { signal: controller.signal, sleep });
    expect(result).toMatchObject({ code: 'CANCELLED', executed: 'maybe' });
  });

  it('ends connecting at once, also where the connecting function does not hear of it', async () => {
    const controller = new AbortController();
    let late: (session: Session) => void = () => undefined;
    const deaf = (): Promise<Session> => {
      queueMicrotask(() => controller.abort());
      return new Promise((resolve) => {
        late = resolve;
      });
    };
    const { result } = await run({}, { signal: controller.signal }, undefined, deaf);
    expect(result).toMatchObject({ code: 'CANCELLED', executed: 'no' });
    // A session that comes all the same is closed again.
    const session = await open(undefined);
    late(session);
    expect(await session.closed).toMatchObject({ code: 1000 });
  });

  it('ends at once while the network takes no more bytes', async () => {
    const controller = new AbortController();
    agent = await fakeAgent();
    const session = await open(undefined);
    agent.peers[0]?.socket.pause();
    let sent = 0;
    const sending = upload(
      session,
      await bundleOf(200_000_000),
      { stream: 1, offset: 0, limit: 1e9 },
      {
        signal: controller.signal,
        stallMillis: 60_000,
        onProgress: (progress) => {
          sent = progress.sent;
        },
      },
    ).catch((error: unknown) => error);
    // It has stopped when the buffers are full.
    let before = -1;
    await until(() => {
      const moved = sent > before;
      before = sent;
      expect([moved, sent > 0]).toEqual([false, true]);
    }, 300);
    controller.abort();
    expect(await sending).toMatchObject({ code: 'CANCELLED' });
  });

  it('at a deadline throws DEADLINE, and tells the agent', async () => {
    const behaviour = noting(answering({ 'install.begin': openIt, ...aborting(true) }));
    const { result } = await run(behaviour, { deadlineMillis: 200 });
    expect(result).toMatchObject({ code: 'DEADLINE', executed: 'no' });
    expect(behaviour.asked.at(-1)).toBe('install.abort');
  });
});

describe('a bundle that cannot be read', () => {
  it.each([
    ['is gone', 'INVALID_PARAMS', (file: string) => rm(file)],
    ['gives an error of the disk', 'INTERNAL', (file: string) => rm(file).then(() => mkdir(file))],
  ])(
    'because its file %s leaves no upload behind in the agent, and has changed nothing',
    async (_, code, spoil) => {
      const bundle = await bundleOf(100);
      const behaviour = noting(
        answering({
          'install.begin': openIt,
          'install.abort': ({ id }, peer) => peer.answer(id, { aborted: true }),
        }),
      );
      await spoil(bundle.file);
      const { result } = await run(behaviour, {}, bundle);
      expect(result).toMatchObject({ code, executed: 'no' });
      expect(behaviour.asked).toEqual(['install.begin', 'install.abort']);
    },
  );
});
