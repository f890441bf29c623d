/** The built program as people run it: real processes, a scratch directory, nothing left behind. */
import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { inject } from 'vitest';

import { run } from '../../cli/run.ts';
import { startTestAgent } from './agent.ts';

/** The repository's own directory. */
export const repository = fileURLToPath(new URL('../..', import.meta.url));
export const examplePlugin = join(repository, 'examples/plugins/house-rules');
export const program = join(repository, 'dist/airlock.mjs');

/** Where an agent listens. */
export const addressOf = ({ url }: Program): { host: string; port: number } => ({
  host: '127.0.0.1',
  port: Number(new URL(url).port),
});

export type Ended = { code: number | null; stdout: string; stderr: string };
type Env = Record<string, string>;

/** What a process says, and how it ends. */
export async function endOf(child: ChildProcessWithoutNullStreams): Promise<Ended> {
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

/**
 * Runs a command in this process: one of its own says the same, and costs a quarter of a second.
 *
 * @param terminal what its output is said to be.
 * @returns also all that it says, in the order in which it says it.
 */
export async function runHere(
  words: readonly string[],
  env: Env,
  terminal = {},
  signal = new AbortController().signal,
): Promise<Ended & { text: string }> {
  const said = { stdout: '', stderr: '', text: '' };
  const into = (stream: 'stdout' | 'stderr') => ({
    write: (text: string) => {
      said[stream] += text;
      said.text += text;
    },
  });
  const code = await run({
    words: [...words],
    env,
    out: { ...terminal, ...into('stdout') },
    error: into('stderr'),
    version: '0',
    self: new URL(inject('workerFile')),
    signal,
  });
  return { ...said, code };
}

/** A scratch directory with an agent on its `root`, as far as a test starts one. */
export class Program {
  readonly token = randomBytes(32).toString('base64url');
  readonly #children = new Set<ChildProcess>();
  /** Ends the agent in this process, while there is one. */
  #endHere: (() => Promise<void>) | undefined;
  folder = '';
  /** The file that is run. */
  program: string;
  /** Who runs it, where that is not the user of the test. */
  as: { uid: number; gid: number } | undefined;
  url = '';
  agent: ChildProcess | undefined;
  /** What the agent has logged, line by line. */
  readonly log: Record<string, unknown>[] = [];

  private constructor(file: string) {
    this.program = file;
  }

  /** @param file another program than the built one. @param parent where the scratch directory is made. */
  static async open(file = program, parent = tmpdir()): Promise<Program> {
    const made = new Program(file);
    made.folder = await mkdtemp(join(parent, 'airlock-test-'));
    return made;
  }

  get root(): string {
    return join(this.folder, 'root');
  }

  /**
   * Starts the agent and waits until it listens.
   *
   * @param under a command that runs it, and becomes it.
   */
  async serve(env: Env = {}, under: readonly string[] = []): Promise<void> {
    const own = { AIRLOCK_TOKEN: this.token, AIRLOCK_ROOT: this.root, AIRLOCK_LISTEN: '127.0.0.1:0' };
    const child = this.#spawn(['agent'], { ...own, ...env }, under);
    this.agent = child;
    const lines = createInterface({ input: child.stdout });
    this.url = await new Promise((resolve, reject) => {
      lines.on('line', (line) => {
        const entry = JSON.parse(line) as Record<string, unknown>;
        this.log.push(entry);
        if (entry['msg'] === 'listening') resolve(`ws://127.0.0.1:${String(entry['port'])}`);
      });
      child.once('exit', (code) => reject(new Error(`The agent ended with code ${code}`)));
    });
  }

  /**
   * Starts an agent in this process, where the test is not about its process: it answers the same and costs a third. As a
   * process where only that is the same.
   */
  async serveHere(env: Env = {}): Promise<void> {
    if (this.#isAnother()) return this.serve(env);
    const { host, port } = await startTestAgent({
      root: this.root,
      token: this.token,
      env,
      whenDone: (end) => {
        this.#endHere = end;
      },
    });
    this.url = `ws://${host}:${port}`;
  }

  /** Runs a command in this process, with the agent's token; as a process where only that says the same. */
  here(words: readonly string[], env: Env = {}): Promise<Ended> {
    if (this.#isAnother()) return this.run(words, env);
    return runHere(words, { AIRLOCK_TOKEN: this.token, ...env });
  }

  /** Runs a command as a process, to its end; with the agent's token, unless `env` says otherwise. */
  run(words: readonly string[], env: Env = {}, input = ''): Promise<Ended> {
    const child = this.start(words, env);
    child.stdin.end(input);
    return endOf(child);
  }

  /** Starts a command as {@link run} does, and does not wait; it is killed when this is closed. */
  start(words: readonly string[], env: Env = {}): ChildProcessWithoutNullStreams {
    return this.#spawn(words, { AIRLOCK_TOKEN: this.token, ...env });
  }

  /** Runs a command against the agent as {@link here} does, and reads the JSON that it prints. */
  async json(words: readonly string[]): Promise<unknown> {
    const ended = await this.here([...words, '--to', this.url, '--json']);
    if (ended.code !== 0) throw new Error(`"${words.join(' ')}" ended with ${ended.code}: ${ended.stderr}`);
    return JSON.parse(ended.stdout);
  }

  /** Ends the agent in order. @returns the exit code of its process, if it has one. */
  async stop(): Promise<number | null> {
    await this.#endHere?.();
    this.#endHere = undefined;
    const child = this.agent;
    if (child === undefined || child.exitCode !== null) return child?.exitCode ?? null;
    const exit = once(child, 'exit') as Promise<[number | null]>;
    child.kill('SIGTERM');
    return (await exit)[0];
  }

  /** Ends the agent at once, as `kill -9` does. */
  async kill(): Promise<void> {
    const child = this.agent;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
  }

  /** A killed process is gone only a moment later: until then it may still write, and keep a mount busy. */
  async close(): Promise<void> {
    await this.#endHere?.();
    const gone = [...this.#children].map((child) => once(child, 'exit'));
    for (const child of this.#children) child.kill('SIGKILL');
    await Promise.all(gone);
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Whether what runs is not what this process would be. */
  #isAnother(): boolean {
    return this.program !== program || this.as !== undefined;
  }

  #spawn(words: readonly string[], env: Env, under: readonly string[] = []): ChildProcessWithoutNullStreams {
    const [command = '', ...rest] = [...under, process.execPath, this.program, ...words];
    const child = spawn(command, rest, {
      cwd: this.folder,
      env: { PATH: process.env['PATH'] ?? '', ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
      ...this.as,
    });
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return child;
  }
}
