// Running other programs, and undoing what was done: the two things that every part of this test needs.
import { spawn } from 'node:child_process';

/** @typedef {{code: number | null, stdout: string, stderr: string, seconds: number}} Ended */

/**
 * Runs a program to its end. Never throws: one that cannot be started ends with code 127.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{env?: NodeJS.ProcessEnv, cwd?: string, seconds?: number}} [options] `seconds`: then it is killed (60)
 * @returns {Promise<Ended>} with code null if a signal ended it
 */
export function run(command, args, { env = process.env, cwd, seconds = 60 } = {}) {
  const started = performance.now();
  return new Promise((resolve) => {
    const child = spawn(command, args, { env, cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    const out = { stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text) => (out.stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text) => (out.stderr += text));
    const timer = setTimeout(() => {
      out.stderr += `\n"${command} ${args[0] ?? ''}" was ended: it took longer than ${seconds} s`;
      child.kill('SIGKILL');
    }, seconds * 1000);
    const end = (/** @type {number | null} */ code) => {
      clearTimeout(timer);
      resolve({ code, ...out, seconds: (performance.now() - started) / 1000 });
    };
    child.on('error', (error) => {
      out.stderr += error.message;
      end(127);
    });
    child.on('close', end);
  });
}

/** The last lines of what a program said, for an error sentence. @param {Ended} ended */
export function lastWords({ stdout, stderr }, lines = 8) {
  return `${stdout}\n${stderr}`.trim().split('\n').slice(-lines).join('\n');
}

/** @param {number} millis */
export const sleep = (millis) => new Promise((resolve) => setTimeout(resolve, millis));

/**
 * Asks until there is an answer.
 *
 * @template T
 * @param {() => Promise<T | undefined>} ask
 * @param {number} seconds after which it gives up
 * @returns {Promise<T | undefined>}
 */
export async function until(ask, seconds) {
  const end = performance.now() + seconds * 1000;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined || performance.now() > end) return answer;
    await sleep(200);
  }
}

/** What must be undone at the end, newest first, whatever happens: on success, failure, Ctrl-C and SIGTERM. */
export class Undo {
  /** @type {{what: string, how: () => unknown}[]} */
  #steps = [];
  /** @type {Promise<void> | undefined} */
  #running;

  /** @param {string} what @param {() => unknown} how */
  add(what, how) {
    this.#steps.push({ what, how });
  }

  /** Whether the end has begun: nothing new may be made. */
  get begun() {
    return this.#running !== undefined;
  }

  /** Undoes everything, once; a step that fails is said and does not keep the others from being tried. */
  all() {
    this.#running ??= this.#all();
    return this.#running;
  }

  async #all() {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step.how();
      } catch (error) {
        process.stderr.write(
          `Could not ${step.what}: ${error instanceof Error ? error.message : String(error)}\n`,
        );
      }
    }
  }

  /** From now on a signal undoes everything, then ends the process with the code that a shell expects. */
  onSignals() {
    for (const [signal, code] of /** @type {const} */ ([
      ['SIGINT', 130],
      ['SIGTERM', 143],
      ['SIGHUP', 129],
    ])) {
      process.once(signal, () => {
        process.stderr.write(`\n${signal}: cleaning up\n`);
        void this.all().then(() => process.exit(code));
      });
    }
  }
}
