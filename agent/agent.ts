/** The agent, put together: the only file that knows every part. */
import { randomUUID } from 'node:crypto';

import type { EventBody } from '../shared/events.ts';
import { Fault, toFault } from '../shared/fault.ts';
import type { Hello } from '../shared/methods.ts';
import { CLOSE, PROTOCOL, WIRE } from '../shared/rpc.ts';
import type { Swept } from '../shared/upkeep.ts';
import { layoutOf } from '../shared/layout.ts';
import { bootInstall } from './boot.ts';
import type { AgentConfig } from './config.ts';
import { listenOr, openDoor } from './door.ts';
import { type Hearing, hearLoaded } from './hearing.ts';
import type { Log } from './log.ts';
import { readable } from './install/unpack.ts';
import { systemClock } from './operation/clock.ts';
import { Restarter } from './restart.ts';
import type { Desk } from './session/desk.ts';
import { Outbox } from './session/outbox.ts';
import { Session } from './session/session.ts';
import { statusOf } from './status.ts';
import { type Workshop, openWorkshop } from './workshop.ts';

const DRAIN_MILLIS = 20_000;
const SWEEP_MILLIS = 60 * 60 * 1000;

/** An agent that runs. */
export type Agent = {
  /** The path, where it listens on a Unix socket; its port is 0 then. */
  host: string;
  port: number;
  bootId: string;
  /** Tells everybody, finishes what is past its swap, gives up the rest, closes. At most 20 s. */
  close(): Promise<void>;
};

/**
 * Starts an agent: checks the tokens, prepares the root, listens.
 *
 * @param workerFile the module that runs as engine thread.
 * @throws Fault INVALID_PARAMS, READ_ONLY, NO_SPACE, INTERNAL
 */
export async function startAgent(
  config: AgentConfig,
  workerFile: URL,
  version: string,
  log: Log,
): Promise<Agent> {
  const door = openDoor(config, log);
  const outbox = new Outbox(randomUUID(), Date.now);
  const tell = (event: EventBody): void => {
    log.info({ event: event.type, ...event.data }, 'event');
    outbox.publish(event);
    if (event.type === 'plugin.changed' && event.data.restarting) {
      restarter?.want();
    }
  };
  const complain = (fault: Fault, stack: string | undefined): void => {
    const level = fault.status >= 500 ? 'error' : 'info';
    log[level]({ code: fault.code, stack: fault.status >= 500 ? stack : undefined }, fault.message);
  };
  const workshop = openWorkshop(config, { workerFile, clock: systemClock, tell, complain });
  const restarter = restarterOf(config, workshop, log);
  const served = workshop.serve();
  let hearing: Hearing | undefined;
  try {
    if (served === undefined) {
      throw new Fault('LOCKED', `Another agent works on "${config.root}"`, {
        hint: `End ${workshop.server() ?? 'it'}, or give this agent another AIRLOCK_ROOT`,
      });
    }
    for (const plugin of served.damaged) {
      log.error({ plugin }, 'not as installed: it was written without syncs, and the machine was restarted');
    }
    const sweep = async (): Promise<Swept> => {
      const swept = await workshop.care.sweep();
      tell({ type: 'sweep.done', data: countsOf(swept) });
      return swept;
    };
    // Nobody is listened to yet: waiting for a lock alone would let the process end.
    const awake = setInterval(() => undefined, SWEEP_MILLIS);
    await prepare(config, workshop, log).finally(() => clearInterval(awake));
    const { loaded } = layoutOf(config.root, config.loadedDir);
    hearing = await hearLoaded(loaded, tell, (fault) => complain(fault, undefined));
    await restartWhatWaits(workshop, restarter, log);
    const desk = deskOf(config, workshop, { version, bootId: outbox.bootId, sweep });
    const server = await listenOr(config, {
      ...door.options,
      session: (socket, caller, child) => new Session(socket, caller, desk, outbox, child),
      log,
    });
    const { host, port } = server;
    const watching = door.watch(server);
    const timer = setInterval(() => {
      sweep().catch((error: unknown) => complain(toFault(error, 'Sweeping'), undefined));
    }, SWEEP_MILLIS);
    timer.unref();
    log.info({ host, port, root: config.root, bootId: outbox.bootId, version }, 'listening');
    return {
      host,
      port,
      bootId: outbox.bootId,
      close: async () => {
        log.info('draining');
        outbox.publish({ type: 'draining', data: {} });
        clearInterval(timer);
        watching();
        hearing?.close();
        server.stop();
        await atMost(DRAIN_MILLIS * 0.8, workshop.drain());
        await atMost(DRAIN_MILLIS * 0.1, restarter?.close() ?? Promise.resolve());
        await server.close(CLOSE.draining, 'draining', DRAIN_MILLIS * 0.1);
        await workshop.close();
        served.release();
        log.info('closed');
      },
    };
  } catch (error) {
    hearing?.close();
    await restarter?.close();
    await workshop.close();
    served?.release();
    throw error;
  }
}

/** What sessions can ask for, from what the workshop does. */
function deskOf(
  config: AgentConfig,
  workshop: Workshop,
  { version, bootId, sweep }: { version: string; bootId: string; sweep: () => Promise<Swept> },
): Desk {
  const { operations, looks, loads, changes, care } = workshop;
  const startedAt = new Date().toISOString();
  return {
    hello: () => helloOf(config, version, bootId),
    begin: (params, by, link) => operations.begin(params, by, link),
    commit: (operationId) => operations.commit(operationId),
    abort: (operationId) => operations.abort(operationId),
    list: () => looks.list(),
    get: (plugin) => looks.get(plugin),
    verify: (plugin) => looks.verify(plugin),
    classify: (params) => looks.classify(params),
    basis: (plugin) => looks.basis(plugin),
    restarted: (params) => loads.restarted(params),
    rollback: (params, by) => changes.rollback(params, by),
    uninstall: (params, by) => changes.uninstall(params, by),
    recover: (plugin) => care.recover(plugin),
    sweep,
    status: async () => ({
      agent: version,
      workspace: config.workspace ?? null,
      bootId,
      startedAt,
      ...(await statusOf(workshop, config)),
    }),
    expectWork: () => workshop.warm(),
  };
}

/** Without a command of its own the agent restarts nothing: who asks for a change is told what it takes. */
function restarterOf({ restart }: AgentConfig, { loads }: Workshop, log: Log): Restarter | undefined {
  return restart === undefined
    ? undefined
    : new Restarter({
        ...restart,
        clock: systemClock,
        begin: () => loads.begin(),
        loaded: (began) => loads.loaded(began, 'restart-command'),
        log,
      });
}

/** A restart that was promised and had not ended well when an agent ended is made up for. */
async function restartWhatWaits(
  { looks }: Workshop,
  restarter: Restarter | undefined,
  log: Log,
): Promise<void> {
  try {
    if (restarter !== undefined && (await looks.list()).some(({ pending }) => pending?.restarting)) {
      restarter.want();
    }
  } catch (error) {
    log.error({ err: error }, 'what waits for a restart cannot be listed');
  }
}

/** What is done before anybody is let in. Listening depends on none of it. */
async function prepare(
  { root, bootFrom, durability }: AgentConfig,
  workshop: Workshop,
  log: Log,
): Promise<void> {
  const { locks, care } = workshop;
  const ability = workshop.ability();
  log.info({ ...ability, locks: locks.kind, durability }, 'root');
  if (!ability.exchange) {
    log.warn('no exchange of directories here: a plugin is absent for a moment while it is updated');
  }
  try {
    const { recovered, busy, failed } = await care.recover();
    for (const { plugin, stamp, rows, held } of recovered.items) {
      log[held === undefined ? 'info' : 'error']({ plugin, stamp, rows, held }, 'recovered');
    }
    for (const { plugin, error } of failed.items) {
      log.error({ plugin, code: error.code }, error.detail);
    }
    if (busy.total > 0) {
      log.info({ plugins: busy.items }, 'another process works on these: not recovered');
    }
    log.info(countsOf(await care.sweep()), 'swept');
  } catch (error) {
    log.error({ err: error }, 'recovery failed; every operation recovers its own plugin first');
  }
  if (bootFrom !== undefined) {
    try {
      for (const { file, plugin, status, detail } of await bootInstall(workshop, root, bootFrom)) {
        log[status === 'failed' ? 'error' : 'info']({ file, plugin, status, detail }, 'boot-install');
      }
    } catch (error) {
      log.error({ err: error }, 'boot-install failed');
    }
  }
}

const countsOf = (swept: Swept): Extract<EventBody, { type: 'sweep.done' }>['data'] => ({
  snapshots: swept.snapshots.total,
  receipts: swept.receipts.total,
  adopted: swept.adopted.total,
  operations: swept.operations,
  busy: swept.busy.total,
  failed: swept.failed.total,
});

function helloOf({ workspace, runtime, policy }: AgentConfig, version: string, bootId: string): Hello {
  const { frameBytes, windowBytes, requestsInFlight, streamsInFlight } = WIRE;
  return {
    agent: version,
    workspace: workspace ?? null,
    runtime: runtime ?? null,
    bootId,
    protocol: PROTOCOL,
    capabilities: [...readable(), 'resume'],
    limits: {
      frameBytes,
      windowBytes,
      requestsInFlight,
      streamsInFlight,
      packedBytes: policy.maxPacked,
      unpackedBytes: policy.maxUnpacked,
      entries: policy.maxEntries,
    },
  };
}

async function atMost(millis: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, millis);
  });
  await Promise.race([work, patience]);
  clearTimeout(timer);
}
