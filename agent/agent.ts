/** Composes the agent. Only this file knows all of its parts. */
import { randomUUID } from 'node:crypto';

import { ok, settingsText } from '../shared/api/doctor.ts';
import type { EventBody } from '../shared/api/events.ts';
import { Fault, toFault } from '../shared/api/fault.ts';
import { CLOSE, PROTOCOL, WIRE } from '../shared/api/rpc.ts';
import type { Status, WatchStatus } from '../shared/api/maintenance.ts';
import type { Hello } from '../shared/api/session.ts';
import { layoutOf } from '../shared/format/layout.ts';
import { createIgnore } from '../shared/format/tree.ts';
import { bootInstall } from './service/boot-install.ts';
import type { AgentConfig } from './config.ts';
import { Dialler, type DialOptions } from './transport/dial.ts';
import { listenOr, openIngress } from './transport/ingress.ts';
import { type LoadedReports, watchLoadedReports } from './service/loaded-reports.ts';
import type { Log } from './log.ts';
import type { Heard } from './metrics/facts.ts';
import { createObservation } from './observation.ts';
import { atMost, steadyClock, systemClock } from '../shared/clock.ts';
import { Restarter } from './service/restarter.ts';
import { readable } from './archive/decompress.ts';
import type { Release } from './disk/lock-record.ts';
import type { OpenSession } from './transport/connection.ts';
import { EventLog } from './transport/event-log.ts';
import type { Listening } from './transport/server.ts';
import { type Served, Session } from './transport/session.ts';
import type { Address } from './transport/bind.ts';
import { checkDial, checkListening, checkTls, checkToken, checkWatch } from './transport/own-checks.ts';
import { StreamMemory } from './transport/streams.ts';
import { type WatchBridge, type WatchBridgeOptions, openWatchBridge } from './service/watch-bridge.ts';
import { type Service, countsOf, openService } from './service/service.ts';

const NOT_WATCHING: WatchStatus = { mode: 'off', notices: [] };
const DRAIN_MILLIS = 20_000;
const SWEEP_MILLIS = 60 * 60 * 1000;

/** A running agent. */
export type Agent = {
  /** The address; for a Unix socket its path, and then the port is 0. */
  host: string;
  port: number;
  bootId: string;
  /** Tells all clients, finishes changes that are past their swap, aborts the rest, and closes. Takes at most 20 s. */
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
  const door = await openIngress(config, log);
  const eventLog = new EventLog(randomUUID(), Date.now);
  // The parts that receive events of the service and that the service is needed for. Earlier events do not concern them.
  const hearers: {
    restarter?: Restarter | undefined;
    watching?: WatchBridge | undefined;
    dialler?: Dialler | undefined;
    server?: Listening;
    /** Where it listens. */
    address?: Address | undefined;
  } = {};
  const observation = createObservation();
  const { metrics, traffic } = observation;
  let draining = false;
  const tell = (event: EventBody): void => {
    log.info({ event: event.type, ...event.data }, 'event');
    eventLog.publish(event);
    observation.hear(event);
    hearers.watching?.heard(event);
    if (event.type === 'sweep.done') {
      observation.unrecovered(leftUndone(event.data.failed));
    }
    if (event.type === 'plugin.changed' && event.data.restarting) {
      hearers.restarter?.want();
    }
  };
  const complain = (fault: Fault, stack: string | undefined): void => {
    const level = fault.status >= 500 ? 'error' : 'info';
    log[level]({ code: fault.code, stack: fault.status >= 500 ? stack : undefined }, fault.message);
  };
  const startedAt = new Date().toISOString();
  const about = (): Partial<Status> => ({
    agent: version,
    workspace: config.workspace ?? null,
    bootId: eventLog.bootId,
    startedAt,
    watch: hearers.watching?.status() ?? NOT_WATCHING,
    dial: hearers.dialler?.status ?? null,
    restart: hearers.restarter?.status() ?? null,
  });
  const service = openService(config, {
    workerFile,
    clock: systemClock,
    about,
    tell,
    swapping: (plugin, stamp, directories) => hearers.watching?.expect(plugin, stamp, directories),
    complain,
    self: {
      settings: config.effective,
      own: {
        settings: () => Promise.resolve([ok(settingsText(config.effective))]),
        token: () => checkToken(config, true),
        tls: () => checkTls(config, Date.now()),
        listen: async () =>
          hearers.address === undefined ? [] : checkListening(hearers.address, config.tls !== undefined),
        dial: () => Promise.resolve(checkDial(config.dial, hearers.dialler?.status ?? null)),
        watch: () => Promise.resolve(checkWatch(hearers.watching?.status() ?? NOT_WATCHING, config.watch)),
      },
    },
  });
  await service.prepare();
  hearers.restarter = restarterOf(config, service, log);
  let release: Release | undefined;
  let loadedReports: LoadedReports | undefined;
  try {
    const served = await service.serve();
    if (served === undefined) {
      throw new Fault('LOCKED', `Another agent works on "${config.root}"`, {
        hint: `End ${(await service.server()) ?? 'it'}, or give this agent another AIRLOCK_ROOT`,
      });
    }
    const giveBack = served.release;
    release = giveBack;
    for (const plugin of served.damaged) {
      log.error(
        { plugin },
        'differs from its receipt: it was written without syncs before the machine was restarted',
      );
    }
    // No socket is open yet, and waiting for a lock alone would let the process end.
    const awake = setInterval(() => undefined, SWEEP_MILLIS);
    const unrecovered = await prepare(config, service, log).finally(() => clearInterval(awake));
    observation.unrecovered(unrecovered);
    const { loaded } = layoutOf(config.root, config.loadedDir);
    const reported = (plugin: string): void => hearers.watching?.loaded(plugin);
    loadedReports = await watchLoadedReports(loaded, tell, (fault) => complain(fault, undefined), reported);
    await restartWhatWaits(service, hearers.restarter, log);
    const memory = new StreamMemory();
    const hello = helloOf(config, version, eventLog.bootId);
    const answered: Served['answered'] = (method, code) =>
      metrics.hear({ type: 'request.answered', data: { method, code } });
    const session: OpenSession = (socket, caller, child) =>
      new Session(socket, caller, { hello, service, memory, clock: systemClock, answered }, eventLog, child);
    const probes = observation.probes({
      version,
      root: config.root,
      service,
      about,
      draining: () => draining,
      certificateEnds: () => hearers.server?.certificateEnds(),
    });
    const hear = (heard: Heard): void => metrics.hear(heard);
    const shown = { probes, hear, traffic: traffic.client };
    const server = await listenOr(config, { ...door.options, ...shown, session, log });
    hearers.server = server;
    const unwatchLoop = observation.watchLoop();
    const { host, port } = server;
    hearers.address = 'path' in config.listen ? config.listen : { host, port };
    const changing = door.watch(server);
    hearers.watching = startWatching(config, service, { tell, log });
    const timer = setInterval(() => {
      service.sweep().catch((error: unknown) => complain(toFault(error, 'Sweeping'), undefined));
    }, SWEEP_MILLIS);
    timer.unref();
    log.info({ host, port, root: config.root, bootId: eventLog.bootId, version }, 'listening');
    const dialler = diallerOf(config, { agent: version, session, traffic: traffic.platform, log });
    hearers.dialler = dialler;
    dialler?.start();
    return {
      host,
      port,
      bootId: eventLog.bootId,
      close: async () => {
        log.info('draining');
        draining = true;
        unwatchLoop();
        eventLog.publish({ type: 'draining', data: {} });
        clearInterval(timer);
        changing();
        loadedReports?.close();
        const unwatched = hearers.watching?.close();
        server.stop();
        dialler?.stop();
        await atMost(DRAIN_MILLIS * 0.65, service.drain());
        await atMost(DRAIN_MILLIS * 0.1, hearers.restarter?.close() ?? Promise.resolve());
        // A caller whose thread is ended early gets an answer before its connection is closed.
        const ended = service.close();
        await atMost(DRAIN_MILLIS * 0.1, ended);
        // Lets the answers reach the sockets.
        await new Promise((resolve) => setImmediate(resolve));
        const grace = [CLOSE.draining, 'draining', DRAIN_MILLIS * 0.1] as const;
        await Promise.all([server.close(...grace), dialler?.close(...grace)]);
        // The tasks of the watcher end with the threads. While a thread lives, no other agent may serve the root.
        const left = Promise.all([ended, unwatched]).then(giveBack);
        await atMost(DRAIN_MILLIS * 0.05, left);
        log.info('closed');
      },
    };
  } catch (error) {
    loadedReports?.close();
    await hearers.watching?.close();
    await hearers.restarter?.close();
    await service.close();
    await release?.();
    throw error;
  }
}

/** From here on edits by hand are reported. */
function startWatching(
  { watch, root, policy }: AgentConfig,
  service: Service,
  dependencies: Pick<WatchBridgeOptions, 'tell' | 'log'>,
): WatchBridge | undefined {
  const ignore = createIgnore(policy.ignore);
  return watch === 'off'
    ? undefined
    : openWatchBridge({
        ...dependencies,
        root,
        ignore,
        givesAway: policy.owner !== undefined,
        worker: service.worker,
        turn: (plugin, task) => service.turn(plugin, task),
        clock: systemClock,
        polling: watch === 'polling',
      });
}

/** Without a platform the agent only listens. */
const diallerOf = (
  { dial }: AgentConfig,
  dependencies: Pick<DialOptions, 'agent' | 'session' | 'traffic' | 'log'>,
): Dialler | undefined =>
  dial === undefined
    ? undefined
    : new Dialler({ ...dial, ...dependencies, clock: steadyClock, random: Math.random });

/** Without a restart command the agent restarts nothing: the answer tells the caller that a restart is needed. */
function restarterOf({ restart }: AgentConfig, { loads }: Service, log: Log): Restarter | undefined {
  return restart === undefined
    ? undefined
    : new Restarter({
        ...restart,
        clock: systemClock,
        begin: async () => ((await loads.takeUp()) ? loads.begin() : undefined),
        loaded: (began) => loads.loaded(began, 'restart-command'),
        ended: () => loads.ended(),
        log,
      });
}

/** Repeats once a promised restart that had not ended well when the last agent ended. */
async function restartWhatWaits(
  { loads }: Service,
  restarter: Restarter | undefined,
  log: Log,
): Promise<void> {
  try {
    if (restarter !== undefined && (await loads.promised())) {
      restarter.want();
    }
  } catch (error) {
    log.error({ err: error }, 'the promised restart cannot be repeated');
  }
}

/** The work before the agent listens. Its failures do not prevent listening. @returns what recovery has left undone. */
async function prepare(
  { root, bootFrom, durability }: AgentConfig,
  service: Service,
  log: Log,
): Promise<string | undefined> {
  const { maintenance } = service;
  const ability = service.ability();
  const { kind: locks } = await service.locks();
  log.info({ ...ability, locks, durability }, 'root');
  if (!ability.exchange) {
    log.warn('directories cannot be exchanged here: a plugin is absent for a moment during an update');
  }
  let left: string | undefined;
  try {
    const { recovered, busy, failed } = await maintenance.recover();
    for (const { plugin, stamp, rows, held } of recovered.items) {
      log[held === undefined ? 'info' : 'error']({ plugin, stamp, rows, held }, 'recovered');
    }
    for (const { plugin, error } of failed.items) {
      log.error({ plugin, code: error.code }, error.detail);
    }
    if (busy.total > 0) {
      log.info({ plugins: busy.items }, 'not recovered: another process works on these plugins');
    }
    const swept = countsOf(await maintenance.sweep());
    log.info(swept, 'swept');
    left = leftUndone(Math.max(failed.total, swept.failed));
  } catch (error) {
    left = 'Recovery has failed';
    log.error({ err: error }, 'recovery failed; every operation recovers its own plugin first');
  }
  if (bootFrom !== undefined) {
    try {
      for (const { file, plugin, status, detail } of await bootInstall(service, root, bootFrom)) {
        log[status === 'failed' ? 'error' : 'info']({ file, plugin, status, detail }, 'boot-install');
      }
    } catch (error) {
      log.error({ err: error }, 'boot-install failed');
    }
  }
  return left;
}

const leftUndone = (failed: number): string | undefined =>
  failed === 0 ? undefined : `Recovery or a sweep has failed for ${failed} plugins`;

function helloOf({ workspace, runtime, policy }: AgentConfig, version: string, bootId: string): Hello {
  const { frameBytes, windowBytes, requestsInFlight, streamsInFlight } = WIRE;
  return {
    agent: version,
    workspace: workspace ?? null,
    runtime: runtime ?? null,
    bootId,
    protocol: PROTOCOL,
    capabilities: [...readable(), 'resume', 'delta'],
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
