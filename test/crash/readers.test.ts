/** Readers in processes of their own while real updates follow each other as fast as the engine makes them. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { expect, it, onTestFinished } from 'vitest';

import { linuxCalls } from '../../agent/disk/linux.ts';
import { nodeDisk } from '../../agent/disk/node-disk.ts';
import type { Disk } from '../../agent/disk/port.ts';
import { canaryBroke, promisesHeld } from '../_kit/family.ts';
import { memoryFolder } from '../_kit/in-memory.ts';
import { type Room, bundleOf, deliver, makeRoom } from '../_kit/install-room.ts';
import { repository } from '../_kit/program.ts';

const READERS = 2;
/** As of `nice`: a lower share of the processor than the updates have. */
const READER_PRIORITY = 5;
const MINUTES = 900_000;
/** More than are ever live or kept at a time, so that a mixture shows. */
const VERSIONS = 16;
/** The agent looks through a thousand answers that it remembers, which takes as long as an install: a test forgets. */
const FORGET_EVERY = 250;

/**
 * Killed processes are not the subject: what was written is seen by all, synced or not. And the readers are as those of
 * another pid namespace, of which the agent cannot tell what they hold open: it collects what they read.
 */
const quick = {
  syncAll: undefined,
  canSyncAll: () => false,
  sync: () => undefined,
  isHeldOpen: () => false,
};
const exchanging: Disk = { ...nodeDisk, ...quick };
const renaming: Disk = { ...nodeDisk, ...quick, exchange: undefined };

type Seen = Record<
  | 'gates'
  | 'waits'
  | 'longestGate'
  | 'reads'
  | 'again'
  | 'gaveUp'
  | 'plain'
  | 'plainAbsent'
  | 'careless'
  | 'carelessMissing'
  | 'generations',
  number
> & { broken: string[]; torn: string[] };

/** Eight files, each of which names the version. */
function versionOf(index: number): Buffer {
  const version = `1.0.${index}`;
  const paths = ['rules/a.md', 'rules/b.md', 'skills/one/SKILL.md', 'skills/two/SKILL.md', 'a.md', 'b.md'];
  const files = Object.fromEntries(paths.map((path) => [path, `# Of version ${version}\n`]));
  return bundleOf({ ...files, 'run.sh': `# Of version ${version}\n` }, version);
}

function scratch(): string {
  const directory = mkdtempSync(join(memoryFolder(), 'airlock-readers-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

type Running = { child: ChildProcess; end: () => Promise<Seen> };

/** Starts a reader, and returns when it reads. */
async function startReader(root: string): Promise<Running> {
  const script = fileURLToPath(new URL('reader.mjs', import.meta.url));
  const loader = pathToFileURL(join(repository, 'dist/loader.mjs')).href;
  const child = spawn(process.execPath, [script, loader, root, 'lint'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  // They never pause, so without this the updates get only what they leave over.
  if (child.pid !== undefined) setPriority(child.pid, READER_PRIORITY);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  expect(await lines.next()).toMatchObject({ value: 'ready' });
  return {
    child,
    end: async () => {
      const exit = once(child, 'exit');
      child.stdin.end();
      const { value } = (await lines.next()) as { value: string | undefined };
      await exit;
      return JSON.parse(value ?? 'null') as Seen;
    },
  };
}

async function forget({ context, layout }: Room): Promise<void> {
  const records = context.disk.list(layout.operations);
  await Promise.all(records.map(({ name }) => rm(join(layout.operations, name))));
}

/** Updates the plugin so many times while the readers read; what they saw together. */
async function watchUpdates(disk: Disk, updates: number): Promise<{ seen: Seen; rate: number }> {
  const room = makeRoom({}, disk, join(scratch(), 'plugins'));
  const bundles = Array.from({ length: VERSIONS }, (_, index) => versionOf(index));
  const install = async (index: number): Promise<void> => {
    const answer = await deliver(room, bundles[index % VERSIONS] ?? Buffer.alloc(0));
    expect(answer.status).toBe('installed');
    room.events.length = 0;
    if (index % FORGET_EVERY === 0) await forget(room);
  };
  await install(0);
  const readers = await Promise.all(Array.from({ length: READERS }, () => startReader(room.layout.root)));
  const begun = performance.now();
  for (let index = 1; index <= updates; index++) await install(index);
  const rate = (updates / (performance.now() - begun)) * 1000;
  const each = await Promise.all(readers.map(({ end }) => end()));
  expect(room.complaints).toEqual([]);
  const sum = (key: Exclude<keyof Seen, 'broken' | 'torn'>): number =>
    each.reduce((total, one) => total + one[key], 0);
  const seen = {
    gates: sum('gates'),
    waits: sum('waits'),
    longestGate: Math.max(...each.map(({ longestGate }) => longestGate)),
    reads: sum('reads'),
    again: sum('again'),
    gaveUp: sum('gaveUp'),
    plain: sum('plain'),
    plainAbsent: sum('plainAbsent'),
    careless: sum('careless'),
    carelessMissing: sum('carelessMissing'),
    generations: sum('generations'),
    broken: each.flatMap(({ broken }) => broken),
    torn: each.flatMap(({ torn }) => torn),
  };
  return { seen, rate };
}

function print(how: string, updates: number, { seen, rate }: { seen: Seen; rate: number }): void {
  const { gates, waits, longestGate, reads, again, gaveUp, generations } = seen;
  const { plain, plainAbsent, careless, carelessMissing, torn } = seen;
  process.stdout.write(
    `${updates} updates by ${how} at ${rate.toFixed(0)}/s, ${READERS} readers saw ${Math.round(generations / READERS)} versions each: ` +
      `gate asked ${gates} times, paused ${waits} times, at most ${longestGate.toFixed(0)} ms; ` +
      `read ${reads} times, ${again} runs again, ${gaveUp} given up; ` +
      `plain look ${plain} times, ${plainAbsent} absent; careless read ${careless} times, ${torn.length} torn, ${carelessMissing} missed a file\n`,
  );
}

it(
  '10,000 updates by exchange: never refused, never absent, never torn',
  { timeout: MINUTES },
  async (ctx) => {
    const calls = linuxCalls();
    if (typeof calls === 'string') ctx.skip(`no exchange: ${calls}`);
    const updates = 10_000;
    const result = await watchUpdates(exchanging, updates);
    print('exchange', updates, result);
    const { seen } = result;
    const absent = Array.from({ length: seen.plainAbsent }, () => 'a plain look found nothing');
    promisesHeld(ctx, 'g', seen.gates + seen.reads + seen.plain, [...seen.broken, ...absent]);
    expect(seen.waits).toBe(0);
    canaryBroke(ctx, 'g', 'loader.read', seen.careless, seen.torn);
  },
);

it(
  '2,000 updates by renames: the gate waits, and is never refused; what is read is never torn',
  { timeout: MINUTES },
  async (ctx) => {
    const updates = 2000;
    const result = await watchUpdates(renaming, updates);
    print('renames', updates, result);
    const { seen } = result;
    promisesHeld(ctx, 'g', seen.gates + seen.reads, seen.broken);
    canaryBroke(ctx, 'g', 'loader.read', seen.careless, seen.torn);
  },
);
