/** Another process that takes a lock, by the code of the agent, and keeps it until it is told or killed. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { build } from 'esbuild';
import { onTestFinished } from 'vitest';

import { repository } from './program.ts';

const HOLDER = `
import { processIdentity } from './agent/disk/identity.ts';
import { createLocks } from './agent/disk/lock.ts';
const [, , directory, kind, name] = process.argv;
const calls = kind === 'record' ? 'the test wants records' : undefined;
const release = await (await createLocks(directory, processIdentity(), calls)).take(name);
console.log(release === undefined ? 'refused' : 'taken');
process.stdin.once('data', async () => {
  await release?.();
  console.log('released');
});
`;

/** Builds the holder into a directory. @returns its file */
export async function buildHolder(directory: string): Promise<string> {
  const outfile = join(directory, 'holder.mjs');
  await build({
    stdin: { contents: HOLDER, resolveDir: repository, loader: 'ts' },
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20.19',
    logLevel: 'warning',
  });
  return outfile;
}

export class LockHolder {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;

  private constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  /** Starts it; it ends with the test at the latest. @returns also whether it got the lock. */
  static async start(
    file: string,
    directory: string,
    kind: 'flock' | 'record',
    name: string,
  ): Promise<{ holder: LockHolder; said: string }> {
    // The built file lies outside the repository, and koffi is looked for by name.
    const env = { PATH: process.env['PATH'] ?? '', NODE_PATH: join(repository, 'node_modules') };
    const child = spawn(process.execPath, [file, directory, kind, name], { env });
    onTestFinished(() => void child.kill('SIGKILL'));
    const holder = new LockHolder(child);
    return { holder, said: await holder.#line() };
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async release(): Promise<string> {
    this.#child.stdin.write('now\n');
    return this.#line();
  }

  /** As `kill -9` does; when it resolves the process is gone. */
  async kill(): Promise<void> {
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exit;
  }

  async #line(): Promise<string> {
    const { value } = (await this.#lines.next()) as { value: string | undefined };
    return value ?? '(it ended)';
  }
}
