/**
 * House-keeping of all plugins, one by one. Changes are made under the plugin's lock. Plugins that are being changed are
 * skipped.
 */
import { truncate } from '../../shared/truncate.ts';
import { type FaultData, toFault } from '../../shared/api/fault.ts';
import type { Recovered, RecoveryResult, Swept } from '../../shared/api/maintenance.ts';
import type { WorkerClient } from '../worker/client.ts';
import type { Inventory } from './inventory.ts';
import type { PluginLocks } from './plugin-locks.ts';

type Failed = { plugin: string; error: FaultData };

export class Maintenance {
  readonly #worker: Pick<WorkerClient, 'call'>;
  readonly #pluginLocks: Pick<PluginLocks, 'tryHold'>;
  readonly #inventory: Inventory;

  constructor(
    worker: Pick<WorkerClient, 'call'>,
    pluginLocks: Pick<PluginLocks, 'tryHold'>,
    inventory: Inventory,
  ) {
    this.#worker = worker;
    this.#inventory = inventory;
    this.#pluginLocks = pluginLocks;
  }

  /**
   * Finishes or undoes what a crash has left.
   *
   * @param plugin undefined: every plugin with an interrupted change.
   */
  async recover(plugin?: string): Promise<RecoveryResult> {
    const names = plugin === undefined ? await this.#inventory.unfinished() : [plugin];
    const recovered: Recovered[] = [];
    const { busy, failed } = await this.#each(names, async (name) =>
      this.#alone(name, async () =>
        recovered.push(...(await this.#worker.call('plugin.recover', { plugin: name }))),
      ),
    );
    return { recovered: truncate(recovered), busy: truncate(busy), failed: truncate(failed) };
  }

  /** Removes what is no longer needed, and repairs what can be repaired. */
  async sweep(): Promise<Swept> {
    const unfinished = new Set(await this.#inventory.unfinished());
    const names = [...new Set([...unfinished, ...(await this.#inventory.known())])].toSorted();
    const recovered: Recovered[] = [];
    const snapshots: string[] = [];
    const receipts: string[] = [];
    const adopted: string[] = [];
    const { busy, failed } = await this.#each(names, async (name) => {
      const recover = async (): Promise<unknown> =>
        unfinished.has(name) &&
        recovered.push(...(await this.#worker.call('plugin.recover', { plugin: name })));
      if (!(await this.#alone(name, recover))) {
        return false;
      }
      // The work that takes long runs without the lock. Under the lock it is checked whether it still applies.
      const plan = await this.#worker.call('plugin.plan', { plugin: name });
      if (plan === undefined) {
        return true;
      }
      return this.#alone(name, async () => {
        const swept = await this.#worker.call('plugin.sweep', { plugin: name, plan });
        snapshots.push(...swept.snapshots);
        receipts.push(...swept.receipts);
        adopted.push(...(swept.adopted ? [name] : []));
      });
    });
    const histories = await this.#sweepHistories(names);
    const operations =
      (await this.#inventory.answers()) + (await this.#inventory.drafts()) === 0
        ? 0
        : await this.#worker.call('operations.forget', undefined);
    return {
      recovered: truncate(recovered),
      snapshots: truncate(snapshots),
      receipts: truncate(receipts),
      adopted: truncate(adopted),
      histories,
      operations,
      busy: truncate(busy),
      failed: truncate(failed),
    };
  }

  /** Removes old histories of plugins of which nothing else is left. @returns how many. */
  async #sweepHistories(known: readonly string[]): Promise<number> {
    const gone = (await this.#inventory.histories()).filter((name) => !known.includes(name));
    const expired = gone.length === 0 ? [] : await this.#worker.call('history.expired', { plugins: gone });
    let removed = 0;
    // One that cannot be removed now has its turn in the next sweep.
    await this.#each(expired, async (plugin) =>
      this.#alone(plugin, async () => {
        removed += (await this.#worker.call('history.remove', { plugin })) ? 1 : 0;
      }),
    );
    return removed;
  }

  /** @returns false if another operation or process works on the plugin; then it is skipped. */
  async #alone(plugin: string, work: () => Promise<unknown>): Promise<boolean> {
    const release = await this.#pluginLocks.tryHold(plugin);
    if (release === undefined) {
      return false;
    }
    try {
      await work();
      return true;
    } finally {
      await release();
    }
  }

  /** Works on one plugin after the other. A failure does not stop the others. @param work returns false for a busy plugin. */
  async #each(
    names: readonly string[],
    work: (name: string) => Promise<boolean>,
  ): Promise<{ busy: string[]; failed: Failed[] }> {
    const busy: string[] = [];
    const failed: Failed[] = [];
    for (const name of names) {
      try {
        if (!(await work(name))) {
          busy.push(name);
        }
      } catch (error) {
        const fault = toFault(error, `Maintenance of "${name}"`);
        if (fault.code === 'DRAINING') {
          // The agent is shutting down: no other plugin gets its turn, and the caller has to ask again.
          throw fault;
        }
        failed.push({ plugin: name, error: fault.toData() });
      }
    }
    return { busy, failed };
  }
}
