// What the demo stands on: a scratch directory, child processes that never outlive it, and how its story is printed.
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { styleText } from 'node:util';

export const repository = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const bundle = path.join(repository, 'dist', 'airlock.mjs');
const colour = process.stdout.isTTY && !process.env['NO_COLOR'];
/** @param {Parameters<typeof styleText>[0]} style @param {string} text */
const paint = (style, text) => (colour ? styleText(style, text) : text);

/** @typedef {{code: number | null, stdout: string, stderr: string, millis: number}} Ended */

export class Stage {
  /** @type {Set<import('node:child_process').ChildProcess>} */
  #children = new Set();
  #steps = 0;
  /** The scratch directory. */
  folder = '';

  async open() {
    this.folder = await mkdtemp(path.join(os.tmpdir(), 'airlock-demo-'));
  }

  /** Ends what is still running and removes the scratch directory. May be called twice. */
  async close() {
    await Promise.all(
      [...this.#children].map(
        (child) =>
          new Promise((resolve) => {
            child.once('close', resolve);
            child.kill('SIGKILL');
          }),
      ),
    );
    if (this.folder !== '') await rm(this.folder, { recursive: true, force: true });
  }

  /**
   * Starts Node on a file.
   * @param {readonly string[]} args @param {NodeJS.ProcessEnv} env
   */
  start(args, env) {
    const started = performance.now();
    const child = spawn(process.execPath, args, { cwd: this.folder, env, stdio: ['pipe', 'pipe', 'pipe'] });
    this.#children.add(child);
    const ended = { stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text) => (ended.stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text) => (ended.stderr += text));
    /** @type {Promise<Ended>} */
    const end = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => {
        this.#children.delete(child);
        resolve({ ...ended, code, millis: performance.now() - started });
      });
    });
    return { child, end };
  }

  /**
   * Runs one `airlock` command to its end. What the person's own environment says about an agent does not count.
   * @param {readonly string[]} args @param {NodeJS.ProcessEnv} [env]
   */
  airlock(args, env = {}) {
    const { child, end } = this.start([bundle, ...args], { ...cleanEnvironment(), ...env });
    child.stdin.end();
    return end;
  }

  /**
   * Starts the agent and waits until it listens.
   * @param {NodeJS.ProcessEnv} env
   */
  async agent(env) {
    const started = performance.now();
    const { child, end } = this.start([bundle, 'agent'], { ...cleanEnvironment(), ...env });
    const listening = (async () => {
      for await (const line of createInterface(child.stdout)) {
        const { msg, host, port } = JSON.parse(line);
        if (msg === 'listening') return { url: `ws://${host}:${port}`, millis: performance.now() - started };
      }
      throw new Error(`The agent ended before it listened:\n${(await end).stderr}`);
    })();
    return { child, end, ...(await listening) };
  }

  /**
   * Starts the runtime of the examples on a root. `until` gives the next of its lines that is looked for.
   * @param {string} root
   */
  async runtime(root) {
    const script = path.join(repository, 'examples', 'runtime', 'runtime.mjs');
    const { child, end } = this.start([script, root], cleanEnvironment());
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    const until = async (isIt) => {
      for (let line = await lines.next(); line.done !== true; line = await lines.next()) {
        const event = JSON.parse(line.value);
        if (isIt(event)) return event;
      }
      throw new Error(`The runtime ended early:\n${(await end).stderr}`);
    };
    return { child, end, until };
  }

  title(text) {
    this.say(paint('bold', text));
  }

  /** @param {string} text what happens now */
  step(text) {
    this.#steps += 1;
    this.say(`\n${paint('bold', `${this.#steps}. ${text}`)}`);
  }

  /** @param {string} text what a person would type */
  command(text) {
    this.say(`   ${paint('cyan', `$ ${text}`)}`);
  }

  /** @param {string} text what came out @param {number} [millis] how long it took */
  result(text, millis) {
    const time =
      millis === undefined
        ? ''
        : paint('dim', `  (${millis < 10 ? millis.toFixed(1) : Math.round(millis)} ms)`);
    this.say(`   ${text}${time}`);
  }

  good(text, millis) {
    this.result(paint('green', text), millis);
  }

  bad(text, millis) {
    this.result(paint('yellow', text), millis);
  }

  say(text) {
    process.stdout.write(`${text}\n`);
  }
}

const cleanEnvironment = () =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('AIRLOCK_')));

/**
 * The demo promises what it prints.
 * @param {unknown} kept @param {string} promise @param {unknown} [found]
 */
export function promised(kept, promise, found) {
  if (kept) return;
  const instead = typeof found === 'string' ? found.trim() : JSON.stringify(found, null, 2);
  throw new Error(
    `Not as promised: ${promise}${found === undefined ? '' : `. What came instead:\n${instead}`}`,
  );
}
