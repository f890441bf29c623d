/** The owner's restart command: run once for each burst of cold changes, and believed by its exit code alone. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';

import type { RestartStatus } from '../../shared/api/maintenance.ts';
import type { Log } from '../log.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Began } from './runtime-state.ts';

/** A burst is over after so long (milliseconds) without a change, and in any case after so long. */
const QUIET_MILLIS = 1000;
const BURST_MILLIS = 10_000;
/** A restart that cannot begin is tried again after so long (milliseconds), each time twice as long, up to the last. */
const AGAIN_MILLIS = { first: 1000, most: 60_000 };
/** What the command says is logged up to here, the end of it. */
const SAID_MAX = 4096;

export type RestartOptions = {
  /** For `/bin/sh -c`. */
  command: string;
  /** Milliseconds after which the command and all its children are killed. */
  timeout: number;
  env: Readonly<Record<string, string | undefined>>;
  clock: Clock;
  /** What is live just now; undefined, or a rejection: it cannot begin yet. */
  begin: () => Promise<Began | undefined>;
  /** A restart has ended well: what was live when it began is loaded. */
  loaded: (began: Began) => Promise<void>;
  /** A restart is over, well or not, and what it has loaded is noted. */
  ended?: () => void;
  log: Pick<Log, 'info' | 'error'>;
};

export class Restarter {
  readonly #options: RestartOptions;
  /** A change came after the last restart began. */
  #due = false;
  #first = 0;
  #cancel: (() => void) | undefined;
  #running: Promise<void> | undefined;
  /** The time (milliseconds) until the next try, while the last one could not begin. */
  #patience: number | undefined;
  #closed = false;
  #last: RestartStatus['last'] = null;

  constructor(options: RestartOptions) {
    this.#options = options;
  }

  /** Restarts soon; several that want it together get one. */
  want(): void {
    const { clock } = this.#options;
    if (!this.#due) {
      this.#first = clock.now();
    }
    this.#due = true;
    if (this.#running !== undefined || this.#closed) {
      return;
    }
    this.#cancel?.();
    const left = Math.max(0, this.#first + BURST_MILLIS - clock.now());
    this.#cancel = clock.after(Math.min(QUIET_MILLIS, left), () => this.#begin());
  }

  status(): RestartStatus {
    const waits = this.#due || this.#cancel !== undefined ? 'due' : 'idle';
    return { state: this.#running === undefined ? waits : 'running', last: this.#last };
  }

  /** Begins no more; what waits is begun by the next agent. Resolves when a command that runs has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel?.();
    await this.#running;
  }

  #begin(): void {
    this.#cancel = undefined;
    this.#due = false;
    this.#running = this.#run()
      .catch((error: unknown) => {
        this.#ended(false, error instanceof Error ? error.message : String(error));
        this.#options.log.error({ err: error }, 'restart failed');
      })
      .finally(() => {
        this.#options.ended?.();
        this.#running = undefined;
        if (this.#due) {
          this.want();
        } else if (this.#patience !== undefined) {
          this.#beginLater(this.#patience);
        }
      });
  }

  /** What was promised is not forgotten because the disk does not let a restart begin just now. */
  #beginLater(millis: number): void {
    if (!this.#closed) {
      this.#due = true;
      this.#first = this.#options.clock.now();
      this.#cancel = this.#options.clock.after(millis, () => this.#begin());
    }
  }

  async #mayBegin(): Promise<Began | undefined> {
    const before = this.#patience;
    try {
      const began = await this.#options.begin();
      if (began !== undefined) {
        this.#patience = undefined;
        return began;
      }
      this.#ended(false, 'it cannot begin: nobody could note that it does');
    } catch (error) {
      this.#ended(false, `it cannot begin: ${error instanceof Error ? error.message : String(error)}`);
      this.#options.log.error({ err: error }, 'a restart cannot begin');
    }
    this.#patience = before === undefined ? AGAIN_MILLIS.first : Math.min(before * 2, AGAIN_MILLIS.most);
    this.#options.log.error({ againMillis: this.#patience }, 'a restart is put off');
    return undefined;
  }

  async #run(): Promise<void> {
    const { loaded, log } = this.#options;
    const began = await this.#mayBegin();
    if (began === undefined) {
      return;
    }
    log.info('restart command begins');
    const { code, signal, timedOut, said } = await this.#execute();
    if (code !== 0) {
      const how = code === null ? `killed by ${signal ?? 'a signal'}` : `exit code ${code}`;
      this.#ended(false, timedOut ? `killed after ${this.#options.timeout / 1000} s` : how);
      log.error({ code, signal, timedOut, said }, 'restart command failed: the changes stay pending');
      return;
    }
    log.info({ said }, 'restart command ended');
    await loaded(began);
    this.#ended(true, 'exit code 0');
  }

  #ended(ok: boolean, how: string): void {
    this.#last = { endedAt: new Date(this.#options.clock.now()).toISOString(), ok, how };
  }

  async #execute(): Promise<{ code: number | null; signal: string | null; timedOut: boolean; said: string }> {
    const { command, timeout, env, clock } = this.#options;
    const child = spawn('/bin/sh', ['-c', command], {
      // A group of its own, to be killed as one; it outlives an agent that is shut down meanwhile.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...env },
    });
    // Heard from the first moment: where descriptors are used up it fails at once, and has no streams.
    const ended = once(child, 'exit') as Promise<[number | null, string | null]>;
    let said = '';
    const hear = (text: string): void => {
      said = (said + text).slice(-SAID_MAX);
    };
    for (const stream of [child.stdout, child.stderr] as (Socket | undefined)[]) {
      stream?.setEncoding('utf8').on('data', hear);
      // What the command leaves running may keep them open for good.
      stream?.unref();
    }
    child.unref();
    let timedOut = false;
    const cancel = clock.after(timeout, () => {
      timedOut = true;
      killGroup(child);
    });
    try {
      const [code, signal] = await ended;
      // What was said just before the end may not have been read yet.
      await new Promise((resolve) => setImmediate(resolve));
      return { code, signal, timedOut, said };
    } finally {
      cancel();
    }
  }
}

function killGroup({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) {
      process.kill(-pid, 'SIGKILL');
    }
  } catch {
    // It has just ended by itself.
  }
}
