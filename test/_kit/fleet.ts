/** A fleet: many agents in a few processes, and the platform to which they dial out, a process of its own. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { build } from 'esbuild';
import { expect, onTestFinished, vi } from 'vitest';

import { packPlugin } from './bundle.ts';
import { memoryFolder } from './in-memory.ts';
import { repository } from './program.ts';

type Memory = { rss: number; peak: number; connected: number };
type Pushed = {
  said: Record<string, number>;
  faults: string[];
  cuts: number;
  installs: Record<string, string>;
};

const MIB = 1024 * 1024;
const env = { PATH: process.env['PATH'] ?? '' };
/** A thousand agents take minutes to start on a busy machine. */
const PATIENCE = { timeout: 1_200_000, interval: 200 };

/** The platform: an order, an answer. */
class FleetPlatform {
  readonly port: number;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;

  private constructor(child: ChildProcessWithoutNullStreams, lines: AsyncIterator<string>, port: number) {
    this.#child = child;
    this.#lines = lines;
    this.port = port;
  }

  static async start(port = 0): Promise<FleetPlatform> {
    const file = fileURLToPath(new URL('fleet-platform.mjs', import.meta.url));
    const child = spawn(process.execPath, ['--expose-gc', file, String(port)], { env });
    child.stderr.pipe(process.stderr);
    onTestFinished(() => void child.kill('SIGKILL'));
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    const { value } = (await lines.next()) as { value: string };
    return new FleetPlatform(child, lines, (JSON.parse(value) as { port: number }).port);
  }

  /** Gives an order, one at a time. */
  async #order<T>(order: string, more: object = {}): Promise<T> {
    this.#child.stdin.write(`${JSON.stringify({ order, ...more })}\n`);
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error('The platform has ended');
    return JSON.parse(value) as T;
  }

  memory = (): Promise<Memory> => this.#order('memory');
  events = (): Promise<Record<string, number>> => this.#order('events');
  push = (file: string, cutEach: number): Promise<Pushed> =>
    this.#order('push', { file, cutEach, concurrency: 16 });

  async kill(): Promise<void> {
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exit;
  }
}

/** Builds the process with the agents, and their engine thread, where they find the libraries that they load by name. */
async function buildFleet(): Promise<{ fleet: string; thread: string }> {
  const cache = join(repository, 'node_modules', '.cache');
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, 'airlock-fleet-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const shim =
    "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);";
  await build({
    entryPoints: {
      fleet: fileURLToPath(new URL('fleet-process.ts', import.meta.url)),
      thread: fileURLToPath(new URL('worker-entry.ts', import.meta.url)),
    },
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20.19',
    external: ['koffi'],
    banner: { js: shim },
    logLevel: 'warning',
  });
  return { fleet: join(folder, 'fleet.mjs'), thread: join(folder, 'thread.mjs') };
}

async function scratchRoot(): Promise<string> {
  // A thousand roots are made faster in memory, and nothing here is about durability.
  const folder = await mkdtemp(join(memoryFolder(), 'airlock-fleet-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }));
  return folder;
}

export type FleetOptions = {
  agents: number;
  /** They share so many processes. */
  processes: number;
  /** A connection is cut after so many frames were sent. */
  cutEach: number;
  /** Receives what was measured, as soon as it is. */
  tell?: (figure: string) => void;
};

/**
 * Lets a fleet dial in, pushes a plugin to all while connections are cut, and kills the platform.
 *
 * @returns how many connections were cut, and the most memory that the platform took, in bytes.
 */
export async function runFleet({
  agents,
  processes,
  cutEach,
  tell = () => undefined,
}: FleetOptions): Promise<{ cuts: number; peak: number }> {
  const folder = await scratchRoot();
  const file = join(folder, 'lint.tgz');
  await writeFile(file, (await packPlugin('lint', '1.0.0', 150_000)).bytes);
  const { fleet, thread } = await buildFleet();
  const platform = await FleetPlatform.start();
  const workspaces = Array.from({ length: agents }, (_, i) => `w${i}`);
  const mib = ({ rss, peak: most }: Memory): string =>
    `${Math.round(rss / MIB)} MiB, at most ${Math.round(most / MIB)} MiB`;
  const seconds = (millis: number): string => `${(millis / 1000).toFixed(1)} s`;
  tell(`the platform without agents: ${mib(await platform.memory())}`);
  const ended: Promise<never>[] = [];
  const allAreHere = async (at: FleetPlatform): Promise<number> => {
    const began = performance.now();
    await Promise.race([
      vi.waitFor(async () => expect((await at.memory()).connected).toBe(agents), PATIENCE),
      ...ended,
    ]);
    return performance.now() - began;
  };
  const url = `ws://127.0.0.1:${platform.port}`;
  for (let i = 0; i < processes; i += 1) {
    const own = workspaces.filter((_, n) => n % processes === i);
    const words = [fleet, url, folder, pathToFileURL(thread).href, ...own];
    const child = spawn(process.execPath, words, { env, stdio: ['ignore', 'ignore', 'inherit'] });
    const exit = once(child, 'exit');
    onTestFinished(async () => {
      child.kill('SIGKILL');
      await exit;
    });
    ended.push(
      exit.then(([code, signal]) => Promise.reject(new Error(`Agents ended: ${String(code ?? signal)}`))),
    );
  }
  // Nobody looks any more when they are ended at the end.
  for (const end of ended) end.catch(() => undefined);
  tell(`${agents} agents started and connected: ${seconds(await allAreHere(platform))}`);
  tell(`the platform with them: ${mib(await platform.memory())}`);

  const began = performance.now();
  const { said, faults, cuts, installs } = await platform.push(file, cutEach);
  tell(`a push to all: ${seconds(performance.now() - began)}, ${cuts} connections cut`);
  expect({ said, faults }).toEqual({ said: { installed: agents }, faults: [] });
  // What was told is on the disk, in each root, and each install was told by one event.
  for (const workspace of workspaces) {
    await access(join(folder, workspace, 'lint', '.complete'));
    await access(join(folder, workspace, '.receipts', `lint.${installs[workspace]}.json`));
  }
  await allAreHere(platform);
  await vi.waitFor(async () => expect(await platform.events()).toEqual({ 1: agents }), PATIENCE);

  const memory = await platform.memory();
  tell(`the platform after it: ${mib(memory)}`);

  await platform.kill();
  const next = await FleetPlatform.start(platform.port);
  tell(`all connected again after the platform was killed: ${seconds(await allAreHere(next))}`);
  return { cuts, peak: memory.peak };
}
