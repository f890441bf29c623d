/** The pool over real threads, each of which does what the name of the plugin says. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';

import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';

import { WorkerClient } from '../../agent/worker/client.ts';
import { deferred } from '../../agent/worker/deferred.ts';
import { type Engine, Pool } from '../../agent/worker/pool.ts';
import { ENGINE, type FromEngine, type ToEngine } from '../../agent/worker/messages.ts';
import type { Fault } from '../../shared/api/fault.ts';
import { pluginSchema } from '../../shared/api/plugin.ts';
import { faultOf } from '../_kit/scene.ts';

const THREAD = `
import { parentPort, threadId, workerData } from 'node:worker_threads';
const last = { task: 0 };
parentPort.on('message', ({ task, message }) => {
  const say = (message, as = task) => parentPort.postMessage({ task: as, message });
  const plugin = message.params.plugin;
  switch (plugin) {
    case 'hang': break;
    case 'crash': throw new Error('boom');
    case 'exit': process.exit(3);
    case 'spin': for (;;);
    case 'remove':
      // It goes on removing until it gets another message, which the pool sends to the same task.
      if (last.task === task) { say({ kind: 'done' }); break; }
      say({ kind: 'answer', answer: {} });
      say({ kind: 'tidied' });
      break;
    case 'stale':
      // Of an earlier task, of none, and of one that is still to come.
      for (const other of [last.task, 0, task + 1]) {
        if (other !== task) { say({ kind: 'answer', answer: { name: 'stale' } }, other); say({ kind: 'done' }, other); }
      }
      // fall through
    default: {
      const facts = { name: plugin, status: 'admitted', detail: String(threadId),
        hint: JSON.stringify([Object.keys(process.env), workerData.root]) };
      say({ kind: 'answer', answer: facts });
      say({ kind: 'done' });
    }
  }
  last.task = task;
});
`;

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'airlock-pool-'));
  await writeFile(join(directory, 'thread.mjs'), THREAD);
});
afterAll(() => rm(directory, { recursive: true, force: true }));

function makePool(max: number, idleMillis = 60_000): Pool {
  const policy = { maxPacked: 1 } as never;
  const owner = { bootId: 'b', pidNamespace: '1', pid: 1, startTime: '1' };
  const file = pathToFileURL(join(directory, 'thread.mjs'));
  const pool = new Pool({
    file,
    data: { kind: ENGINE, root: '/r', loadedDir: undefined, policy, owner, durability: 'full' },
    max,
    idleMillis,
  });
  onTestFinished(() => pool.close());
  return pool;
}

const get = (plugin: string): ToEngine => ({ kind: 'call', name: 'plugin.get', params: { plugin }, by: '' });

type Task = { engine: Engine; heard: FromEngine[]; done: Promise<void>; crashed: Promise<Fault> };

async function lease(pool: Pool, plugin?: string): Promise<Task> {
  const heard: FromEngine[] = [];
  const [done, crashed] = [deferred<void>(), deferred<Fault>()];
  const engine = await pool.lease({
    message: (message) => {
      heard.push(message);
      if (message.kind === 'done') {
        done.resolve();
      }
    },
    crash: crashed.resolve,
  });
  if (plugin !== undefined) {
    engine.say(get(plugin));
  }
  return { engine, heard, done: done.promise, crashed: crashed.promise };
}

/** The id of the thread that answered. */
async function threadOf(task: Task): Promise<string> {
  await task.done;
  const got = task.heard.find((message) => message.kind === 'answer');
  return pluginSchema.safeParse(got?.answer).data?.detail ?? 'none';
}

/** Whether a promise is still open after a moment. */
const isOpen = async (promise: Promise<unknown>): Promise<boolean> =>
  Promise.race([promise.then(() => false), sleep(50).then(() => true)]);

describe('a pool of threads', () => {
  it('gives one thread to one task after another', async () => {
    const pool = makePool(4);
    const first = await threadOf(await lease(pool, 'a'));
    expect(await threadOf(await lease(pool, 'b'))).toBe(first);
  });

  it('gives a thread of its own to each task at once, up to the most', async () => {
    const pool = makePool(2);
    const [a, b] = await Promise.all([lease(pool), lease(pool)]);
    const third = lease(pool);
    expect(await isOpen(third)).toBe(true);
    a.engine.say(get('a'));
    b.engine.say(get('b'));
    const [ofA, ofB] = await Promise.all([threadOf(a), threadOf(b)]);
    expect(ofA).not.toBe(ofB);
    const task = await third;
    task.engine.say(get('c'));
    expect([ofA, ofB]).toContain(await threadOf(task));
  });

  it('gives a thread that rests to one of two who ask at the same moment', async () => {
    const pool = makePool(2);
    const rested = await threadOf(await lease(pool, 'a'));
    const both = await Promise.all((await Promise.all([lease(pool, 'b'), lease(pool, 'c')])).map(threadOf));
    expect(both[0]).toBe(rested);
    expect(both[1]).not.toBe(rested);
  });

  it('lets those who wait have their turn in the order in which they came', async () => {
    const pool = makePool(1);
    const first = await lease(pool);
    const order: number[] = [];
    const rest = [1, 2, 3].map(async (n) => {
      const task = await lease(pool);
      order.push(n);
      task.engine.release();
    });
    first.engine.release();
    await Promise.all(rest);
    expect(order).toEqual([1, 2, 3]);
  });

  it('takes a thread back that was never told anything', async () => {
    const pool = makePool(1);
    const task = await lease(pool);
    task.engine.release();
    task.engine.release();
    expect(await threadOf(await lease(pool, 'a'))).not.toBe('none');
  });

  it('does not hear who speaks to a thread that is no longer theirs', async () => {
    const pool = makePool(1);
    const first = await lease(pool, 'a');
    await first.done;
    const second = await lease(pool);
    first.engine.say(get('crash'));
    first.engine.release();
    second.engine.say(get('b'));
    await second.done;
    expect(second.heard).toMatchObject([{ kind: 'answer', answer: { name: 'b' } }, { kind: 'done' }]);
    expect(first.heard).toHaveLength(2);
  });

  it('takes what a thread says of another task for nothing', async () => {
    const pool = makePool(1);
    await (
      await lease(pool, 'a')
    ).done;
    const task = await lease(pool, 'stale');
    await task.done;
    expect(task.heard).toMatchObject([
      { kind: 'answer', answer: { name: 'stale', detail: expect.any(String) } },
      {},
    ]);
    const next = await lease(pool, 'b');
    await next.done;
    expect(next.heard).toMatchObject([{ answer: { name: 'b' } }, { kind: 'done' }]);
  });

  it('ends a thread that had nothing to do for long, and starts another when there is something', async () => {
    const pool = makePool(1, 20);
    const first = await threadOf(await lease(pool, 'a'));
    await sleep(200);
    expect(await threadOf(await lease(pool, 'b'))).not.toBe(first);
  });

  it('does not end a thread that works, however long it takes', async () => {
    const pool = makePool(1, 20);
    const first = await threadOf(await lease(pool, 'a'));
    const task = await lease(pool);
    await sleep(200);
    task.engine.say(get('b'));
    expect(await threadOf(task)).toBe(first);
  });

  it('starts one ahead, once, and gives that to the first task', async () => {
    const pool = makePool(1);
    pool.warm();
    pool.warm();
    expect(await threadOf(await lease(pool, 'a'))).not.toBe('none');
  });

  it('keeps the environment, which may hold a token, out of the threads', async () => {
    const task = await lease(makePool(1), 'a');
    await task.done;
    expect(task.heard[0]).toMatchObject({ answer: { hint: '[[],"/r"]' } });
  });
});

describe('a thread that removes trees after its task', () => {
  it('is not free, and is waited for', async () => {
    const pool = makePool(1);
    const task = await lease(pool, 'remove');
    await vi.waitFor(() => expect(task.heard.map(({ kind }) => kind)).toEqual(['answer', 'tidied']));
    expect(pool.isRemoving).toBe(true);
    const next = lease(pool, 'a');
    const removed = pool.removed();
    expect([await isOpen(next), await isOpen(removed)]).toEqual([true, true]);
    task.engine.say(get('remove'));
    await removed;
    expect(pool.isRemoving).toBe(false);
    expect(await threadOf(await next)).not.toBe('none');
  });

  it('holds nobody up who waits for the end of the operation', async () => {
    const pool = makePool(1);
    const client = new WorkerClient(pool, { tell: () => undefined, complain: () => undefined });
    await client.ask('plugin.get', { plugin: 'remove' }, '').over;
    expect(pool.isRemoving).toBe(true);
  });

  it('is waited for no more when it is lost', async () => {
    const pool = makePool(1);
    const task = await lease(pool, 'remove');
    await vi.waitFor(() => expect(pool.isRemoving).toBe(true));
    const removed = pool.removed();
    task.engine.say(get('crash'));
    await removed;
    await task.crashed;
    expect(pool.isRemoving).toBe(false);
  });
});

describe('a thread that crashes', () => {
  it.each(['crash', 'exit'])('by "%s" fails its task alone', async (how) => {
    const pool = makePool(2);
    const [bystander, task] = await Promise.all([lease(pool), lease(pool)]);
    task.engine.say(get(how));
    const fault = await task.crashed;
    expect([fault.code, fault.executed]).toEqual(['INTERNAL', 'maybe']);
    expect(fault.message).toContain(how === 'crash' ? 'boom' : 'code 3');
    bystander.engine.say(get('a'));
    expect(await threadOf(bystander)).not.toBe('none');
    expect(await isOpen(bystander.crashed)).toBe(true);
  });

  it('leaves its place to a fresh one, also for those who wait already', async () => {
    const pool = makePool(1);
    const task = await lease(pool);
    const waiting = lease(pool, 'a');
    task.engine.say(get('crash'));
    await task.crashed;
    expect(await threadOf(await waiting)).not.toBe('none');
    expect(await threadOf(await lease(pool, 'b'))).not.toBe('none');
  });

  it('tells its task so once, and nothing afterwards', async () => {
    const pool = makePool(1);
    let crashes = 0;
    const first = deferred<void>();
    const engine = await pool.lease({
      message: () => undefined,
      crash: () => {
        crashes += 1;
        first.resolve();
      },
    });
    engine.say(get('crash'));
    await first.promise;
    engine.say(get('a'));
    engine.release();
    await threadOf(await lease(pool, 'b'));
    expect(crashes).toBe(1);
  });

  it('fails a question with the crash instead of leaving it open', async () => {
    const worker = new WorkerClient(makePool(1), { tell: () => undefined, complain: () => undefined });
    expect((await faultOf(worker.call('plugin.get', { plugin: 'crash' }))).code).toBe('INTERNAL');
    expect(await worker.call('plugin.get', { plugin: 'a' })).toMatchObject({ name: 'a' });
  });
});

describe('the end of a pool', () => {
  it('cuts short what its threads do, also one that never returns', async () => {
    const pool = makePool(2);
    const [hanging, spinning] = [await lease(pool, 'hang'), await lease(pool, 'spin')];
    await pool.close();
    for (const { crashed } of [hanging, spinning]) {
      const { code, executed, message } = await crashed;
      expect([code, executed, message]).toEqual(['DRAINING', 'maybe', 'The agent is shutting down']);
    }
  });

  it('refuses who asks afterwards, and those who wait for their turn', async () => {
    const pool = makePool(1);
    await lease(pool, 'hang');
    const waiting = lease(pool);
    waiting.catch(() => undefined);
    await pool.close();
    expect((await faultOf(waiting)).code).toBe('DRAINING');
    expect((await faultOf(lease(pool))).code).toBe('DRAINING');
    pool.warm();
    await pool.close();
  });
});

describe('a pool that is closed while a task ends', () => {
  // Was a bug: the thread was let go of as an idle one, and a command ended before it with exit code 13.
  it('keeps the process alive until its threads have ended', async () => {
    const pool = makePool(1);
    const unref = vi.spyOn(Worker.prototype, 'unref');
    onTestFinished(() => unref.mockRestore());
    const said: string[] = [];
    const closed = deferred<void>();
    const engine = await pool.lease({
      message: ({ kind }) => {
        said.push(kind);
        if (kind === 'answer') pool.close().then(closed.resolve, closed.reject);
      },
      crash: () => said.push('crash'),
    });
    engine.say(get('lint'));
    await closed.promise;
    expect(said).toContain('answer');
    expect(unref).not.toHaveBeenCalled();
  });
});
