/** What counts as loaded: which versions were live when a restart began, and the notes about it, each in its plugin's lane. */
import type { EventBody } from '../../shared/api/events.ts';
import { truncate } from '../../shared/truncate.ts';
import { Fault, toFault } from '../../shared/api/fault.ts';
import type { RestartedParams } from '../../shared/api/methods.ts';
import type { Restarted } from '../../shared/api/runtime.ts';
import type { LiveVersion } from '../change/runtime-reports.ts';
import type { WorkerClient } from '../worker/client.ts';
import type { Clock } from '../../shared/clock.ts';
import type { PluginLocks } from './plugin-locks.ts';
import type { Lanes } from '../../shared/lanes.ts';

/** The moment at which a restart began (milliseconds since the epoch), and what was live then. */
export type Began = { at: number; versions: LiveVersion[] };

/** Swaps that are remembered; of older ones the receipt says when they were made. */
const SWAPS_MAX = 1000;
/** How far (milliseconds) another's clock may be ahead. */
const AHEAD_MILLIS = 60_000;

export class Loads {
  readonly #worker: Pick<WorkerClient, 'ask' | 'call'>;
  readonly #pluginLocks: Pick<PluginLocks, 'hold'>;
  readonly #lanes: Lanes;
  readonly #clock: Clock;
  readonly #complain: (fault: Fault) => void;
  readonly #restartRuns: Int32Array | undefined;
  readonly #swaps = new Map<string, number>();
  /** What was promised before this moment (milliseconds since the epoch) is still to be made up for. */
  #promised: { plugins: string[]; before: number } = { plugins: [], before: 0 };
  /** Of these plugins it is still to be written down that a restart has begun. */
  readonly #owed = new Set<string>();

  /** @param restartRuns where all threads see that a restart of the agent's own runs; undefined: it makes none. */
  constructor(
    worker: Pick<WorkerClient, 'ask' | 'call'>,
    pluginLocks: Pick<PluginLocks, 'hold'>,
    lanes: Lanes,
    clock: Clock,
    complain: (fault: Fault) => void,
    restartRuns?: Int32Array,
  ) {
    this.#worker = worker;
    this.#pluginLocks = pluginLocks;
    this.#lanes = lanes;
    this.#clock = clock;
    this.#complain = complain;
    this.#restartRuns = restartRuns;
  }

  /** Remembers when versions become live: a receipt is written some time before. */
  heard({ type, data }: EventBody): void {
    if (type !== 'install.swapped' && type !== 'install.rolled-back') {
      return;
    }
    this.#swaps.set(data.installId, this.#clock.now());
    const [oldest] = this.#swaps.keys();
    if (this.#swaps.size > SWAPS_MAX && oldest !== undefined) {
      this.#swaps.delete(oldest);
    }
  }

  /** What is live now, or was at a moment. */
  async begin(at = this.#clock.now()): Promise<Began> {
    const swaps = Object.fromEntries(this.#swaps);
    const versions = await this.#worker.call('runtime.live', { at, swaps });
    return { at, versions };
  }

  /**
   * Takes what was live when a restart began for loaded. Every plugin is tried.
   *
   * @param cause what is told with it.
   * @throws Fault the first one.
   */
  async loaded({ at, versions }: Began, cause: string): Promise<void> {
    const faults: unknown[] = [];
    for (const version of versions) {
      try {
        const release = await this.#pluginLocks.hold(version.plugin);
        try {
          await this.#lanes.run(version.plugin, async () => {
            const { answer, over } = this.#worker.ask('runtime.loaded', { version, began: at, cause }, '');
            await answer;
            await over;
          });
        } finally {
          await release();
        }
      } catch (error) {
        faults.push(error);
      }
    }
    if (faults.length > 0) {
      throw faults[0];
    }
  }

  /** Plugins that wait for a restart. */
  async pending(): Promise<string[]> {
    return this.#worker.call('runtime.pending', undefined);
  }

  /** Whether a restart was promised that never ended well: it is to be made up for. */
  async promised(): Promise<boolean> {
    const before = this.#clock.now();
    const plugins = await this.#worker.call('runtime.promised', undefined);
    this.#promised = { plugins, before };
    return plugins.length > 0;
  }

  /**
   * A restart is about to begin, which may load whatever waits. If it makes up for what was {@link promised}, that is promised
   * no more: a command that ends the agent as well would else run at each of its starts. What comes until {@link ended} may be
   * loaded as well.
   *
   * A plugin of which this cannot be written down keeps no other from being restarted for: what was promised for it stays
   * promised, and what waits is noted before anything else is done to it.
   *
   * @returns whether it may begin: not where all that it would make up for could not be marked as tried.
   * @throws Fault if nobody can say what waits.
   */
  async takeUp(): Promise<boolean> {
    this.#mark(1);
    const { plugins, before } = this.#promised;
    const wanted = await this.#worker.call('runtime.promised', undefined);
    const failed = new Set<string>();
    for (const plugin of await this.pending()) {
      try {
        await this.#noteBegun(plugin, plugins.includes(plugin) ? before : 0);
      } catch (error) {
        this.#complain(toFault(error, `Noting that a restart begins which may load "${plugin}"`));
        failed.add(plugin);
      }
    }
    const untried = plugins.filter((plugin) => failed.has(plugin));
    this.#promised = { plugins: untried, before };
    if (wanted.length > 0 && wanted.every((plugin) => untried.includes(plugin))) {
      return false;
    }
    failed.forEach((plugin) => this.#owed.add(plugin));
    return true;
  }

  /**
   * Writes down that a restart has begun, if that failed when it did. Never rejects.
   *
   * @param plugin whose lock is the caller's to hold.
   */
  async noteOwed(plugin: string): Promise<void> {
    if (!this.#owed.delete(plugin)) {
      return;
    }
    try {
      await this.#worker.call('runtime.begins', { plugin, before: 0 });
    } catch (error) {
      this.#owed.add(plugin);
      this.#complain(toFault(error, `Noting that a restart has begun which may have loaded "${plugin}"`));
    }
  }

  /**
   * An upload of the plugin may go on meanwhile. A change that is being made is waited for: what waits after it is what the
   * restart finds.
   */
  async #noteBegun(plugin: string, before: number): Promise<void> {
    const release = await this.#pluginLocks.hold(plugin);
    try {
      await this.#lanes.run(plugin, () => this.#worker.call('runtime.begins', { plugin, before }));
    } finally {
      await release();
    }
  }

  /** The restart that was taken up is over, and what it has loaded is noted. */
  ended(): void {
    this.#mark(0);
  }

  #mark(runs: 0 | 1): void {
    if (this.#restartRuns !== undefined) {
      Atomics.store(this.#restartRuns, 0, runs);
    }
  }

  /** @throws Fault INVALID_PARAMS, CONFLICT, LOCKED, READ_ONLY, NO_SPACE */
  async restarted(params: RestartedParams): Promise<Restarted> {
    const at = params.at === undefined ? undefined : Date.parse(params.at);
    if (at !== undefined && at > this.#clock.now() + AHEAD_MILLIS) {
      throw new Fault(
        'INVALID_PARAMS',
        `The restart is said to have begun at ${params.at}, which is to come`,
        {
          hint: "Give the moment by the agent's clock, or leave it out",
        },
      );
    }
    const began = await this.begin(at);
    await this.loaded(began, params.operationId);
    return { loaded: truncate(began.versions), pending: truncate(await this.pending()) };
  }
}
