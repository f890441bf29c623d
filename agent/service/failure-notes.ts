/**
 * Lets the history say which operations were refused or have failed. A client that fails without end fills no disk: the
 * same failure again has no line of its own, and a plugin has few such lines an hour. The next line counts the others.
 */
import { type Fault, type FaultCode, toFault } from '../../shared/api/fault.ts';
import type { Clock } from '../../shared/clock.ts';
import type { HistoryOperation } from '../../shared/format/history.ts';
import type { Lanes } from '../../shared/lanes.ts';
import type { FailureContent } from '../change/note-history.ts';
import type { WorkerClient } from '../worker/client.ts';
import type { PluginLocks } from './plugin-locks.ts';

/** An operation that was refused or has failed. */
export type Failure = Omit<FailureContent, 'code' | 'unnoted'> & { fault: Fault };

/** Nobody may write to the plugin then, or nobody can. */
const SILENT: ReadonlySet<FaultCode> = new Set(['LOCKED', 'READ_ONLY', 'INVALID_PARAMS']);

const HOUR_MILLIS = 60 * 60 * 1000;
const LINES_AN_HOUR = 20;
/** Of so many plugins it is known what was noted last. */
const PLUGINS_MAX = 1000;

/** What was noted of a plugin in the last hour. */
type Recent = {
  /** What the last line says; '' after a change that was made. */
  last: string;
  since: number;
  lines: number;
  /** Failures since the last line. */
  unnoted: number;
};

export type FailureNotesOptions = {
  worker: Pick<WorkerClient, 'call'>;
  pluginLocks: Pick<PluginLocks, 'hold'>;
  lanes: Lanes;
  clock: Clock;
  complain: (fault: Fault) => void;
};

export class FailureNotes {
  readonly #options: FailureNotesOptions;
  readonly #recent = new Map<string, Recent>();
  readonly #running = new Set<Promise<void>>();

  constructor(options: FailureNotesOptions) {
    this.#options = options;
  }

  /** Notes a failure, when the plugin's lane is free. Never throws. */
  note({ fault, ...failed }: Failure): void {
    const unnoted = SILENT.has(fault.code) ? undefined : this.#admit(failed, fault.code);
    if (unnoted === undefined) {
      return;
    }
    const content = { ...failed, code: fault.code, ...(unnoted === 0 ? {} : { unnoted }) };
    const running: Promise<void> = this.#write(content)
      .catch((error: unknown) =>
        this.#options.complain(toFault(error, `Writing the history of "${failed.plugin}"`)),
      )
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** The plugin was changed: the next failure is another one, whatever it is. */
  changed(plugin: string): void {
    const recent = this.#recent.get(plugin);
    if (recent !== undefined) {
      recent.last = '';
    }
  }

  /** Waits until all failures so far are noted. */
  async drain(): Promise<void> {
    await Promise.all(this.#running);
  }

  /** @returns how many failures before this one have no line; undefined if this one gets none either. */
  #admit({ plugin, op, by, bundle }: Omit<Failure, 'fault'>, code: FaultCode): number | undefined {
    const now = this.#options.clock.now();
    const last = JSON.stringify([op, by, bundle, code]);
    const before = this.#recent.get(plugin);
    const isOld = before === undefined || now - before.since >= HOUR_MILLIS || now < before.since;
    const recent = isOld ? { last: '', since: now, lines: 0, unnoted: before?.unnoted ?? 0 } : before;
    // The plugin whose last failure is oldest is forgotten first.
    this.#recent.delete(plugin);
    this.#recent.set(plugin, recent);
    for (const oldest of this.#recent.keys()) {
      if (this.#recent.size <= PLUGINS_MAX) break;
      this.#recent.delete(oldest);
    }
    if (recent.last === last || recent.lines >= LINES_AN_HOUR) {
      recent.unnoted += 1;
      return undefined;
    }
    const { unnoted } = recent;
    Object.assign(recent, { last, lines: recent.lines + 1, unnoted: 0 });
    return unnoted;
  }

  async #write(content: FailureContent): Promise<void> {
    const { worker, pluginLocks, lanes } = this.#options;
    const release = await pluginLocks.hold(content.plugin);
    try {
      await lanes.run(content.plugin, () => worker.call('history.failed', content));
    } finally {
      await release();
    }
  }
}

const OPERATIONS: Readonly<Record<string, (params: object) => HistoryOperation>> = {
  'plugin.hold': (params) => ('release' in params && params.release === true ? 'release' : 'hold'),
  'plugin.disable': (params) => ('disabled' in params && params.disabled === true ? 'disable' : 'enable'),
};

/** What a history calls the operation that a method requests. */
export const operationOf = (method: string, params: object): string =>
  OPERATIONS[method]?.(params) ?? method.slice(method.lastIndexOf('.') + 1);
