/** Clients that lie, stall and vanish, threads that crash, an agent that ends: nothing of it reaches live. */
import { existsSync } from 'node:fs';
import { mkdir, readdir, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import type { BeginParams } from '../../shared/api/methods.ts';
import type { Installed } from '../../shared/api/plugin.ts';
import { LIST_MAX } from '../../shared/truncate.ts';
import { WIRE } from '../../shared/api/rpc.ts';
import { type AgentOptions, type TestAgent, startTestAgent } from '../_kit/agent.ts';
import {
  type Bundle,
  type Opened,
  beginOf,
  packPlugin,
  push,
  sendUpTo,
  takenOf,
  treeOf,
} from '../_kit/bundle.ts';
import { until } from '../_kit/until.ts';
import { Refusal, Wire } from '../_kit/wire.ts';

const staging = ({ layout }: TestAgent): Promise<string[]> => readdir(layout.staging);
const emptied = (agent: TestAgent): Promise<void> =>
  until(async () => expect(await staging(agent)).toEqual([]));

type Scene = { agent: TestAgent; wire: Wire; bundle: Bundle; params: BeginParams; open: Opened };

/** An agent with a live version, and the upload of another that has been opened. */
async function uploading(options: AgentOptions = {}, changes: Partial<BeginParams> = {}): Promise<Scene> {
  // The one that is impatient installs nothing: a busy machine may take longer than it waits.
  const first = await startTestAgent();
  const before = await packPlugin('lint', '1.0.0');
  await push(await Wire.start(first), beginOf('lint', before), before);
  await first.close();
  const agent = await startTestAgent({ ...options, root: first.layout.root });
  const wire = await Wire.start(agent);
  const bundle = await packPlugin('lint', '2.0.0', 2_500_000);
  const params = beginOf('lint', bundle, changes);
  const open: Opened = await wire.request('install.begin', params);
  return { agent, wire, bundle, params, open };
}

/** What the commit is refused with. */
const refusedOf = async (wire: Wire, { operationId }: BeginParams): Promise<Refusal['data']> =>
  (await wire.refusal('install.commit', { operationId })).data;

const liveOf = ({ layout }: TestAgent): Promise<Record<string, string>> => treeOf(layout.live('lint'));

describe('a connection that is cut in the middle of an upload', () => {
  it('is taken up by another at the acknowledged byte', async () => {
    const { agent, wire, bundle, params, open } = await uploading();
    await sendUpTo(wire, open, bundle.bytes, 1_500_000);
    await wire.until(() => takenOf(wire, open) === 1_500_000);
    await wire.vanish();
    const next = await Wire.start(agent);
    const again: Opened = await next.request('install.begin', params);
    expect(again).toMatchObject({ status: 'open', offset: 1_500_000 });
    await sendUpTo(next, again, bundle.bytes);
    const { operationId } = params;
    const answer: Installed = await next.request('install.commit', { operationId });
    expect(answer).toMatchObject({ status: 'installed', pluginVersion: '2.0.0' });
    expect(await next.request('plugin.verify', { plugin: 'lint' })).toMatchObject({ verdict: 'intact' });
  });

  it('is taken over also while it still lives, and has no say any more', async () => {
    const { agent, wire, bundle, params, open } = await uploading();
    await sendUpTo(wire, open, bundle.bytes, 100_000);
    await wire.until(() => takenOf(wire, open) === 100_000);
    const next = await Wire.start(agent);
    const again: Opened = await next.request('install.begin', params);
    wire.frame(open.stream, 100_000, Buffer.alloc(50_000, 'a lie'));
    await wire.request('plugin.list');
    await sendUpTo(next, again, bundle.bytes);
    const { operationId } = params;
    expect(await next.request('install.commit', { operationId })).toMatchObject({ status: 'installed' });
    // Whoever began it may ask for the answer as well.
    expect(await wire.request('install.commit', { operationId })).toMatchObject({ pluginVersion: '2.0.0' });
  });

  it('begins at the first byte again after the agent was restarted', async () => {
    const { agent, wire, bundle, params, open } = await uploading();
    await sendUpTo(wire, open, bundle.bytes, 500_000);
    await agent.close();
    const restarted = await startTestAgent({ root: agent.layout.root });
    const next = await Wire.start(restarted);
    expect((await refusedOf(next, params)).code).toBe('NOT_FOUND');
    expect(await next.request('install.begin', params)).toMatchObject({ status: 'open', offset: 0 });
  });

  it('and does not come back is given up, and nothing is left of the upload', async () => {
    const { agent, wire, bundle, params, open } = await uploading({ timeouts: { resume: 100 } });
    const before = await liveOf(agent);
    // Whoever comes too late does not hear of it.
    const next = await Wire.start(agent);
    await sendUpTo(wire, open, bundle.bytes, 500_000);
    await wire.vanish();
    expect((await next.event('install.failed')).data).toMatchObject({
      operationId: params.operationId,
      error: { code: 'DEADLINE', executed: 'no' },
    });
    await emptied(agent);
    expect(await liveOf(agent)).toEqual(before);
    expect(await push(next, params, bundle)).toMatchObject({ status: 'installed' });
  });

  it('during the install changes nothing: the answer waits for whoever asks', async () => {
    const { agent, wire, bundle, params, open } = await uploading();
    await sendUpTo(wire, open, bundle.bytes);
    const { operationId } = params;
    wire.ask('install.commit', { operationId });
    // Asked on another connection as soon as the agent has begun to work on the commit.
    await wire.event('install.staged', { operationId });
    await wire.vanish();
    const next = await Wire.start(agent);
    const answer = await next.request('install.commit', { operationId });
    expect(answer).toMatchObject({ status: 'installed', pluginVersion: '2.0.0' });
    expect(await next.request('install.begin', params)).toEqual(answer);
    await agent.close();
    const later = await Wire.start(await startTestAgent({ root: agent.layout.root }));
    expect(await later.request('install.commit', { operationId })).toEqual(answer);
    expect(await later.request('install.begin', params)).toEqual(answer);
    const other = await later.refusal('install.begin', { ...params, plugin: 'other' });
    expect(other.data.code).toBe('CONFLICT');
  });
});

describe('a sender that breaks the rules', () => {
  it.each<[string, string, (wire: Wire, open: Opened, bytes: Buffer) => void]>([
    [
      'sends beyond the limit',
      'INVALID_PARAMS',
      (wire, { stream }, bytes) => {
        // All at once, faster than any window can come: the credit ends within.
        for (let at = 0; at < WIRE.windowBytes * 2; at += 65_536) {
          wire.frame(stream, at, bytes.subarray(at, at + 65_536));
        }
      },
    ],
    ['leaves a gap', 'INVALID_PARAMS', (wire, { stream }) => wire.frame(stream, 1, Buffer.from('x'))],
    [
      'sends a byte twice',
      'INVALID_PARAMS',
      (wire, { stream }, bytes) => {
        wire.frame(stream, 0, bytes.subarray(0, 10));
        wire.frame(stream, 9, bytes.subarray(9, 20));
      },
    ],
    [
      'goes on after its FIN',
      'INVALID_PARAMS',
      (wire, { stream }, bytes) => {
        wire.frame(stream, 0, bytes.subarray(0, 10), true);
        wire.frame(stream, 10, bytes.subarray(10, 20));
      },
    ],
  ])('and %s is reset, refused at the commit and leaves nothing', async (_, code, lie) => {
    const { agent, wire, bundle, params, open } = await uploading();
    const before = await liveOf(agent);
    lie(wire, open, bundle.bytes);
    expect(await wire.notification('reset')).toMatchObject({ stream: open.stream, error: { code } });
    expect(await refusedOf(wire, params)).toMatchObject({ code, executed: 'no' });
    await emptied(agent);
    expect(await liveOf(agent)).toEqual(before);
    // The connection itself is none the worse for it.
    expect(await push(wire, params, bundle)).toMatchObject({ status: 'installed' });
  });

  it('and stops sending is reset after a while', async () => {
    const { agent, wire, bundle, params, open } = await uploading({ timeouts: { stall: 150 } });
    await sendUpTo(wire, open, bundle.bytes, 100_000);
    expect(await wire.notification('reset')).toMatchObject({ error: { code: 'DEADLINE' } });
    expect((await refusedOf(wire, params)).code).toBe('DEADLINE');
    await emptied(agent);
  });

  it('and takes longer than the deadline is reset, though bytes still come', async () => {
    // The time runs from the question on: the answer to it may take a while, too.
    const { agent, wire, bundle, params, open } = await uploading({ timeouts: { deadline: 5000 } });
    let offset = 0;
    const drip = setInterval(() => {
      wire.frame(open.stream, offset, bundle.bytes.subarray(offset, offset + 1));
      offset += 1;
    }, 20);
    expect(await wire.notification('reset')).toMatchObject({ error: { code: 'DEADLINE' } });
    clearInterval(drip);
    expect((await refusedOf(wire, params)).code).toBe('DEADLINE');
    await emptied(agent);
  });

  it('and aborts finds nothing left, and can begin again', async () => {
    const { agent, wire, bundle, params, open } = await uploading();
    await sendUpTo(wire, open, bundle.bytes, 600_000);
    const { operationId } = params;
    expect(await wire.request('install.abort', { operationId })).toEqual({ aborted: true });
    expect(await wire.request('install.abort', { operationId })).toEqual({ aborted: false });
    await emptied(agent);
    expect(await push(wire, params, bundle)).toMatchObject({ status: 'installed' });
    expect(await wire.request('install.abort', { operationId })).toEqual({ aborted: false });
  });

  it('and has no stream left for what it begins keeps neither a thread nor a slot', async () => {
    const agent = await startTestAgent();
    const wire = await Wire.start(agent);
    for (let i = 0; i <= LIST_MAX; i += 1) {
      await mkdir(agent.layout.live(`p${i}`));
    }
    for (let i = 0; i < WIRE.streamsInFlight; i += 1) {
      await wire.request('plugin.list', { all: true });
    }
    const bundle = await packPlugin('lint', '1.0.0');
    const params = beginOf('lint', bundle);
    expect((await wire.refusal('install.begin', params)).data.code).toBe('RATE_LIMITED');
    await emptied(agent);
    expect(await push(await Wire.start(agent), params, bundle)).toMatchObject({ status: 'installed' });
  });
});

describe('a thread that crashes', () => {
  it.each(['data', 'commit'])('at "%s" has changed nothing, and the next install works', async (at) => {
    const { agent, wire, bundle, params, open } = await uploading({}, { source: `crash:${at}` });
    const before = await liveOf(agent);
    const sent = sendUpTo(wire, open, bundle.bytes).catch(() => undefined);
    if (at === 'commit') {
      await sent;
      wire.ask('install.commit', { operationId: params.operationId });
    }
    expect(await wire.notification('reset')).toMatchObject({ error: { code: 'INTERNAL', executed: 'no' } });
    await emptied(agent);
    expect(await liveOf(agent)).toEqual(before);
    const { source, ...healthy } = params;
    expect(source).toContain('crash');
    expect(await push(wire, healthy, bundle)).toMatchObject({ status: 'installed' });
  });

  it('as the install begins says that nobody knows, and the next one settles it', async () => {
    const { agent, wire, bundle, params, open } = await uploading({}, { source: 'crash:install' });
    const before = await liveOf(agent);
    await sendUpTo(wire, open, bundle.bytes);
    expect(await refusedOf(wire, params)).toMatchObject({ code: 'INTERNAL', executed: 'maybe' });
    expect(await liveOf(agent)).toEqual(before);
    expect(await push(wire, beginOf('lint', bundle), bundle)).toMatchObject({ status: 'installed' });
  });

  it('after the answer leaves the install standing, with the receipt that proves it', async () => {
    const { agent, wire, bundle, params, open } = await uploading({}, { source: 'crash-after:installed' });
    await sendUpTo(wire, open, bundle.bytes);
    const { operationId } = params;
    const answer: Installed = await wire.request('install.commit', { operationId });
    // A twin begins only when the thread of the first is gone and what it left has been seen to.
    expect(await wire.request('install.begin', beginOf('lint', bundle))).toMatchObject({ status: 'present' });
    expect(existsSync(agent.layout.receipt('lint', answer.installId))).toBe(true);
    expect(await wire.request('plugin.verify', { plugin: 'lint' })).toMatchObject({ verdict: 'intact' });
  });
});

describe('an agent that ends in the middle of an upload', () => {
  it('says why, closes with 1001 and leaves nothing in staging', async () => {
    const { agent, wire, bundle, open } = await uploading();
    const before = await liveOf(agent);
    await sendUpTo(wire, open, bundle.bytes, 900_000);
    await agent.close();
    expect(await wire.closed).toEqual({ code: 1001, reason: 'draining' });
    const words = wire.events.slice(-2).map(({ type, data }) => [type, (data as { error?: object }).error]);
    expect(words).toEqual([
      ['draining', undefined],
      ['install.failed', expect.objectContaining({ code: 'DRAINING', retry: 'later', executed: 'no' })],
    ]);
    expect(wire.notifications('reset')).toMatchObject([{ stream: open.stream, error: { code: 'DRAINING' } }]);
    expect(await staging(agent)).toEqual([]);
    expect(await liveOf(agent)).toEqual(before);
  });

  it('finishes an install that has begun, and answers it', async () => {
    const { agent, wire, bundle, params, open } = await uploading();
    await sendUpTo(wire, open, bundle.bytes);
    const { operationId } = params;
    const id = wire.ask('install.commit', { operationId });
    await wire.event('install.progress', { operationId, step: 'swap' });
    const closing = agent.close();
    expect(await wire.answer(id)).toMatchObject({ status: 'installed', pluginVersion: '2.0.0' });
    await closing;
    expect(await staging(agent)).toEqual([]);
  });
});

describe('an agent that ends while a question is worked on', () => {
  // Was a bug: the answer was lost, and the log said that a thread had crashed.
  it('answers DRAINING before it closes the connection', async () => {
    const agent = await startTestAgent();
    const wire = await Wire.start(agent);
    const bundle = await packPlugin('lint', '1.0.0');
    await push(wire, beginOf('lint', bundle), bundle);
    // Of holes only: it takes no space, and minutes to read.
    await truncate(await fileIn(agent.layout.live('lint'), 'endless'), 64 * 2 ** 30);
    const verified = wire.ask('plugin.verify', { plugin: 'lint' });
    await wire.request('plugin.get', { plugin: 'lint' });
    await agent.close();
    const data = { code: 'DRAINING', retry: 'later', executed: 'maybe' };
    await expect(wire.answer(verified)).rejects.toMatchObject({ data });
    expect(await wire.closed).toEqual({ code: 1001, reason: 'draining' });
  });
});

async function fileIn(directory: string, name: string): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, '');
  return path;
}
