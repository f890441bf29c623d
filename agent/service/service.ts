/**
 * Everything that works on a root, without a socket: the agent serves it, and a command uses it if there is no agent to
 * ask, under the same locks.
 */
import { access } from 'node:fs/promises';

import type { SettingInfo } from '../../shared/api/doctor.ts';
import type { EventBody } from '../../shared/api/events.ts';
import type { Status, Swept } from '../../shared/api/maintenance.ts';
import type { Installed } from '../../shared/api/plugin.ts';
import type { BeginParams, Params } from '../../shared/api/methods.ts';
import { attempt } from '../../shared/attempt.ts';
import { truncate } from '../../shared/truncate.ts';
import { Fault, toFault } from '../../shared/api/fault.ts';
import { layoutOf } from '../../shared/format/layout.ts';
import { createIgnore } from '../../shared/format/tree.ts';
import type { WorkConfig } from '../config.ts';
import { diskFault } from '../disk/disk-fault.ts';
import { processIdentity } from '../disk/identity.ts';
import type { Release } from '../disk/lock-record.ts';
import { type Locks, createLocks } from '../disk/lock.ts';
import { nodeDisk } from '../disk/node-disk.ts';
import type { StoreContext } from '../store/context.ts';
import { prepareRoot } from '../store/prepare.ts';
import { type RootProbe, probeRoot } from '../store/probe.ts';
import { noteUnsynced } from '../change/sweep.ts';
import { removeLitter } from '../store/staging.ts';
import type { RootMeasure, ThreadUsage } from '../metrics/facts.ts';
import type { Overview } from '../page/facts.ts';
import { WorkerClient } from '../worker/client.ts';
import { type Failure, FailureNotes } from './failure-notes.ts';
import { type OwnChecks, DOCTOR_THREADS, busyPlugins, checkLocks, openDoctor } from './doctor.ts';
import { inventoryOf } from './inventory.ts';
import { openExport } from './exports.ts';
import { Maintenance } from './maintenance.ts';
import { type Executable, type Executed, Executor } from './execute.ts';
import { type Clock, steadyClock } from '../../shared/clock.ts';
import { type Send, uploadOwn } from './own-upload.ts';
import { PluginLocks } from './plugin-locks.ts';
import { Pulls } from './pulls.ts';
import { Recent, type Recently } from './recent.ts';
import { type RootHealth, blockedBy, lookAtRoot } from './root-health.ts';
import { reconcile } from './reconcile.ts';
import { Lanes } from '../../shared/lanes.ts';
import { Loads } from './runtime-state.ts';
import { type Begun, Uploads } from './uploads.ts';
import type { Inflow, Link, UploadDependencies } from './upload.ts';
import { Pool } from '../worker/pool.ts';
import { FairPool } from '../worker/fair-pool.ts';
import { ENGINE, type EngineData } from '../worker/messages.ts';

/** The most installs at once. Further ones wait. */
const INSTALL_THREADS = 8;
/** Separate threads for everything else, so that stalled uploads do not delay a list. */
const TASK_THREADS = 2;
/** Threads for adoptions. */
const SLOW_THREADS = 2;
/** The most exports at once. Further ones wait. */
const EXPORT_THREADS = 4;
/** A thread of its own looks at the disk for metrics and the page. So it delays nothing else, and rests most of the time. */
const LOOK_THREADS = 1;
/** A probe of Kubernetes waits for a second. */
const HEALTH = { freshMillis: 2000, restFactor: 19, patienceMillis: 800 };
const LOOKS = { freshMillis: 15_000, restFactor: 19, patienceMillis: 5000 };
/** Whoever looks at the page waits for what has just been installed. */
const OVERVIEWS = { freshMillis: 2000, restFactor: 9, patienceMillis: 800 };
const IDLE_MILLIS = 15_000;
/** The lock of the agent that serves the root. No plugin has this name. */
const AGENT_LOCK = '.agent';

export type Service = {
  /**
   * Makes the missing directories of the root. Before that the service answers queries and writes nothing. Throws as
   * {@link prepareRoot}.
   */
  prepare(): Promise<void>;
  locks(): Promise<Locks>;
  /** What the root can do: tested by the agent that serves it, assumed from the system by others. */
  ability(): RootProbe;
  /**
   * Takes the right to serve the root. Only one agent may, because a second one would serve what the first changes. Then
   * tests what the root can do, and checks what a restart of the machine has damaged because it was not synced.
   *
   * @returns undefined if another process serves the root.
   */
  serve(): Promise<{ damaged: string[]; release: Release } | undefined>;
  /** The process that serves the root, in words. */
  server(): Promise<string | undefined>;
  /** Runs a method; see {@link Executor.execute}. */
  execute<M extends Executable>(method: M, params: Params<M>, by: string): Promise<Executed<M>>;
  /** Begins an install, or continues one; see {@link Uploads.begin}. */
  begin(params: BeginParams, by: string, link: (inflow: Inflow) => Link): Promise<Begun>;
  /** Installs a bundle that this process has; see {@link uploadOwn}. */
  install(params: BeginParams, by: string, send: Send): Promise<Installed>;
  /** Calls of the threads, for the watcher. */
  worker: WorkerClient;
  loads: Loads;
  maintenance: Maintenance;
  /** What is under way in this process: operations, tasks that wait for their lane, the usage of each pool of threads. */
  usage(): { operations: number; lanesWaiting: number; threads: Record<string, ThreadUsage> };
  /** What was counted on the disk lately. */
  measure(): Promise<Recently<RootMeasure>>;
  /** The operations that are under way in this process. */
  running(): { plugin: string; operationId: string }[];
  /** What the page showed of the disk lately. */
  overview(): Promise<Recently<Overview>>;
  /** Whether the root could be written to lately. */
  health(): Promise<Recently<RootHealth>>;
  /** Removes what is no longer needed, and reports it. */
  sweep(): Promise<Swept>;
  /** Takes the right to work on a plugin; see {@link PluginLocks.hold}. */
  hold(plugin: string): Promise<Release>;
  /** Runs a task after the current operations on a plugin and before later ones. */
  turn(plugin: string, task: () => Promise<void>): Promise<void>;
  /** Starts a thread before the first install. */
  warm(): void;
  /** Aborts what is not sealed, and waits for the rest. */
  drain(): Promise<void>;
  close(): Promise<void>;
};

/**
 * An agent starts on a full disk, because it takes one to remove something. It starts on a read-only disk, because
 * plugins can still be listed and verified.
 */
function tryOut(context: StoreContext, believed: RootProbe): RootProbe {
  try {
    removeLitter(context, '');
    return probeRoot(context.disk, context.layout);
  } catch (error) {
    const fault = diskFault(error, 'Trying out the root');
    if (fault.code !== 'NO_SPACE' && fault.code !== 'READ_ONLY') {
      throw fault;
    }
    context.complain(fault);
    return believed;
  }
}

type ServiceOptions = {
  /** The module that runs as engine thread. */
  workerFile: URL;
  clock: Clock;
  /** The agent's own data for a status. */
  about: () => Partial<Status>;
  tell: (event: EventBody) => void;
  /** A staged version with these directories is about to be swapped in. Default: nobody needs to know. */
  swapping?: UploadDependencies['swapping'];
  complain: (fault: Fault, stack: string | undefined) => void;
  /** The settings and the checks of this process, for a doctor. Default: none. */
  self?: { settings: readonly SettingInfo[]; own: OwnChecks };
};

/** Makes a service for a root. It changes nothing in the root before {@link Service.prepare}. */
export function openService(
  config: WorkConfig,
  {
    workerFile,
    clock,
    about,
    tell,
    swapping = () => undefined,
    complain,
    self = { settings: [], own: {} },
  }: ServiceOptions,
): Service {
  const layout = layoutOf(config.root, config.loadedDir);
  const owner = processIdentity();
  let probed: RootProbe | undefined;
  const ability = (): RootProbe =>
    probed ?? {
      exchange: nodeDisk.exchange !== undefined,
      syncAll: attempt(() => nodeDisk.canSyncAll(layout.root)) ?? false,
    };
  const context: StoreContext = {
    disk: nodeDisk,
    layout,
    policy: config.policy,
    ignore: createIgnore(config.policy.ignore),
    now: () => clock.now(),
    owner,
    tell,
    complain: (fault) => complain(fault, fault.stack),
    restartRuns: undefined,
  };
  let tried: Promise<Locks> | undefined;
  /** Locks are tested at their first use, because queries need none. */
  const locks = (): Promise<Locks> => (tried ??= createLocks(layout.locks, owner));
  const lazyLocks = {
    take: async (name: string) => (await locks()).take(name),
    holderOf: async (name: string) => (await locks()).holderOf(name),
  };
  const { root, loadedDir, policy, durability } = config;
  const prepare = async (): Promise<void> => {
    prepareRoot(nodeDisk, layout);
    // The note of another boot stays until the agent that serves the root has compared what that boot has left.
    if (durability === 'none') {
      noteUnsynced(context);
    }
    await locks();
  };
  const restartRuns = policy.restarts === 'command' ? new Int32Array(new SharedArrayBuffer(4)) : undefined;
  const data: EngineData = { kind: ENGINE, root, loadedDir, policy, durability, owner, restartRuns };
  const makePool = (max: number): Pool => new Pool({ file: workerFile, data, max, idleMillis: IDLE_MILLIS });
  const installs = makePool(INSTALL_THREADS);
  const tasks = makePool(TASK_THREADS);
  const slow = makePool(SLOW_THREADS);
  const downloads = makePool(EXPORT_THREADS);
  const looks = makePool(LOOK_THREADS);
  const examiners = makePool(DOCTOR_THREADS);
  const pools = { install: installs, task: tasks, slow, export: downloads, look: looks, check: examiners };
  const exports = { pool: new FairPool(downloads, clock), complain };
  const hear = (event: EventBody): void => {
    loads.heard(event);
    if (
      event.type === 'install.complete' ||
      event.type === 'install.rolled-back' ||
      event.type === 'plugin.removed'
    ) {
      failures.changed(event.data.plugin);
    }
    tell(event);
  };
  const worker = new WorkerClient(tasks, { tell: hear, complain });
  const inventory = inventoryOf(layout);
  const recover = async (plugin: string): Promise<void> => {
    await loads.noteOwed(plugin);
    try {
      const isRemoving = Object.values(pools).some((pool) => pool.isRemoving);
      if ((await inventory.unfinished(isRemoving)).includes(plugin)) {
        await worker.call('plugin.recover', { plugin });
      }
    } catch (error) {
      complain(toFault(error, `Recovering "${plugin}"`), undefined);
    }
  };
  const pluginLocks = new PluginLocks({ locks: lazyLocks, clock, wait: config.timeouts.lock, recover });
  const lanes = new Lanes();
  const loads = new Loads(worker, pluginLocks, lanes, clock, context.complain, restartRuns);
  const failures = new FailureNotes({ worker, pluginLocks, lanes, clock, complain: context.complain });
  const failed = (what: Failure): void => failures.note(what);
  const dependencies = {
    pool: new FairPool(installs, clock),
    lanes,
    pluginLocks,
    clock,
    timeouts: config.timeouts,
    tell: hear,
    swapping,
    failed,
    complain,
  };
  const uploads = new Uploads(dependencies, worker);
  const pulls = new Pulls({
    uploads,
    worker,
    clock,
    tell: hear,
    failed,
    staging: layout.staging,
    timeouts: config.timeouts,
    maxPacked: config.policy.maxPacked,
    settings: { tokenFile: config.pullTokenFile, from: config.pullFrom, ca: config.pullCa },
  });
  const maintenance = new Maintenance(worker, pluginLocks, inventory);
  const sweep = async (): Promise<Swept> => {
    const swept = await maintenance.sweep();
    tell({ type: 'sweep.done', data: countsOf(swept) });
    return swept;
  };
  const running = (): { plugin: string; operationId: string }[] => [
    ...pulls.running,
    ...uploads.running,
    ...executor.running,
  ];
  const looker = new WorkerClient(looks, { tell: hear, complain });
  const healthy = new Recent({ get: () => lookAtRoot(layout), clock: steadyClock, ...HEALTH });
  const measured = new Recent({
    get: () => looker.call('root.measure', undefined),
    clock: steadyClock,
    ...LOOKS,
  });
  const seen = new Recent({
    get: () => looker.call('root.overview', undefined),
    clock: steadyClock,
    ...OVERVIEWS,
  });
  const status = async (params: Params<'status'>): Promise<Status> => {
    const { exchange, syncAll } = ability();
    const syncs = syncAll ? 'syncfs' : 'fsync';
    const own = about();
    const health = await healthy.ask();
    // A command may have no business with writing; that the root is full concerns everybody.
    const blocked = own.agent === undefined && health.value === undefined ? undefined : blockedBy(health);
    return {
      ...own,
      ...(blocked === undefined ? {} : { blocked }),
      root,
      swap: exchange ? 'exchange' : 'rename',
      durability: durability === 'none' ? 'none' : syncs,
      locks: (await locks()).kind,
      operations: truncate(running()),
      ...(await worker.call('root.status', params)),
    };
  };
  const examiner = new WorkerClient(examiners, { tell: hear, complain });
  const doctor = openDoctor({
    root,
    agent: () => about().agent,
    settings: self.settings,
    own: { ...self.own, locks: () => checkLocks(layout.locks) },
    ask: (check, busy) => examiner.call('root.check', { check, durability, busy }),
    busy: () => busyPlugins(running(), inventory, lazyLocks),
    clock,
  });
  const executor = new Executor({
    worker,
    slow: new WorkerClient(slow, { tell: hear, complain }),
    pluginLocks,
    lanes,
    failed,
    complain,
    own: {
      'install.commit': ({ operationId }) => uploads.commit(operationId),
      'install.abort': ({ operationId }) =>
        Promise.resolve({ aborted: pulls.abort(operationId) || uploads.abort(operationId) }),
      'plugin.pull': (params, by) => pulls.pull(params, by),
      reconcile: (params, by) =>
        reconcile(
          {
            worker,
            adopt: (asked) => executor.execute('plugin.adopt', asked, by),
            pull: (asked) => pulls.pull(asked, by),
          },
          params,
        ),
      'plugin.export': (params) => openExport(exports, params),
      'runtime.restarted': (params) => loads.restarted(params),
      recover: ({ plugin }) => maintenance.recover(plugin),
      sweep,
      status,
      doctor,
    },
  });
  return {
    prepare,
    locks,
    ability,
    serve: async () => {
      const release = await lazyLocks.take(AGENT_LOCK);
      if (release === undefined) {
        return undefined;
      }
      try {
        probed = tryOut(context, ability());
        // The comparison may take long, and most agents need no thread for it.
        const isNoted = await access(layout.unsynced).then(
          () => true,
          () => false,
        );
        const damaged =
          durability === 'none' || isNoted ? await worker.call('root.settle', { durability }) : [];
        return { release, damaged };
      } catch (error) {
        await release();
        throw error;
      }
    },
    server: () => lazyLocks.holderOf(AGENT_LOCK),
    execute: (method, params, by) => executor.execute(method, params, by),
    begin: (params, by, link) => uploads.begin(params, by, link),
    install: (params, by, send) => uploadOwn(uploads, params, by, send),
    worker,
    loads,
    maintenance,
    usage: () => ({
      operations: running().length,
      lanesWaiting: lanes.waiting,
      threads: Object.fromEntries(Object.entries(pools).map(([name, pool]) => [name, pool.usage])),
    }),
    measure: () => measured.ask(),
    running,
    overview: () => seen.ask(),
    health: () => healthy.ask(),
    sweep,
    hold: (plugin) => pluginLocks.hold(plugin),
    turn: (plugin, task) => lanes.run(plugin, task),
    warm: () => installs.warm(),
    drain: async () => {
      await Promise.all([pulls.drain(), uploads.drain(), executor.drain()]);
      await failures.drain();
      await Promise.all(Object.values(pools).map((pool) => pool.removed()));
    },
    close: async () => {
      await Promise.all(Object.values(pools).map((pool) => pool.close()));
    },
  };
}

/** The numbers of a sweep, for its event and the log. */
export const countsOf = (swept: Swept): Extract<EventBody, { type: 'sweep.done' }>['data'] => ({
  snapshots: swept.snapshots.total,
  receipts: swept.receipts.total,
  adopted: swept.adopted.total,
  operations: swept.operations,
  busy: swept.busy.total,
  failed: swept.failed.total,
});
