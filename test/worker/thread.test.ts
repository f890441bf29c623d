/** The engine thread itself, spoken to as the pool does it, and as it never would. */
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';

import { describe, expect, inject, it, onTestFinished } from 'vitest';

import { readAgentConfig } from '../../agent/config.ts';
import { ENGINE, type Envelope, type FromEngine, type ToEngine } from '../../agent/worker/messages.ts';
import { scratch } from '../_kit/agent.ts';
import { paramsOf } from '../_kit/engines.ts';
import { bundleOf, paramsOf as paramsFor } from '../_kit/install-room.ts';
import { until } from '../_kit/until.ts';

type Thread = { heard: Envelope<FromEngine>[]; say(task: number, message: ToEngine): void; staging: string };

async function startThread(): Promise<Thread> {
  const root = await scratch();
  for (const name of ['.staging', '.previous', '.receipts', '.state', '.operations']) {
    await mkdir(join(root, name));
  }
  const owner = { bootId: 'b', pidNamespace: '1', pid: 1, startTime: '1' };
  const { policy } = readAgentConfig({}, {});
  const workerData = { kind: ENGINE, root, policy, owner };
  const worker = new Worker(new URL(inject('workerFile')), { workerData });
  onTestFinished(async () => {
    await worker.terminate();
  });
  const heard: Envelope<FromEngine>[] = [];
  worker.on('message', (envelope: Envelope<FromEngine>) => heard.push(envelope));
  const say = (task: number, message: ToEngine): void => worker.postMessage({ task, message });
  return { heard, say, staging: join(root, '.staging') };
}

/** Waits until a task is over. @returns what was said, but the events, as `task:kind`. */
async function over({ heard }: Thread, task: number): Promise<string> {
  await until(() => expect(heard.some((one) => one.task === task && one.message.kind === 'done')).toBe(true));
  return heard
    .filter(({ message }) => message.kind !== 'event')
    .map((one) => `${one.task}:${one.message.kind}`)
    .join(' ');
}

const LIST: ToEngine = { kind: 'call', name: 'plugin.list', params: {}, by: '' };
const BYTES: ToEngine = { kind: 'data', bytes: new Uint8Array(10) };

describe('an engine thread', () => {
  it('says nothing to what belongs to a task that is over, or to none', async () => {
    const thread = await startThread();
    thread.say(1, LIST);
    for (const message of [{ kind: 'abort' }, { kind: 'commit' }, { kind: 'install' }, BYTES] as const) {
      thread.say(1, message);
    }
    thread.say(2, LIST);
    expect(await over(thread, 2)).toBe('1:answer 1:done 2:answer 2:done');
  });

  it('does not let an old task abort the next one', async () => {
    const thread = await startThread();
    thread.say(1, LIST);
    thread.say(2, { kind: 'begin', params: paramsOf(), by: 'test' });
    thread.say(1, { kind: 'abort' });
    thread.say(1, BYTES);
    thread.say(2, BYTES);
    thread.say(2, { kind: 'abort' });
    expect(await over(thread, 2)).toBe('1:answer 1:done 2:opened 2:taken 2:done');
  });

  it('works off what it is told in the order in which it was told, though writing takes time', async () => {
    const thread = await startThread();
    thread.say(1, { kind: 'begin', params: paramsOf(), by: 'test' });
    thread.say(1, BYTES);
    thread.say(1, BYTES);
    thread.say(1, { kind: 'commit' });
    // The commit fails: these bytes are no bundle. What was still to come belongs to nothing.
    thread.say(1, { kind: 'install' });
    expect(await over(thread, 1)).toBe('1:opened 1:taken 1:taken 1:failed 1:done');
    const failed = thread.heard.flatMap(({ message }) => (message.kind === 'failed' ? [message.fault] : []));
    expect(failed).toMatchObject([{ code: 'DIGEST_MISMATCH', executed: 'no' }]);
  });

  it('says when it needs no lock any more, and then removes the version that is too old', async () => {
    const thread = await startThread();
    const bytes = (version: string): Buffer => bundleOf({}, version);
    for (const [i, version] of ['1', '2', '3'].entries()) {
      const task = i + 1;
      const bundle = bytes(version);
      thread.say(task, { kind: 'begin', params: paramsFor(bundle), by: 'test' });
      thread.say(task, { kind: 'data', bytes: new Uint8Array(bundle) });
      thread.say(task, { kind: 'commit' });
      thread.say(task, { kind: 'install' });
      await over(thread, task);
    }
    const saidOf = (task: number): string[] =>
      thread.heard
        .filter((one) => one.task === task && one.message.kind !== 'event')
        .map(({ message }) => message.kind);
    expect(saidOf(2)).toEqual(['opened', 'taken', 'validated', 'installed', 'done']);
    expect(saidOf(3)).toEqual(['opened', 'taken', 'validated', 'installed', 'tidied', 'done']);
    expect(await readdir(join(thread.staging, '../.previous'))).toEqual([
      expect.stringMatching(/^lint\.[^.]+$/),
    ]);
  });

  it('fails a question that has no answer, and can be asked the next', async () => {
    const thread = await startThread();
    thread.say(1, { kind: 'call', name: 'plugin.verify', params: { plugin: 'nothing' }, by: '' });
    thread.say(2, LIST);
    expect(await over(thread, 2)).toBe('1:failed 1:done 2:answer 2:done');
  });
});
