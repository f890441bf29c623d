import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import type { Bundle } from '../../client/bundle.ts';
import { openSession } from '../../client/connect.ts';
import { push, type PushOptions } from '../../client/push.ts';
import type { Session } from '../../client/session.ts';
import { Fault } from '../../shared/api/fault.ts';
import type { Installed } from '../../shared/api/plugin.ts';
import { type Behaviour, type FakeAgent, fakeAgent, installed, type Peer } from './fake-agent.ts';
import { type Receiver, receiver } from './receiver.ts';

let directory: string;
let agent: FakeAgent;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'airlock-push-test-'));
});
afterAll(() => rm(directory, { recursive: true }));
afterEach(() => agent.close());

async function bundleOf(bytes: Buffer): Promise<Bundle> {
  const file = join(directory, `${randomBytes(6).toString('hex')}.tgz`);
  await writeFile(file, bytes);
  return {
    plugin: 'lint',
    file,
    size: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
  };
}

type Run = { result: Installed | Fault; pauses: number[]; progress: number[] };

async function run(behaviour: Behaviour, bundle: Bundle, options: PushOptions = {}): Promise<Run> {
  agent = await fakeAgent(behaviour);
  const pauses: number[] = [];
  const progress: number[] = [];
  const open = (signal: AbortSignal | undefined): Promise<Session> =>
    openSession({ url: agent.url, client: 'test', signal });
  const result = await push(open, bundle, {
    operationId: 'operation-1',
    sleep: async (millis) => void pauses.push(millis),
    random: () => 1,
    onProgress: ({ sent }) => progress.push(sent),
    ...options,
  }).catch((error: unknown) => error as Fault);
  return { result, pauses, progress };
}

function expectWhole(to: Receiver, bytes: Buffer): void {
  expect(to.wrong).toEqual([]);
  expect(agent.violations).toEqual([]);
  expect(to.finished).toBe(true);
  expect(to.bytes.equals(bytes)).toBe(true);
}

describe('an upload', () => {
  it.each([
    ['one byte', 1, 1_048_576],
    ['exactly one frame', 65_536, 1_048_576],
    ['exactly two windows', 200_000, 100_000],
    ['more than several windows, in odd sizes', 1_234_567, 77_777],
    ['a window of one byte', 40, 1],
  ])('arrives whole and keeps to the credit: %s', async (_, size, window) => {
    const bytes = randomBytes(size);
    const to = receiver({ window });
    const { result, progress } = await run(to, await bundleOf(bytes));
    expect(result).toMatchObject({ status: 'installed', plugin: 'lint' });
    expectWhole(to, bytes);
    expect(to.commits).toBe(1);
    expect(progress[0]).toBe(0);
    expect(progress.at(-1)).toBe(size);
  });

  it('asks for what was wanted, and says nothing about what was not', async () => {
    const bytes = randomBytes(10);
    const bundle = await bundleOf(bytes);
    const to = receiver({ window: 100 });
    await run(to, bundle, { source: 'ci', expect: null, restart: false, links: 'refuse', force: true });
    expect(to.begins[0]).toEqual({
      operationId: 'operation-1',
      plugin: 'lint',
      bundle: { size: 10, sha256: bundle.sha256 },
      source: 'ci',
      expect: { installId: null },
      links: 'refuse',
      restart: false,
      force: true,
    });
  });

  it('sends nothing where the plugin is present', async () => {
    let frames = 0;
    const { result } = await run(
      {
        onRequest: ({ id }, peer) => peer.answer(id, installed('lint', { status: 'present' })),
        onFrame: () => void (frames += 1),
      },
      await bundleOf(randomBytes(10)),
    );
    expect(result).toMatchObject({ status: 'present' });
    expect(frames).toBe(0);
  });

  it('passes on why the commit was refused, and does not try again', async () => {
    const to = receiver({ window: 1000 });
    const refusing: Behaviour = {
      ...to,
      onRequest: (request, peer) => {
        if (request.method !== 'install.commit') return to.onRequest?.(request, peer);
        const violations = [{ path: '../x', rule: 1, code: 'ARCHIVE_PATH', what: 'leaves the plugin' }];
        peer.refuse(request.id, new Fault('ARCHIVE_PATH', 'The archive was refused', { violations }));
      },
    };
    const { result, pauses } = await run(refusing, await bundleOf(randomBytes(100)));
    expect(result).toMatchObject({ code: 'ARCHIVE_PATH', violations: [{ path: '../x', rule: 1 }] });
    expect(pauses).toEqual([]);
  });

  it('stops at once when the agent resets its stream, though no credit comes', async () => {
    const failing: Behaviour = {
      onRequest: ({ id }, peer) => peer.answer(id, { status: 'open', stream: 2, offset: 0, limit: 10 }),
      onFrame: (_, peer) => {
        for (const stream of [1, 2]) {
          const error = new Fault(stream === 1 ? 'INTERNAL' : 'NO_SPACE', 'The disk is full').toData();
          peer.notify('reset', { stream, error });
        }
      },
    };
    const { result } = await run(failing, await bundleOf(randomBytes(100)));
    expect(result).toMatchObject({ code: 'NO_SPACE', message: 'The disk is full' });
  });

  it('hears a window and a reset that come right behind the answer that opens its stream', async () => {
    const early = (then: (peer: Peer) => void): Behaviour => ({
      onRequest: ({ id, method }, peer) => {
        if (method !== 'install.begin') return peer.answer(id, installed('lint'));
        peer.answer(id, { status: 'open', stream: 3, offset: 0, limit: 0 });
        then(peer);
      },
    });
    const frames: number[] = [];
    const bundle = await bundleOf(randomBytes(100));
    const granting = early((peer) => peer.notify('window', { stream: 3, offset: 0, limit: 100 }));
    const onFrame = ({ data }: { data: Uint8Array }): void => void frames.push(data.length);
    const granted = await run({ ...granting, onFrame }, bundle, { stallMillis: 5000 });
    expect([granted.result, frames]).toMatchObject([{ status: 'installed' }, [100]]);
    const error = new Fault('NO_SPACE', 'The disk is full').toData();
    const failing = early((peer) => peer.notify('reset', { stream: 3, error }));
    const { result } = await run(failing, bundle, { stallMillis: 5000 });
    expect(result).toMatchObject({ code: 'NO_SPACE' });
  });

  it('asks the agent what is the matter when no credit comes for too long', async () => {
    const stalling: Behaviour = {
      onRequest: ({ id, method }, peer) => {
        if (method === 'install.begin') peer.answer(id, { status: 'open', stream: 1, offset: 0, limit: 10 });
        else peer.refuse(id, new Fault('DIGEST_MISMATCH', 'The stream has failed'));
      },
    };
    const { result } = await run(stalling, await bundleOf(randomBytes(100)), { stallMillis: 50 });
    expect(result).toMatchObject({ code: 'DIGEST_MISMATCH' });
  });

  it('says so when the bundle has become shorter', async () => {
    const bundle = await bundleOf(randomBytes(1000));
    await truncate(bundle.file, 500);
    const { result } = await run(receiver({ window: 10_000 }), bundle);
    expect(result).toMatchObject({ code: 'INVALID_PARAMS' });
    expect((result as Fault).message).toContain('no longer holds its 1000 bytes');
  });
});

describe('a connection that breaks', () => {
  const size = 900_000;

  it('is made anew, and the upload goes on at the byte that was taken in', async () => {
    const bytes = randomBytes(size);
    const to = receiver({ window: 200_000, cuts: [300_000, 700_000] });
    const { result, pauses } = await run(to, await bundleOf(bytes));
    expect(result).toMatchObject({ status: 'installed' });
    expectWhole(to, bytes);
    expect(to.begins).toHaveLength(3);
    expect(new Set(to.begins.map((begin) => JSON.stringify(begin))).size).toBe(1);
    // Bytes moved in between, so the second pause is a first one again.
    expect(pauses).toEqual([500, 500]);
    expect(agent.peers.every(({ socket }) => socket.readyState >= 2)).toBe(true);
  });

  it('rewinds to the first byte after the agent was restarted', async () => {
    const bytes = randomBytes(size);
    const to = receiver({ window: 200_000, cuts: [300_000], resumeAt: () => 0 });
    const { result } = await run(to, await bundleOf(bytes));
    expect(result).toMatchObject({ status: 'installed' });
    expectWhole(to, bytes);
  });

  it('asks for the answer again where it broke during the commit', async () => {
    const bytes = randomBytes(5000);
    const to = receiver({ window: 200_000, cutCommits: 1 });
    const done: Behaviour = {
      ...to,
      onRequest: (request, peer) => {
        if (request.method === 'install.begin' && to.commits === 1) {
          peer.answer(request.id, installed('lint'));
        } else {
          to.onRequest?.(request, peer);
        }
      },
    };
    const { result } = await run(done, await bundleOf(bytes));
    expect(result).toMatchObject({ status: 'installed' });
    expect(to.commits).toBe(1);
  });

  it('is given up after eight more tries with growing pauses', async () => {
    const behaviour: Behaviour = { onRequest: (_, peer) => peer.socket.terminate() };
    const { result, pauses } = await run(behaviour, await bundleOf(randomBytes(10)));
    expect(result).toMatchObject({ code: 'UNREACHABLE', retry: 'later', executed: 'maybe' });
    expect(pauses).toEqual([500, 1000, 2000, 4000, 8000, 8000, 8000, 8000]);
    expect(agent.upgrades).toHaveLength(9);
  });

  it('shortens each pause by chance, at most by a half', async () => {
    const behaviour: Behaviour = { onRequest: (_, peer) => peer.socket.terminate() };
    const { pauses } = await run(behaviour, await bundleOf(randomBytes(10)), { random: () => 0, tries: 2 });
    expect(pauses).toEqual([250, 500]);
  });

  it('waits for an agent that is shutting down', async () => {
    const to = receiver({ window: 1000 });
    let refusals = 0;
    const draining: Behaviour = {
      ...to,
      onRequest: (request, peer) => {
        refusals += 1;
        if (refusals === 1) peer.refuse(request.id, new Fault('DRAINING', 'The agent is shutting down'));
        else to.onRequest?.(request, peer);
      },
    };
    const { result, pauses } = await run(draining, await bundleOf(randomBytes(10)));
    expect(result).toMatchObject({ status: 'installed' });
    expect(pauses).toEqual([500]);
  });

  it('is not made anew when the token is refused', async () => {
    const { result, pauses } = await run({ status: { code: 401 } }, await bundleOf(randomBytes(10)));
    expect(result).toMatchObject({ code: 'UNAUTHENTICATED' });
    expect(pauses).toEqual([]);
    expect(agent.upgrades).toHaveLength(1);
  });
});

describe('cancelling', () => {
  it('in the middle tells the agent and throws CANCELLED', async () => {
    const controller = new AbortController();
    const to = receiver({ window: 65_536 });
    const stopping: Behaviour = {
      ...to,
      onFrame: () => controller.abort(),
    };
    const { result } = await run(stopping, await bundleOf(randomBytes(500_000)), {
      signal: controller.signal,
    });
    expect(result).toMatchObject({ code: 'CANCELLED', executed: 'no' });
    expect(to.aborts).toBe(1);
  });

  it('before anything was asked says that nothing has happened', async () => {
    const { result } = await run(receiver({ window: 1 }), await bundleOf(randomBytes(10)), {
      signal: AbortSignal.abort(),
    });
    expect(result).toMatchObject({ code: 'CANCELLED', executed: 'no' });
    expect(agent.upgrades).toHaveLength(0);
  });
});
