/**
 * What an install costs where it is no time: system calls a file, memory that is allocated a file, messages between threads,
 * bytes of the program. What a file costs is the difference between a small and a larger plugin. A number that rises is a
 * decision: who raises it says in docs/performance.md what it buys.
 */
import { once } from 'node:events';
import { mkdir, readFile, readdir, stat, writeFile } from 'node:fs/promises';
import type { HeapProfiler } from 'node:inspector';
import { Session } from 'node:inspector/promises';
import { dirname, join } from 'node:path';
import { Worker } from 'node:worker_threads';

import { expect, it, onTestFinished, vi } from 'vitest';

import { packPlugin } from '../_kit/bundle.ts';
import { bundleOf, deliver, makeRoom } from '../_kit/install-room.ts';
import { Program, program } from '../_kit/program.ts';
import { needStrace } from '../_kit/strace.ts';
import { until } from '../_kit/until.ts';

const [FEW, MANY] = [200, 1200];

/** Texts of 1,000 bytes, 40 a directory. */
const textsOf = (count: number): Record<string, string> =>
  Object.fromEntries(
    Array.from({ length: count }, (_, n) => [
      `data/${Math.floor(n / 40)}/${n}.txt`,
      `${n}`.padEnd(1000, '.'),
    ]),
  );

/** How often an agent calls each system call, from its start to its end, with one install of so many files. */
async function callsOf(files: number): Promise<ReadonlyMap<string, number>> {
  const place = await Program.open();
  onTestFinished(() => place.close());
  const source = join(place.folder, 'lint');
  const content = { 'plugin.yaml': 'name: lint\nversion: 1.0.0\n', ...textsOf(files) };
  for (const [path, text] of Object.entries(content)) {
    await mkdir(dirname(join(source, path)), { recursive: true });
    await writeFile(join(source, path), text);
  }
  const log = join(place.folder, 'calls');
  await place.serve({}, ['strace', '-D', '-f', '-qq', '-c', '-o', log]);
  const { agent } = place;
  if (agent === undefined) throw new Error('There is no agent');
  const pushed = await place.here(['push', source, '--to', place.url]);
  expect(pushed).toMatchObject({ code: 0 });
  const ended = once(agent, 'exit');
  agent.kill('SIGTERM');
  await ended;
  // It is written when all threads have ended.
  const text = await until(async () => {
    const written = await readFile(log, 'utf8');
    expect(written).toContain('total');
    return written;
  });
  const lines = text.matchAll(/^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$/gm);
  return new Map([...lines].map(([, count, name = '']) => [name, Number(count)]));
}

/** Calls a file. Names differ between machines, so those that do the same are added. */
const BUDGET_OF_CALLS: Record<string, { names: string[]; most: number }> = {
  'opens (the file; its directory for the list and the watch)': { names: ['open', 'openat'], most: 1.3 },
  writes: { names: ['write', 'pwrite64', 'writev'], most: 1.2 },
  closes: { names: ['close'], most: 1.3 },
  'looks at its stats (when it is read back)': {
    names: ['stat', 'lstat', 'fstat', 'newfstatat', 'statx'],
    most: 1.3,
  },
  reads: { names: ['read', 'pread64', 'readv'], most: 0.6 },
  syncs: { names: ['fsync', 'fdatasync', 'syncfs'], most: 0.02 },
  'renames, removals': {
    names: ['rename', 'renameat', 'renameat2', 'unlink', 'unlinkat', 'rmdir'],
    most: 0.02,
  },
};

it('asks the system for so many calls a file', async (ctx) => {
  needStrace(ctx);
  const [few, many] = [await callsOf(FEW), await callsOf(MANY)];
  const said: string[] = [];
  const beyond: string[] = [];
  for (const [what, { names, most }] of Object.entries(BUDGET_OF_CALLS)) {
    const sum = (calls: ReadonlyMap<string, number>): number =>
      names.reduce((total, name) => total + (calls.get(name) ?? 0), 0);
    const each = (sum(many) - sum(few)) / (MANY - FEW);
    said.push(`${what}: ${each.toFixed(3)}`);
    if (each > most) beyond.push(`${what}: ${each.toFixed(3)}, the budget is ${most}`);
  }
  console.log(said.join('\n'));
  expect(few.size).toBeGreaterThan(10);
  expect(beyond).toEqual([]);
});

const sizeOf = ({ selfSize, children }: HeapProfiler.SamplingHeapProfileNode): number =>
  children.reduce((sum, child) => sum + sizeOf(child), selfSize);

/** The bytes of objects that an install allocates, as V8 samples them. What its buffers hold is not counted. */
async function allocatedBy(files: number): Promise<number> {
  const room = makeRoom({ maxEntries: 10_000, maxUnpacked: 100_000_000 });
  const bytes = bundleOf(textsOf(files));
  const session = new Session();
  session.connect();
  try {
    await session.post('HeapProfiler.startSampling', {
      samplingInterval: 1024,
      includeObjectsCollectedByMajorGC: true,
      includeObjectsCollectedByMinorGC: true,
    });
    await deliver(room, bytes);
    const { profile } = await session.post('HeapProfiler.stopSampling');
    return sizeOf(profile.head);
  } finally {
    session.disconnect();
  }
}

it('allocates so much memory a file', async () => {
  // The first one compiles what the others run.
  await allocatedBy(FEW);
  const each = ((await allocatedBy(MANY)) - (await allocatedBy(FEW))) / (MANY - FEW);
  console.log(`${each.toFixed(0)} bytes of objects a file`);
  expect(each).toBeGreaterThan(500);
  expect(each).toBeLessThan(12_500);
});

it('sends so many messages between its threads', async () => {
  const place = await Program.open();
  onTestFinished(() => place.close());
  await place.serveHere();
  const { bytes } = await packPlugin('lint', '1.0.0', 4 * 1024 * 1024);
  const file = join(place.folder, 'lint.tgz');
  await writeFile(file, bytes);
  const sent = vi.spyOn(Worker.prototype, 'postMessage');
  const heard = vi.spyOn(Worker.prototype, 'emit');
  onTestFinished(() => void vi.restoreAllMocks());
  const pushed = await place.here(['push', file, '--to', place.url]);
  expect(pushed).toMatchObject({ code: 0 });
  const frames = Math.ceil(bytes.length / (64 * 1024));
  const said = heard.mock.calls.filter(([event]) => event === 'message').length;
  console.log(`${frames} frames: ${sent.mock.calls.length} messages to threads, ${said} from them`);
  expect(sent.mock.calls.length).toBeGreaterThan(3);
  // Several frames travel together. What begins and ends an install, tells its steps and looks at the new version comes on top.
  expect(sent.mock.calls.length).toBeLessThan(frames / 2 + 20);
  expect(said).toBeLessThan(frames / 2 + 40);
});

it('has a program of so many bytes', async () => {
  const parts = join(dirname(program), 'airlock');
  const files = [program, ...(await readdir(parts)).map((name) => join(parts, name))];
  const sizes = await Promise.all(files.map(async (path) => (await stat(path)).size));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  console.log(`${files.length} files, ${total} bytes`);
  expect(total).toBeGreaterThan(500_000);
  expect(total).toBeLessThan(2_200_000);
});
