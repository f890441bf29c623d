/**
 * Runs a method as its row says: a query in a thread; a change of a plugin in its lane, under its lock; a change of the
 * root once for each operation id.
 */
import { Fault, toFault } from '../../shared/api/fault.ts';
import {
  type MethodName,
  type MethodsOf,
  type Params,
  type Result,
  effectOf,
  methods,
} from '../../shared/api/methods.ts';
import type { Lanes } from '../../shared/lanes.ts';
import { truncate } from '../../shared/truncate.ts';
import type { WorkerClient } from '../worker/client.ts';
import { deferred } from '../worker/deferred.ts';
import type { Reply, ThreadMethod } from '../worker/handlers.ts';
import { type Failure, operationOf } from './failure-notes.ts';
import type { PluginLocks } from './plugin-locks.ts';

export type { Streamed } from '../worker/handlers.ts';

/** The methods that a service executes. A session starts itself, and an upload begins with a stream. */
export type Executable = Exclude<MethodName, 'session.start' | 'install.begin'>;
export type Executed<M extends Executable> = Reply<M>;

/** The methods that the main thread executes, with calls of its threads. Lists in their results are whole. */
export type OwnHandlers = {
  [M in Exclude<Executable, ThreadMethod>]: (
    params: Params<M>,
    by: string,
  ) => Promise<M extends MethodsOf<'download'> ? Reply<M> : Result<M>>;
};

type RootChange = MethodsOf<'changes-root'>;
type RootParams = Params<RootChange> & { operationId: string };
type Running = { plugin: string; operationId: string };

export type ExecutorOptions = {
  worker: Pick<WorkerClient, 'ask' | 'call'>;
  /** Other threads, for methods that may take long, so that they delay no list. */
  slow: Pick<WorkerClient, 'ask'>;
  pluginLocks: Pick<PluginLocks, 'hold'>;
  lanes: Lanes;
  own: OwnHandlers;
  /** Receives the failures of changes of plugins, for the history. */
  failed: (failed: Failure) => void;
  /** Receives failures that are not part of an answer. */
  complain: (fault: Fault, stack: string | undefined) => void;
};

export class Executor {
  readonly #options: ExecutorOptions;
  readonly #running = new Map<Promise<void>, Running>();
  /** Running changes of the root, by operation id. A repeated request waits for the same answer. */
  readonly #rootChanges = new Map<string, { question: string; answer: Promise<object> }>();
  #draining = false;

  constructor(options: ExecutorOptions) {
    this.#options = options;
  }

  /** The running changes of plugins. */
  get running(): Running[] {
    return [...this.#running.values()];
  }

  /**
   * Resolves with the answer. The house-keeping comes after it.
   *
   * @param by the label of the caller, for markers and logs.
   * @throws Fault of the method's row; DRAINING for a change while the agent shuts down.
   */
  async execute<M extends Executable>(method: M, params: Params<M>, by: string): Promise<Executed<M>> {
    // The name selects row, parameters and answer, which the compiler cannot derive from the tables.
    return this.#execute(method, params, by) as Promise<Executed<M>>;
  }

  /** Accepts no further change, and waits for the running changes of plugins, which take no longer than a few renames. */
  async drain(): Promise<void> {
    this.#draining = true;
    await Promise.all(this.#running.keys());
  }

  async #execute(method: Executable, params: unknown, by: string): Promise<unknown> {
    if (method === 'reconcile') {
      return this.#reconcile(params as Params<'reconcile'>, by);
    }
    if (isRootChange(method)) {
      return this.#rootChange(method, params as RootParams, by);
    }
    if (!isThreadMethod(method)) {
      const own = this.#options.own[method] as (params: unknown, by: string) => Promise<unknown>;
      return own(params, by);
    }
    if (effectOf(method, params) === 'query') {
      return this.#workerOf(method).ask(method, params as never, by).answer;
    }
    this.#refuseWhileDraining();
    return this.#pluginChange(
      method as MethodsOf<'changes-plugin'>,
      params as Params<MethodsOf<'changes-plugin'>>,
      by,
    );
  }

  /** An adoption hashes a tree more than once, and may run a command of the owner. */
  #workerOf(method: MethodName): Pick<WorkerClient, 'ask'> {
    const { worker, slow } = this.#options;
    return method === 'plugin.adopt' ? slow : worker;
  }

  #refuseWhileDraining(): void {
    if (this.#draining) {
      throw new Fault('DRAINING', 'The agent is shutting down', { hint: 'Connect again in a moment' });
    }
  }

  /** Lane and lock are held until the house-keeping after the answer is over. */
  #pluginChange(
    method: MethodsOf<'changes-plugin'>,
    params: Params<MethodsOf<'changes-plugin'>>,
    by: string,
  ): Promise<unknown> {
    const { pluginLocks, lanes, failed } = this.#options;
    const { plugin, operationId } = params;
    const answered = deferred<unknown>();
    const work = async (): Promise<void> => {
      const release = await pluginLocks.hold(plugin);
      try {
        await lanes.run(plugin, async () => {
          const { answer, over } = this.#workerOf(method).ask(method, params, by);
          answer.then(answered.resolve, (error: unknown) => {
            const fault = toFault(error, `Changing "${plugin}"`);
            answered.reject(fault);
            failed({ plugin, op: operationOf(method, params), operationId, by, fault });
          });
          await over;
        });
      } finally {
        await release();
      }
    };
    const running: Promise<void> = work()
      .catch((error: unknown) => answered.reject(toFault(error, `Changing "${plugin}"`)))
      .finally(() => this.#running.delete(running));
    this.#running.set(running, { plugin, operationId });
    return answered.promise;
  }

  /** A plan is a query. */
  async #reconcile({ all, ...asked }: Params<'reconcile'>, by: string): Promise<Reply<'reconcile'>> {
    const { mode, operationId } = asked;
    const { plugins } =
      mode === 'plan'
        ? await this.#options.own.reconcile(asked, by)
        : ((await this.#rootChange(
            'reconcile',
            { ...asked, operationId: needed(operationId) },
            by,
          )) as Result<'reconcile'>);
    const first = truncate(plugins.items);
    return {
      answer: { plugins: first },
      lines: all === true && first.items.length < first.total ? plugins.items : undefined,
    };
  }

  async #rootChange(method: RootChange, params: RootParams, by: string): Promise<object> {
    this.#refuseWhileDraining();
    const { operationId } = params;
    const question = JSON.stringify([method, params]);
    const under = this.#rootChanges.get(operationId);
    if (under !== undefined) {
      if (under.question !== question) {
        throw new Fault('CONFLICT', `The operation id "${operationId}" is in use with other parameters`, {
          hint: 'Use a fresh operation id for each new operation, and the same one only to ask again',
        });
      }
      return under.answer;
    }
    const answer = this.#once(method, params, by).finally(() => this.#rootChanges.delete(operationId));
    this.#rootChanges.set(operationId, { question, answer });
    return answer;
  }

  async #once(method: RootChange, params: RootParams, by: string): Promise<object> {
    const { worker, own, complain } = this.#options;
    const known = await worker.call('operations.recall', { method, params });
    if (known !== undefined) {
      return known;
    }
    const change = own[method] as (params: RootParams, by: string) => Promise<object>;
    const answer = await change(params, by);
    try {
      await worker.call('operations.remember', { method, params, answer });
    } catch (error) {
      complain(toFault(error, 'Remembering the answer'), undefined);
    }
    return answer;
  }
}

function needed(operationId: string | undefined): string {
  if (operationId === undefined) {
    throw new Fault('INVALID_PARAMS', 'A reconcile with the mode "apply" needs an operation id', {
      hint: 'Add an operationId, or ask for a plan',
    });
  }
  return operationId;
}

const isRootChange = (method: Executable): method is RootChange => methods[method].effect === 'changes-root';

const isThreadMethod = (method: Executable): method is ThreadMethod =>
  methods[method].effect === 'query' || methods[method].effect === 'changes-plugin';
