/** The agent, put together: the only file that knows every part. */
import { randomUUID } from 'node:crypto';

import { Fault } from '../shared/fault.ts';
import { layoutOf } from '../shared/layout.ts';
import type { Hello } from '../shared/methods.ts';
import { CLOSE, PROTOCOL, WIRE } from '../shared/rpc.ts';
import type { AgentConfig } from './config.ts';
import { processIdentity } from './disk/identity.ts';
import { nodeDisk } from './disk/node-disk.ts';
import { prepareRoot } from './install/prepare.ts';
import type { Log } from './log.ts';
import { systemClock } from './operation/clock.ts';
import { Lanes } from './operation/lane.ts';
import { Looks } from './operation/looks.ts';
import { Operations } from './operation/operations.ts';
import { Pool } from './operation/pool.ts';
import type { Desk } from './session/desk.ts';
import { type Listening, listen } from './session/listen.ts';
import { Outbox } from './session/outbox.ts';
import { Session } from './session/session.ts';
import { Tokens } from './tokens.ts';
import { ENGINE, type EngineData } from './worker/messages.ts';

/** Most installs at once; more wait for their turn. */
const INSTALL_THREADS = 8;
/** Threads for questions, apart, so that stalled uploads never keep a list waiting. */
const LOOK_THREADS = 2;
const IDLE_MILLIS = 15_000;
const DRAIN_MILLIS = 20_000;

/** An agent that runs. */
export type Agent = {
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
  const tokens = new Tokens(config.token, config.tokenFile, (fault) =>
    log.warn({ err: fault }, fault.message),
  );
  prepareRoot(nodeDisk, layoutOf(config.root));

  const outbox = new Outbox(randomUUID(), Date.now);
  const data: EngineData = {
    kind: ENGINE,
    root: config.root,
    policy: config.policy,
    durability: config.durability,
    owner: processIdentity(),
  };
  const pools = [INSTALL_THREADS, LOOK_THREADS].map(
    (max) => new Pool({ file: workerFile, data, max, idleMillis: IDLE_MILLIS }),
  );
  const [installs, questions] = pools;
  if (installs === undefined || questions === undefined) {
    throw new Fault('INTERNAL', 'The pools are missing');
  }
  const complain = (fault: Fault, stack: string | undefined): void => {
    const level = fault.status >= 500 ? 'error' : 'info';
    log[level]({ code: fault.code, stack: fault.status >= 500 ? stack : undefined }, fault.message);
  };
  const looks = new Looks(questions, complain);
  await recoverAtBoot(config.root, looks, log);
  const operations = new Operations(
    {
      pool: installs,
      lanes: new Lanes(),
      clock: systemClock,
      patience: config.patience,
      tell: (event) => {
        log.info({ event: event.type, ...event.data }, 'event');
        outbox.publish(event);
      },
      complain,
    },
    looks,
  );
  const desk: Desk = {
    hello: () => helloOf(config, version, outbox.bootId),
    begin: (params, by, link) => operations.begin(params, by, link),
    commit: (operationId) => operations.commit(operationId),
    abort: (operationId) => operations.abort(operationId),
    list: () => looks.list(),
    get: (plugin) => looks.get(plugin),
    verify: (plugin) => looks.verify(plugin),
    expectWork: () => installs.warm(),
  };
  const server = await listenOr(config, {
    ...config.listen,
    authenticate: (header) => tokens.authenticate(header),
    session: (socket, caller, child) => new Session(socket, caller, desk, outbox, child),
    log,
  });
  const { host, port } = server;
  log.info({ host, port, root: config.root, bootId: outbox.bootId, version }, 'listening');
  return {
    host,
    port,
    bootId: outbox.bootId,
    close: async () => {
      log.info('draining');
      outbox.publish({ type: 'draining', data: {} });
      server.stop();
      await atMost(DRAIN_MILLIS * 0.8, operations.drain());
      await server.close(CLOSE.draining, 'draining', DRAIN_MILLIS * 0.1);
      await Promise.all(pools.map((pool) => pool.close()));
      log.info('closed');
    },
  };
}

/** What an agent that was killed has left half-way is finished or undone. Listening does not depend on it. */
async function recoverAtBoot(root: string, looks: Looks, log: Log): Promise<void> {
  try {
    if (nodeDisk.list(layoutOf(root).staging).length === 0) {
      return;
    }
    for (const { plugin, stamp, rows, held } of await looks.recover()) {
      log[held === undefined ? 'info' : 'error']({ plugin, stamp, rows, held }, 'recovered');
    }
  } catch (error) {
    log.error({ err: error }, 'recovery failed; every operation recovers its own plugin first');
  }
}

async function listenOr(
  { listen: { host, port } }: AgentConfig,
  options: Parameters<typeof listen>[0],
): Promise<Listening> {
  try {
    return await listen(options);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Fault('INVALID_PARAMS', `Listening on ${host}:${port} failed: ${why}`, {
      cause: error,
      hint: 'Set AIRLOCK_LISTEN to an address of this machine and a port that is free',
    });
  }
}

function helloOf({ workspace, runtime, policy }: AgentConfig, version: string, bootId: string): Hello {
  const { frameBytes, windowBytes, requestsInFlight, streamsInFlight } = WIRE;
  return {
    agent: version,
    workspace: workspace ?? null,
    runtime: runtime ?? null,
    bootId,
    protocol: PROTOCOL,
    capabilities: ['gzip', 'resume'],
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
