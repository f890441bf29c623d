/** Makes an agent have the plugins that are declared: asks what differs, lets it pull, and pushes the rest. */
import type { Caller } from '../shared/api/caller.ts';
import { Fault, toFault } from '../shared/api/fault.ts';
import type { ReconcileParams } from '../shared/api/methods.ts';
import type { Installed } from '../shared/api/plugin.ts';
import { type Reconciled, reconciledSchema } from '../shared/api/reconcile.ts';
import { type Declared, isPullable, sourceLabel } from '../shared/format/lock-file.ts';
import { operationIdOf } from '../shared/format/name.ts';
import { type Pause, pause } from '../shared/clock.ts';
import { pauseAfter, spread } from '../shared/rule/retry.ts';
import { Semaphore } from '../shared/semaphore.ts';
import type { Bundle } from './bundle.ts';
import { Bundles } from './bundles.ts';
import { type Open, OpenConnection } from './open-connection.ts';
import type { InstallOptions } from './install.ts';
import { wholeList } from './list.ts';
import { newOperationId, type PushOptions, pushOver } from './push.ts';
import { cancelled } from './abort.ts';
import { mayReconnect, stopsAll } from './reach.ts';
import { isAborted, PUSH_BACKOFF, retryAfterOf } from './retry.ts';

export type ReconcileOptions = Pick<
  PushOptions,
  'tries' | 'onReconnect' | 'signal' | 'restart' | 'stallMillis'
> & {
  /** Only say what differs. */
  check?: boolean | undefined;
  /** Also deliver plugins whose files were edited in place. */
  repair?: boolean | undefined;
  /** The bundles to push: a directory, or a map by the names of plugins. They are preferred to sources. */
  bundles?: string | ReadonlyMap<string, Bundle> | undefined;
  /** So many bundles are pushed at once; 4 by default. */
  atOnce?: number | undefined;
  /** Called as soon as it is known what became of a plugin. */
  onPlugin?: ((one: Reconciled) => void) | undefined;
  /** @internal */
  sleep?: Pause | undefined;
  /** @internal Between 0 and 1. */
  random?: (() => number) | undefined;
};

/** What was found and done about each plugin. `stopped` says why some that had something to do have no `fate`. */
export type ReconcileResult = { plugins: Reconciled[]; stopped: Fault | undefined };

/** Where the plugins are: behind a connection that may break, or in this process. */
export type ReconcileTarget = {
  /** @returns the whole list of the answer. */
  ask(params: ReconcileParams): Promise<Reconciled[]>;
  install(bundle: Bundle, options: InstallOptions & { operationId: string }): Promise<Installed>;
};

/**
 * Compares the declared plugins with those of an agent, and makes it so. A plugin that fails does not stop the others. An agent
 * that cannot be reached, or the signal, stops all. Asked again it does nothing.
 *
 * @throws Fault as `request` if it cannot be said what differs. Later faults are in the result.
 * @example const { plugins } = await reconcile(open, [{ name: 'lint', tree }], { bundles: './bundles' });
 */
export async function reconcile(
  open: Open,
  declared: readonly Declared[],
  options: ReconcileOptions = {},
): Promise<ReconcileResult> {
  const asking = new OpenConnection(open);
  // Each push has a connection to itself, because it closes it when it breaks.
  const all: OpenConnection[] = [];
  const idle: OpenConnection[] = [];
  const target: ReconcileTarget = {
    ask: (params) => askAgain(asking, params, options),
    install: async (bundle, more) => {
      const connection = idle.pop() ?? new OpenConnection(open);
      if (!all.includes(connection)) all.push(connection);
      try {
        return await pushOver(connection, bundle, { ...options, ...more });
      } finally {
        idle.push(connection);
      }
    },
  };
  try {
    return await reconcileAt(target, declared, options);
  } finally {
    await Promise.all([asking, ...all].map((connection) => connection.close()));
  }
}

/** An agent that is restarted is back within these tries. */
const TRIES = 8;

/** Asks, again over another connection if one breaks. The same question with the same operation id has the same answer. */
async function askAgain(
  connection: OpenConnection,
  params: ReconcileParams,
  options: ReconcileOptions,
): Promise<Reconciled[]> {
  const { signal, sleep = pause, random = Math.random, tries = TRIES, onReconnect } = options;
  let reached = false;
  for (let failures = 1; ; failures += 1) {
    if (isAborted(signal)) throw cancelled('Reconciling');
    try {
      const session = await connection.session(signal);
      reached = true;
      return await askReconcile(session, params, options);
    } catch (error) {
      const fault = toFault(error, 'Reconciling');
      if (isAborted(signal) || !mayReconnect(fault, reached) || failures > tries) throw fault;
      await connection.close();
      const millis = retryAfterOf(fault) + spread(pauseAfter(failures, PUSH_BACKOFF), random());
      onReconnect?.(fault, millis, tries - failures + 1);
      await sleep(millis, signal);
    }
  }
}

/** Asks once. @returns the whole list. @throws Fault as `request`. */
export async function askReconcile(
  caller: Caller,
  params: ReconcileParams,
  { signal }: Pick<ReconcileOptions, 'signal'>,
): Promise<Reconciled[]> {
  return wholeList(
    caller,
    await caller.call('reconcile', { all: true, ...params }, { signal }),
    reconciledSchema,
  );
}

/** As {@link reconcile}, without a connection of its own. */
export async function reconcileAt(
  target: ReconcileTarget,
  declared: readonly Declared[],
  options: ReconcileOptions,
): Promise<ReconcileResult> {
  const { check = false, repair } = options;
  const found = await target.ask({
    declared: briefly(declared),
    mode: 'plan',
    ...(repair === true ? { repair } : {}),
  });
  if (check) return { plugins: found, stopped: undefined };
  const { bundles } = options;
  const hand = typeof bundles === 'string' ? await Bundles.open(bundles) : new Map(bundles);
  const run = new Run(target, declared, options, hand);
  await run.apply(found.filter(({ action }) => action !== 'none'));
  return { plugins: found.map((row) => run.ends.get(row.name) ?? row), stopped: run.stopped };
}

/** A request with this many bytes of JSON fits a frame, with room for the rest of it. */
const REQUEST_BYTES = 224 * 1024;

/** What decides whether a plugin is the declared one, so that a thousand fit a frame. */
function briefly(declared: readonly Declared[]): Declared[] {
  const brief = declared.map(({ name, version, tree, bundle }): Declared => {
    const digest = tree === undefined ? (bundle === undefined ? {} : { bundle }) : { tree };
    return { name, ...(version === undefined ? {} : { version }), ...digest };
  });
  if (Buffer.byteLength(JSON.stringify(brief)) <= REQUEST_BYTES) return brief;
  return brief.map(({ version: _version, ...one }) => one);
}

/** The most plugins that one request applies, so that it fits a frame. */
const APPLIED_AT_ONCE = 50;
const PUSHED_AT_ONCE = 4;

class Run {
  readonly ends = new Map<string, Reconciled>();
  stopped: Fault | undefined;
  readonly #target: ReconcileTarget;
  readonly #declared: ReadonlyMap<string, Declared>;
  readonly #options: ReconcileOptions;
  readonly #id = newOperationId();
  readonly #hand: Bundles | ReadonlyMap<string, Bundle>;

  constructor(
    target: ReconcileTarget,
    declared: readonly Declared[],
    options: ReconcileOptions,
    hand: Bundles | ReadonlyMap<string, Bundle>,
  ) {
    this.#hand = hand;
    this.#target = target;
    this.#declared = new Map(declared.map((one) => [one.name, one]));
    this.#options = options;
  }

  /** The agent adopts and pulls what it can. Then the rest is pushed. */
  async apply(todo: readonly Reconciled[]): Promise<void> {
    const forAgent: Declared[] = [];
    const wanted: Reconciled[] = [];
    for (const row of todo) {
      const one = this.#declared.get(row.name);
      if (one === undefined) continue;
      const isAtHand = (await this.#find(one).catch(() => undefined)) !== undefined;
      const { source: _source, ...withoutSource } = one;
      const isForAgent = row.action === 'adopt' || (!isAtHand && isPullable(one.source));
      if (isForAgent) forAgent.push(isAtHand ? withoutSource : one);
      else wanted.push(row);
    }
    for (let i = 0; i < forAgent.length && this.stopped === undefined; i += APPLIED_AT_ONCE) {
      wanted.push(...(await this.#ask(forAgent.slice(i, i + APPLIED_AT_ONCE))));
    }
    const limit = new Semaphore(this.#options.atOnce ?? PUSHED_AT_ONCE);
    await Promise.all(wanted.map((row) => limit.run(() => this.#push(row))));
  }

  /** @returns those that the agent wants from here. */
  async #ask(declared: Declared[]): Promise<Reconciled[]> {
    const { repair, restart } = this.#options;
    const params = {
      declared,
      mode: 'apply' as const,
      ...(repair === true ? { repair } : {}),
      ...(restart === undefined ? {} : { restart }),
    };
    try {
      const rows = await this.#target.ask({
        ...params,
        operationId: operationIdOf(this.#id, JSON.stringify(params)),
      });
      const own = rows.filter(({ state }) => state !== 'unmanaged');
      own.filter(({ fate }) => fate !== 'wanted').forEach((row) => this.#end(row));
      return own.filter(({ fate }) => fate === 'wanted');
    } catch (error) {
      this.stopped = toFault(error, 'Reconciling');
      return [];
    }
  }

  async #push(row: Reconciled): Promise<void> {
    const one = this.#declared.get(row.name);
    if (one === undefined || this.stopped !== undefined) return;
    const { signal, restart } = this.#options;
    if (isAborted(signal)) {
      this.stopped ??= cancelled('Reconciling');
      return;
    }
    try {
      const bundle = (await this.#find(one)) ?? (await this.#throwMissing(one));
      const installed = await this.#target.install(bundle, {
        operationId: operationIdOf(this.#id, one.name, bundle.sha256),
        source: one.source === undefined ? undefined : sourceLabel(one.source),
        restart,
        signal,
      });
      const { kind, action, restarting } = installed.reload;
      const fate = installed.status === 'present' ? 'present' : 'installed';
      this.#end({ ...row, fate, reload: { kind, action, restarting } });
    } catch (error) {
      const fault = toFault(error, `Delivering "${row.name}"`);
      if (stopsAll(fault) || isAborted(signal)) this.stopped ??= fault;
      this.#end({ ...row, fate: 'failed', error: fault.toData() });
    }
  }

  #end(row: Reconciled): void {
    this.ends.set(row.name, row);
    this.#options.onPlugin?.(row);
  }

  async #find(one: Declared): Promise<Bundle | undefined> {
    if (this.#hand instanceof Bundles) return this.#hand.find(one);
    const { name, tree, bundle } = one;
    const found = this.#hand.get(name);
    if (found === undefined) return undefined;
    // With a declared tree the agent compares the files.
    if (tree === undefined && bundle !== undefined && bundle !== `sha256:${found.sha256}`) {
      throw new Fault(
        'DIGEST_MISMATCH',
        `The bundle of "${name}" has the sha256 ${found.sha256}, but ${bundle} is declared`,
        {
          hint: 'Give the declared bundle, or declare this one',
        },
      );
    }
    // If only the bundle is declared, the agent has to read it: a tree that was packed here is no part of the declaration.
    return { ...found, plugin: name, ...(tree === undefined && bundle === undefined ? {} : { tree }) };
  }

  async #throwMissing(one: Declared): Promise<never> {
    if (this.#hand instanceof Bundles) throw await this.#hand.missing(one);
    throw new Fault('NOT_FOUND', `There is no bundle of "${one.name}" here`, {
      hint: 'Name a directory of bundles, or declare a source from which it can be pulled',
    });
  }
}
