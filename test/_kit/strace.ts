/**
 * A running agent under strace: every call that changes the disk is written down, and at one of them the process is
 * killed, or the call fails. Only the threads beside the main one are traced: installs are theirs.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { createInterface } from 'node:readline';

import type { TestContext } from 'vitest';

/** What changes a disk, under the names that it has on one machine or another. */
const CALLS =
  'rename renameat renameat2 mkdir mkdirat open openat write pwrite64 writev fsync fdatasync syncfs unlink unlinkat ' +
  'rmdir chown fchown lchown fchownat chmod fchmod fchmodat truncate ftruncate symlink symlinkat link linkat';

/** The n-th call of a name in a thread; a thread counts each name on its own. */
export type Point = { call: string; nth: number };
/** A call as it was seen: the whole line, with the paths that file descriptors stand for. */
export type Call = Point & { text: string };

const QUICK = { encoding: 'utf8', timeout: 30_000 } as const;
/** So many seconds strace has to attach: few, and more where the machine has much else to do. */
const ATTACH_SECONDS = [1, 4, 16];

/** Why nothing can be traced here, in a sentence; undefined if it can. */
function whyNoStrace(): string | undefined {
  if (process.platform !== 'linux') return 'strace is for Linux';
  const version = spawnSync('strace', ['--version'], QUICK);
  if (version.error !== undefined || version.status !== 0) return 'there is no strace';
  // Attaching is what is needed, and more than running something under it: ptrace may be kept to children.
  const sleeper = spawn('sleep', ['60'], { stdio: 'ignore' });
  try {
    let why = '';
    for (const seconds of ATTACH_SECONDS) {
      const words = ['-s', 'INT', String(seconds), 'strace', '-p', String(sleeper.pid)];
      why = spawnSync('timeout', words, QUICK).stderr;
      if (why.includes('attached')) return undefined;
    }
    return `strace may not trace: ${why.trim()}`;
  } finally {
    sleeper.kill('SIGKILL');
  }
}

function wordsFor(log: string, at: Point | undefined, what: string): string[] {
  const words = ['-y', '-s', '8', '-o', log, '-e', `trace=${CALLS.replaceAll(/^| /g, ',?').slice(1)}`];
  return at === undefined ? words : [...words, '-e', `inject=${at.call}:${what}:when=${at.nth}`];
}

/** The command under which a process is killed as one of its threads comes to a call, from its start on. */
export const killedAt = (log: string, at: Point): string[] =>
  ['strace', '-D', '-f', '-qq'].concat(wordsFor(log, at, 'signal=SIGKILL'));

export class Tracer {
  readonly #strace: ChildProcess;
  readonly #log: string;
  readonly #at: Point | undefined;
  readonly #what: string;

  private constructor(strace: ChildProcess, log: string, at: Point | undefined, what: string) {
    this.#strace = strace;
    this.#log = log;
    this.#at = at;
    this.#what = what;
  }

  /**
   * Attaches to the threads that the process has now, beside its main one.
   *
   * @param log where the calls are written down.
   * @param at the call to which `what` happens: `signal=SIGKILL`, or `error=EIO` for one that fails.
   */
  static async attach(pid: number, log: string, at?: Point, what = 'signal=SIGKILL'): Promise<Tracer> {
    const threads = readdirSync(`/proc/${pid}/task`).filter((thread) => thread !== String(pid));
    const words = wordsFor(log, at, what);
    const strace = spawn('strace', [...words, ...threads.flatMap((thread) => ['-p', thread])], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    await new Promise<void>((resolve, reject) => {
      let attached = 0;
      let said = '';
      createInterface({ input: strace.stderr }).on('line', (line) => {
        said += `${line}\n`;
        // A thread that had nothing to do may end just now.
        attached += /Process \d+ attached|No such process/.test(line) ? 1 : 0;
        if (attached === threads.length) resolve();
      });
      strace.once('error', reject);
      strace.once('exit', (code) => reject(new Error(`strace ended with ${code}: ${said}`)));
    });
    return new Tracer(strace, log, at, what);
  }

  /** What has been called so far, in its order. */
  calls(): Call[] {
    const counts = new Map<string, number>();
    const text = existsSync(this.#log) ? readFileSync(this.#log, 'utf8') : '';
    const calls: Call[] = [];
    for (const line of text.split('\n')) {
      const [, thread = '', call] = /^(\d*) *([a-z]\w*)\(/.exec(line) ?? [];
      if (call === undefined) continue;
      const nth = (counts.get(thread + call) ?? 0) + 1;
      counts.set(thread + call, nth);
      calls.push({ call, nth, text: line });
    }
    return calls;
  }

  /**
   * The calls that were hit, if there are any yet: the last that a killed process made, or those that were made to fail, for
   * each thread comes to one of its own.
   */
  hits(): Call[] {
    const calls = this.calls();
    const { call, nth } = this.#at ?? {};
    if (this.#what.startsWith('error')) return calls.filter(({ text }) => text.includes('(INJECTED)'));
    return calls.slice(-1).filter((last) => last.call === call && last.nth === nth);
  }

  /** Lets the process go. */
  async detach(): Promise<void> {
    if (this.#strace.exitCode !== null || this.#strace.signalCode !== null) return;
    const exit = once(this.#strace, 'exit');
    this.#strace.kill('SIGINT');
    await exit;
  }
}

let why: { not: string | undefined } | undefined;

/** Skips a test where nothing can be traced, with the reason, unless whoever runs it says that it must run. */
export function needStrace({ skip }: Pick<TestContext, 'skip'>): void {
  why ??= { not: whyNoStrace() };
  if (why.not === undefined) return;
  if (process.env['AIRLOCK_REQUIRE_ROOT_TESTS'] === '1') throw new Error(why.not);
  skip(why.not);
}
