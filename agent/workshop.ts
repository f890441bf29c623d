/**
 * Everything that works on a root, without a socket: what the agent serves, and what a command does by itself where there
 * is no agent to ask, under the same locks.
 */
import type { EventBody } from '../shared/events.ts';
import { Fault, toFault } from '../shared/fault.ts';
import { layoutOf } from '../shared/layout.ts';
import { createIgnore } from '../shared/tree.ts';
import type { WorkConfig } from './config.ts';
import { diskFault } from './disk/disk-fault.ts';
import { processIdentity } from './disk/identity.ts';
import type { Release } from './disk/lock-record.ts';
import { type Locks, createLocks } from './disk/lock.ts';
import { nodeDisk } from './disk/node-disk.ts';
import type { Ground } from './install/ground.ts';
import { prepareRoot } from './install/prepare.ts';
import { type RootProbe, probeRoot } from './install/probe.ts';
import { draftsIn, knownPlugins } from './install/sweep.ts';
import { removeLitter, unfinishedPlugins } from './install/unfinished.ts';
import { noteVolatile, settleVolatile } from './install/volatile.ts';
import { askPool } from './operation/ask.ts';
import { Care } from './operation/care.ts';
import { Changes } from './operation/changes.ts';
import type { Clock } from './operation/clock.ts';
import { Holds } from './operation/holds.ts';
import { Lanes } from '../shared/lanes.ts';
import { Loads } from './operation/loads.ts';
import { Looks } from './operation/looks.ts';
import { Operations } from './operation/operations.ts';
import { Pool } from './operation/pool.ts';
import { Turns } from './operation/turns.ts';
import { ENGINE, type EngineData } from './worker/messages.ts';

/** Most installs at once; more wait for their turn. */
const INSTALL_THREADS = 8;
/** Threads for everything else, apart, so that stalled uploads never keep a list waiting. */
const TASK_THREADS = 2;
const IDLE_MILLIS = 15_000;
/** The lock of who serves the root: no plugin has such a name. */
const AGENT_LOCK = '.agent';

export type Workshop = {
  locks: Locks;
  /** What the root can do: tried out by who serves it, taken from the system by others. */
  ability(): RootProbe;
  /**
   * Takes the right to serve the root: one agent does, for a second one would serve what the first changes under it. Then
   * tries out what the root can do, and looks what a restart of the machine has damaged because nothing was synced.
   *
   * @returns undefined if somebody serves it already.
   */
  serve(): { damaged: string[]; release: Release } | undefined;
  /** Who serves the root, in words. */
  server(): string | undefined;
  looks: Looks;
  loads: Loads;
  care: Care;
  changes: Changes;
  operations: Operations;
  /** Takes the right to work on a plugin; see {@link Holds.hold}. */
  hold(plugin: string): Promise<Release>;
  /** Runs a task after all that is being done to a plugin, and before what is done to it later. */
  turn(plugin: string, task: () => Promise<void>): Promise<void>;
  /** Starts a thread ahead of the first install. */
  warm(): void;
  /** Gives up what is not sealed, and waits for the rest. */
  drain(): Promise<void>;
  close(): Promise<void>;
};

/**
 * A full disk keeps no agent from starting, for it takes one to remove something; nor does a read-only one, whose plugins
 * can still be listed and verified.
 */
function tryOut(ground: Ground, believed: RootProbe): RootProbe {
  try {
    removeLitter(ground, '');
    return probeRoot(ground.disk, ground.layout);
  } catch (error) {
    const fault = diskFault(error, 'Trying out the root');
    if (fault.code !== 'NO_SPACE' && fault.code !== 'READ_ONLY') {
      throw fault;
    }
    ground.complain(fault);
    return believed;
  }
}

type Around = {
  /** The module that runs as engine thread. */
  workerFile: URL;
  clock: Clock;
  tell: (event: EventBody) => void;
  complain: (fault: Fault, stack: string | undefined) => void;
};

/**
 * Makes ready to work on a root: prepares and probes it.
 *
 * @throws Fault READ_ONLY, NO_SPACE, INTERNAL if the root cannot be used.
 */
export function openWorkshop(config: WorkConfig, { workerFile, clock, tell, complain }: Around): Workshop {
  const layout = layoutOf(config.root, config.loadedDir);
  const owner = processIdentity();
  prepareRoot(nodeDisk, layout);
  let ability: RootProbe = {
    exchange: nodeDisk.exchange !== undefined,
    syncAll: nodeDisk.canSyncAll(layout.staging),
  };
  const ground: Ground = {
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
  const locks = createLocks(layout.locks, owner);
  const { root, loadedDir, policy, durability } = config;
  // A note of another boot stays until who serves the root has compared what that boot has left.
  if (durability === 'none') {
    noteVolatile(ground);
  }
  const restartRuns = policy.restarts === 'command' ? new Int32Array(new SharedArrayBuffer(4)) : undefined;
  const data: EngineData = { kind: ENGINE, root, loadedDir, policy, durability, owner, restartRuns };
  const makePool = (max: number): Pool => new Pool({ file: workerFile, data, max, idleMillis: IDLE_MILLIS });
  const installs = makePool(INSTALL_THREADS);
  const tasks = makePool(TASK_THREADS);
  const hear = (event: EventBody): void => {
    loads.heard(event);
    tell(event);
  };
  const ask = askPool(tasks, { tell: hear, complain });
  const looks = new Looks(ask, ground.ignore);
  const recover = async (plugin: string): Promise<void> => {
    try {
      if (unfinishedPlugins(ground).includes(plugin)) {
        await ask({ kind: 'recover', plugin }, 'recovered').answer;
      }
    } catch (error) {
      complain(toFault(error, `Recovering "${plugin}"`), undefined);
    }
  };
  const holds = new Holds({ locks, clock, wait: config.patience.lock, recover });
  const lanes = new Lanes();
  const changes = new Changes(ask, holds, lanes);
  const loads = new Loads(ask, holds, lanes, clock, restartRuns);
  const around = {
    pool: new Turns(installs, clock),
    lanes,
    holds,
    clock,
    patience: config.patience,
    tell: hear,
    complain,
  };
  const operations = new Operations(around, looks);
  return {
    locks,
    ability: () => ability,
    serve: () => {
      const release = locks.tryLock(AGENT_LOCK);
      if (release === undefined) {
        return undefined;
      }
      try {
        ability = tryOut(ground, ability);
        return { release, damaged: settleVolatile(ground, durability) };
      } catch (error) {
        release();
        throw error;
      }
    },
    server: () => locks.holderOf(AGENT_LOCK),
    looks,
    loads,
    care: new Care(ask, holds, {
      unfinished: () => unfinishedPlugins(ground),
      known: () => knownPlugins(ground),
      answers: () => nodeDisk.list(layout.operations).length,
      drafts: () => draftsIn(ground).length,
    }),
    changes,
    operations,
    hold: (plugin) => holds.hold(plugin),
    turn: (plugin, task) => lanes.run(plugin, task),
    warm: () => installs.warm(),
    drain: async () => {
      await Promise.all([operations.drain(), changes.drain()]);
    },
    close: async () => {
      await Promise.all([installs.close(), tasks.close()]);
    },
  };
}
