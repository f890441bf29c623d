/** Changes that need no bytes: a version comes back, a plugin goes. Each in its plugin's lane, under its lock. */
import { Fault, toFault } from '../../shared/api/fault.ts';
import type { Installed, RollbackParams, Uninstalled, UninstallParams } from '../../shared/api/methods.ts';
import type { Answer, Task } from '../worker/messages.ts';
import type { Ask } from '../worker/client.ts';
import { deferred } from '../worker/deferred.ts';
import type { PluginLocks } from './plugin-locks.ts';
import type { Lanes } from '../../shared/lanes.ts';

export class Changes {
  readonly #ask: Ask;
  readonly #pluginLocks: Pick<PluginLocks, 'hold'>;
  readonly #lanes: Lanes;
  readonly #running = new Map<Promise<void>, { plugin: string; operationId: string }>();
  #draining = false;

  constructor(ask: Ask, pluginLocks: Pick<PluginLocks, 'hold'>, lanes: Lanes) {
    this.#ask = ask;
    this.#pluginLocks = pluginLocks;
    this.#lanes = lanes;
  }

  /** @throws Fault NOT_FOUND, HELD, CONFLICT, LOCKED, DRAINING, SWAP_FAILED, ROLLBACK_FAILED … */
  async rollback(params: RollbackParams, by: string): Promise<Installed> {
    return (await this.#change(params, { kind: 'rollback', params, by }, 'rolled-back')).answer;
  }

  /** @throws Fault HELD, CONFLICT, LOCKED, DRAINING, SWAP_FAILED, ROLLBACK_FAILED … */
  async uninstall(params: UninstallParams, by: string): Promise<Uninstalled> {
    return (await this.#change(params, { kind: 'uninstall', params, by }, 'uninstalled')).answer;
  }

  /** What is under way. */
  get running(): { plugin: string; operationId: string }[] {
    return [...this.#running.values()];
  }

  /** Begins nothing more, and waits for what has begun: it takes no longer than a few renames. */
  async drain(): Promise<void> {
    this.#draining = true;
    await Promise.all(this.#running.keys());
  }

  /** Answers as soon as there is an answer; lane and lock are kept until the house-keeping after it is over. */
  async #change<K extends Answer['kind']>(
    { plugin, operationId }: { plugin: string; operationId: string },
    task: Task,
    kind: K,
  ): Promise<Answer & { kind: K }> {
    if (this.#draining) {
      throw new Fault('DRAINING', 'The agent is shutting down', { hint: 'Connect again in a moment' });
    }
    const answered = deferred<Answer & { kind: K }>();
    const work = async (): Promise<void> => {
      const release = await this.#pluginLocks.hold(plugin);
      try {
        await this.#lanes.run(plugin, async () => {
          const { answer, over } = this.#ask(task, kind);
          answer.then(answered.resolve, answered.reject);
          await over;
        });
      } finally {
        release();
      }
    };
    const running: Promise<void> = work()
      .catch((error: unknown) => answered.reject(toFault(error, `Changing "${plugin}"`)))
      .finally(() => this.#running.delete(running));
    this.#running.set(running, { plugin, operationId });
    return answered.promise;
  }
}
