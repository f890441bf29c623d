/**
 * The watcher over the agent's root. It reports changes that no operation of this agent has reported. Work that takes
 * long is done by the engine threads.
 */
import { basename } from 'node:path';

import { reloadOf } from '../../shared/rule/classify.ts';
import { pauseAfter } from '../../shared/rule/retry.ts';
import { layoutOf } from '../../shared/format/layout.ts';
import type { EventBody } from '../../shared/api/events.ts';
import { toFault } from '../../shared/api/fault.ts';
import type { Ignore } from '../../shared/format/tree.ts';
import type { WatchStatus } from '../../shared/api/maintenance.ts';
import { systemFileEvents } from '../../watch/file-events.ts';
import { pollingFileEvents } from '../../watch/poll.ts';
import type { Admission, Ports, Watch, WatchEvent } from '../../watch/ports.ts';
import { type Reported, createWatch } from '../../watch/watch.ts';
import type { Log } from '../log.ts';
import { type Clock, atMost } from '../../shared/clock.ts';
import type { WorkerClient } from '../worker/client.ts';

/**
 * A watcher that has failed is started again after so long (milliseconds), each time twice as long, up to the most. After
 * a longer run it begins with the first pause again.
 */
const AGAIN_MILLIS = { first: 1000, most: 60_000 };
/** The number of problems that are remembered. */
const NOTICES_MAX = 10;
/** The swaps of one plugin by the agent that are remembered until the watcher has seen them. */
const OWN_MAX = 100;

/**
 * The swap of a version with so many directories waits until they are watched. With fewer, the watch is usually faster
 * than the seal, and if it is not, there is little to read after the swap.
 */
const DIRECTORIES_MANY = 100;
/** The swap waits at most so long for the watcher (milliseconds). A thousand directories take 30. */
const EXPECT_MILLIS = 1000;

export type WatchBridge = {
  /** Receives the agent's own events, because operations report their swaps themselves. */
  heard(event: EventBody): void;
  /** A staged version of a plugin is about to be swapped in. @returns what the swap waits for. */
  expect(plugin: string, stamp: string, directories: readonly string[]): Promise<void> | undefined;
  /** The loaded version of a plugin may have changed. */
  loaded(plugin: string): void;
  status(): WatchStatus;
  close(): Promise<void>;
};

export type WatchBridgeOptions = {
  root: string;
  ignore: Ignore;
  /** Whether installs give their files to another owner, which changes each of them shortly before the swap. */
  givesAway: boolean;
  /** Whether to poll. */
  polling: boolean;
  worker: Pick<WorkerClient, 'call'>;
  /** Runs a task after the agent's own operations on a plugin have ended and were reported. */
  turn: (plugin: string, task: () => Promise<void>) => Promise<void>;
  tell: (event: EventBody) => void;
  clock: Clock;
  log: Pick<Log, 'info' | 'warn' | 'error'>;
};

/** Starts watching. */
export function openWatchBridge(options: WatchBridgeOptions): WatchBridge {
  const { root, worker, turn, tell, clock, log } = options;
  const layout = layoutOf(root);
  const own = new OwnSwaps();
  const notices: string[] = [];
  let mode: WatchStatus['mode'] = 'starting';
  let watch: (Watch & Reported) | undefined;
  let cancel = (): void => {};
  let failures = 0;
  let closed = false;

  const note = (text: string): void => {
    notices.push(text);
    notices.splice(0, notices.length - NOTICES_MAX);
  };
  /** The version of each plugin that the watcher was answered last; no entry: none. */
  const answered = new Map<string, string>();
  const ask = async (plugin: string): Promise<Admission> => {
    own.look(plugin);
    const lost = own.live(plugin);
    const admission = await worker.call('watch.admission', { plugin });
    return admission.status === 'admitted' ? admission : { ...admission, lost };
  };
  /**
   * An operation of this agent may take back what it has made live, and then nobody tells of it. So another version counts
   * only if it is still there after the operations under way. The lane is free while a thread is waited for.
   */
  const admit = async (plugin: string): Promise<Admission> => {
    let admission = await ask(plugin);
    while (versionOf(admission) !== answered.get(plugin)) {
      const version = versionOf(admission);
      await turn(plugin, async () => undefined);
      admission = await ask(plugin);
      if (versionOf(admission) !== version) continue;
      if (version === undefined) answered.delete(plugin);
      else answered.set(plugin, version);
    }
    return admission;
  };
  const poll = pollingFileEvents(clock);
  const ports: Ports = {
    roots: [root],
    admit,
    installed: (path, installId) => worker.call('watch.installed', { plugin: basename(path), installId }),
    loaded: (plugin, generation, stamp) => worker.call('watch.known', { plugin, generation, stamp }),
    ignore: options.ignore,
    clock,
    fileEvents: options.polling ? poll : systemFileEvents,
    polling: poll,
    notice: (text) => {
      note(text);
      log.warn(text);
    },
  };
  const take = async ({ plugin, cause, status, kind, reasons }: WatchEvent, seen: number): Promise<void> => {
    const live = cause.by === 'swap' ? cause.installId : undefined;
    const isOwn = (live !== undefined || status === 'absent') && own.take(plugin, live ?? null);
    own.forget(plugin, seen);
    if (closed || isOwn) {
      return;
    }
    // The watcher saw this before or during an operation. The operation's own event came later and includes it; in doubt
    // it is cold.
    if (own.has(plugin) && cause.by === 'edit' && (status !== 'admitted' || kind !== 'cold')) {
      return;
    }
    // Nobody restarts for an edit: a plugin that writes into its own tree would restart its runtime for ever.
    const reload = reloadOf({ kind, reasons: [...reasons] }, false);
    tell({ type: 'plugin.changed', data: { plugin, ...reload, cause: cause.by } });
  };
  /** The number of events; a list may be older than the last ones. */
  let changes = 0;
  /**
   * Edits that were made without a watch are not known. A snapshot is sent instead.
   *
   * @param tries how many lists were older than an event that came meanwhile.
   */
  const tellAll = async (tries = 0): Promise<void> => {
    const before = changes;
    try {
      const { plugins } = (await worker.call('plugin.list', {})).answer;
      if (closed) return;
      // A snapshot after an event must not show the state before it.
      if (changes !== before) {
        cancelTellAll = clock.after(pauseAfter(tries + 1, AGAIN_MILLIS), () => void tellAll(tries + 1));
        return;
      }
      tell({ type: 'snapshot', data: { plugins } });
    } catch (error) {
      if (closed) return;
      log.error({ err: error }, 'the snapshot after the failure of the watcher cannot be sent');
    }
  };
  let cancelTellAll = (): void => {};
  let since: number | undefined;
  let broke = false;
  const run = async (): Promise<void> => {
    own.clear();
    watch = createWatch(ports);
    await watch.ready;
    mode = options.polling ? 'polling' : 'on';
    since = clock.now();
    log.info({ root }, 'watching');
    if (broke) void tellAll();
    for await (const event of watch) {
      const seen = own.seen(event.plugin);
      // Not awaited, because another plugin may be busy for long.
      turn(event.plugin, () => take(event, seen)).catch((error: unknown) => {
        log.error({ err: error }, 'a change cannot be reported');
      });
    }
  };
  const start = (): void => {
    run().catch((error: unknown) => {
      if (closed) {
        return;
      }
      mode = 'failed';
      broke = true;
      note(`The watcher failed (${toFault(error, 'Watching').message}) and is started again`);
      if (since !== undefined && clock.now() - since > AGAIN_MILLIS.most) {
        failures = 0;
      }
      since = undefined;
      failures += 1;
      const againMillis = pauseAfter(failures, AGAIN_MILLIS);
      const fields = { err: error, againMillis };
      log.error(fields, 'the watcher failed: edits by hand are not reported until it runs again');
      cancel = clock.after(againMillis, start);
    });
  };
  start();
  return {
    heard: (event) => {
      changes += event.type === 'install.progress' ? 0 : 1;
      own.heard(event);
      if (event.type === 'install.failed') void watch?.expect(event.data.plugin, undefined);
    },
    expect: (plugin, installId, directories) => {
      if (options.polling || options.givesAway) return undefined;
      const ready = watch?.expect(plugin, {
        installId,
        directory: layout.slot(plugin, installId),
        directories,
      });
      return ready === undefined || directories.length < DIRECTORIES_MANY
        ? undefined
        : atMost(EXPECT_MILLIS, ready);
    },
    loaded: (plugin) => watch?.loaded(plugin),
    status: () => ({ mode, notices: [...notices] }),
    close: async () => {
      closed = true;
      cancel();
      cancelTellAll();
      await watch
        ?.close()
        .catch((error: unknown) => log.error({ err: error }, 'the watcher cannot be closed'));
    },
  };
}

/** What an admission says is live; undefined: nothing. */
function versionOf(admission: Admission): string | undefined {
  if (admission.status === 'admitted') return admission.generation;
  if (admission.lost !== undefined) return `${admission.status} instead of ${admission.lost}`;
  return admission.status === 'absent' ? undefined : admission.status;
}

type Made = { installId: string | null; at: number };

/**
 * The versions that the agent itself has made live, in order, until the watcher has seen them. Each is added after its
 * swap.
 */
class OwnSwaps {
  readonly #made = new Map<string, Made[]>();
  /** The number of swaps when a plugin was last read: the watcher can have seen those. */
  readonly #looked = new Map<string, number>();
  #count = 0;

  heard({ type, data }: EventBody): void {
    if (type === 'install.swapped' || type === 'install.rolled-back' || type === 'plugin.adopted') {
      this.#note(data.plugin, data.installId);
    } else if (type === 'plugin.removed') {
      this.#note(data.plugin, null);
    }
  }

  /** The watcher reads a plugin. */
  look(plugin: string): void {
    if (this.#made.has(plugin)) {
      this.#looked.set(plugin, this.#count);
    }
  }

  /** The number of swaps when the watcher last read the plugin. */
  seen(plugin: string): number {
    return this.#looked.get(plugin) ?? 0;
  }

  /**
   * Whether the agent has made this version live (null: removed the plugin). Of several swaps in one burst the watcher
   * sees only the last.
   */
  take(plugin: string, installId: string | null): boolean {
    const made = this.#made.get(plugin) ?? [];
    const index = made.findIndex((one) => one.installId === installId);
    this.#keep(plugin, made.slice(index + 1));
    return index !== -1;
  }

  /** Forgets the swaps before the watcher's reading: it will not report them any more. */
  forget(plugin: string, seen: number): void {
    this.#keep(
      plugin,
      (this.#made.get(plugin) ?? []).filter(({ at }) => at > seen),
    );
  }

  /** The version that the agent has made live last, if the watcher has not yet seen it. */
  live(plugin: string): string | undefined {
    return this.#made.get(plugin)?.at(-1)?.installId ?? undefined;
  }

  /** Whether the watcher has not yet reported all swaps of a plugin. */
  has(plugin: string): boolean {
    return this.#made.has(plugin);
  }

  clear(): void {
    this.#made.clear();
    this.#looked.clear();
  }

  #note(plugin: string, installId: string | null): void {
    this.#count += 1;
    const made = [...(this.#made.get(plugin) ?? []), { installId, at: this.#count }];
    this.#keep(plugin, made.slice(-OWN_MAX));
  }

  #keep(plugin: string, made: Made[]): void {
    if (made.length > 0) {
      this.#made.set(plugin, made);
    } else {
      this.#made.delete(plugin);
      this.#looked.delete(plugin);
    }
  }
}
