/** Engine threads: started when needed, each for one task at a time, ended when idle. A crash fails only one task. */
import { Worker } from 'node:worker_threads';

import { Fault } from '../../shared/api/fault.ts';
import { type Deferred, deferred } from './deferred.ts';
import type { EngineData, Envelope, FromEngine, ToEngine } from './messages.ts';

/** The messages that a task gets from its thread. `crash` is the last one. */
export type Listener = { message: (message: FromEngine) => void; crash: (fault: Fault) => void };

/** A thread that is leased to one task. It is returned when it sends `done`. */
export type Engine = {
  say(message: ToEngine, transfer?: ArrayBuffer[]): void;
  /** Returns it before any message was sent to it. */
  release(): void;
};

export type PoolOptions = {
  /** The module that runs the engine when it is started as a thread. */
  file: URL;
  data: EngineData;
  /** The most threads at once. Further tasks wait. */
  max: number;
  /** A thread that is idle for so long (milliseconds) is ended. */
  idleMillis: number;
};

/**
 * Memory for new objects of a thread. What an install unpacks is garbage at once, and V8 counts it by the bytes behind it: with
 * more room for new objects it collects all objects many times an install instead, which takes a fifth of its processor time.
 */
const YOUNG_MEGABYTES = 12;

const draining = (executed: 'no' | 'maybe'): Fault =>
  new Fault('DRAINING', 'The agent is shutting down', { hint: 'Ask again when it is back', executed });

function crashed(cause: unknown): Fault {
  const why = cause instanceof Error ? cause.message : String(cause);
  const hint = 'Look at the log of the agent; the next operation gets a fresh thread';
  return new Fault('INTERNAL', `An engine thread crashed: ${why}`, { cause, hint, executed: 'maybe' });
}

type Thread = {
  worker: Worker;
  task: number;
  listener: Listener | undefined;
  idle: NodeJS.Timeout | undefined;
  /** Resolves when it has removed the trees that its task has left; undefined: it removes none. */
  removing: Deferred<void> | undefined;
};

export class Pool {
  readonly #options: PoolOptions;
  readonly #threads = new Set<Thread>();
  readonly #waiting: Deferred<Thread>[] = [];
  #closed = false;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** The number of tasks that have a thread, and of those that wait for one. */
  get usage(): { busy: number; waiting: number } {
    const busy = [...this.#threads].filter(({ idle }) => idle === undefined).length;
    return { busy, waiting: this.#waiting.length };
  }

  /** Starts a thread before its first task, if there is none. */
  warm(): void {
    if (this.#threads.size === 0 && !this.#closed) {
      this.#rest(this.#start());
    }
  }

  /**
   * Leases a thread to a task.
   *
   * @throws Fault DRAINING after {@link close}, also to tasks that wait then
   */
  async lease(listener: Listener): Promise<Engine> {
    if (this.#closed) {
      throw draining('no');
    }
    const thread = await this.#free();
    thread.listener = listener;
    thread.task += 1;
    const { task } = thread;
    return {
      say: (message, transfer) => {
        if (thread.listener === listener) {
          thread.worker.postMessage({ task, message } satisfies Envelope<ToEngine>, transfer);
        }
      },
      release: () => {
        if (thread.listener === listener) {
          thread.listener = undefined;
          this.#rest(thread);
        }
      },
    };
  }

  /** Whether a thread is removing trees, after its task. */
  get isRemoving(): boolean {
    return [...this.#threads].some(({ removing }) => removing !== undefined);
  }

  /** Waits until no thread is removing trees. */
  async removed(): Promise<void> {
    await Promise.all([...this.#threads].flatMap(({ removing }) => removing?.promise ?? []));
  }

  /** Ends all threads. Their tasks fail with DRAINING. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const waiting of this.#waiting.splice(0)) {
      waiting.reject(draining('no'));
    }
    await Promise.all([...this.#threads].map(({ worker }) => worker.terminate()));
  }

  #free(): Promise<Thread> {
    const idle = [...this.#threads].find((thread) => thread.idle !== undefined);
    if (idle !== undefined) {
      // Marked as taken at once: another task in the same tick must not find it idle.
      clearTimeout(idle.idle);
      idle.idle = undefined;
      idle.worker.ref();
      return Promise.resolve(idle);
    }
    if (this.#threads.size < this.#options.max) {
      return Promise.resolve(this.#start());
    }
    const turn = deferred<Thread>();
    this.#waiting.push(turn);
    return turn.promise;
  }

  #start(): Thread {
    // The environment is not passed on: it may hold a token, and the engine does not need it.
    const worker = new Worker(this.#options.file, {
      workerData: this.#options.data,
      env: {},
      argv: [],
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MEGABYTES },
    });
    const thread: Thread = { worker, task: 0, listener: undefined, idle: undefined, removing: undefined };
    this.#threads.add(thread);
    worker.on('message', ({ task, message }: Envelope<FromEngine>) => {
      const { listener } = thread;
      if (task !== thread.task || listener === undefined) {
        return;
      }
      if (message.kind === 'tidied') {
        thread.removing = deferred();
      }
      if (message.kind === 'done') {
        thread.listener = undefined;
        thread.removing?.resolve();
        thread.removing = undefined;
        this.#rest(thread);
      }
      listener.message(message);
    });
    worker.on('error', (error) => this.#lost(thread, error));
    worker.on('exit', (code) => this.#lost(thread, new Error(`The thread ended with code ${code}`)));
    return thread;
  }

  #lost(thread: Thread, cause: unknown): void {
    const { listener } = thread;
    clearTimeout(thread.idle);
    thread.listener = undefined;
    thread.removing?.resolve();
    if (!this.#threads.delete(thread)) {
      return;
    }
    listener?.crash(this.#closed ? draining('maybe') : crashed(cause));
    const next = this.#closed ? undefined : this.#waiting.shift();
    next?.resolve(this.#start());
  }

  #rest(thread: Thread): void {
    if (this.#closed) {
      // It is being ended. With unref the process could end before the caller of close has its answer.
      return;
    }
    const next = this.#waiting.shift();
    if (next !== undefined) {
      next.resolve(thread);
      return;
    }
    thread.worker.unref();
    thread.idle = setTimeout(() => {
      this.#threads.delete(thread);
      thread.worker.terminate().catch(() => undefined);
    }, this.#options.idleMillis);
    thread.idle.unref();
  }
}
