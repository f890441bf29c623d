/** The platform's side of agents that dial out: accepts their connections and speaks to many of them. */
import type { Server } from 'node:http';
import type { Server as TlsServer } from 'node:https';

import { isRefusedByExternal } from '../../shared/api/external.ts';
import { type Fault, toFault } from '../../shared/api/fault.ts';
import { type MethodName, methods, type Params, type Result } from '../../shared/api/methods.ts';
import type { Installed } from '../../shared/api/plugin.ts';
import { WIRE } from '../../shared/api/rpc.ts';
import { type Clock, steadyClock } from '../../shared/clock.ts';
import type { Bundle } from '../bundle.ts';
import type { ConnectOptions, Reach } from '../connect.ts';
import type { AgentEvent } from '../feed.ts';
import { OpenConnection } from '../open-connection.ts';
import { type PushOptions, pushOver } from '../push.ts';
import { away, type Knowledge, reachBy, sessionOf } from '../reach.ts';
import { isAborted } from '../retry.ts';
import type { Session } from '../session.ts';
import { Connections } from './connections.ts';
import { type AgentResult, type AgentRequestsOptions, forEach } from './each.ts';
import { acceptUpgrades, type UpgradeOptions } from './upgrades.ts';

export type AcceptOptions = UpgradeOptions &
  Pick<ConnectOptions, 'client' | 'events'> & {
    /** The most connections at once; 10,000 by default. As many positions of agents that are away are remembered. */
    max?: number | undefined;
    /** Called once for each event of each agent, in the order of the agent, also across its connections. */
    onEvent?: ((workspace: string, event: AgentEvent) => void) | undefined;
    /** Called for every connection. Missed events may come before it. */
    onConnected?: ((agent: DialledAgent) => void) | undefined;
    /** Called when a connection is lost, but by `close`: UNREACHABLE, DRAINING, or CONFLICT if a newer one has replaced it. */
    onLost?: ((workspace: string, why: Fault) => void) | undefined;
    /** Asked for an agent that is not connected: why its workspace is definitely not running, undefined if it may be. */
    notRunning?: ((workspace: string) => Promise<string | undefined>) | undefined;
    /**
     * Asked before every push, rollback and uninstall: where an external workspace pulls its plugins, undefined for any
     * other.
     */
    externalPull?: ((workspace: string) => Promise<string | undefined>) | undefined;
    /** A connection that is silent for so long counts as dead; 45 s by default. */
    deadMillis?: number | undefined;
    /** @internal */
    clock?: Clock | undefined;
  };

const MAX = 10_000;
/** How long a call that has begun waits for an agent that was lost; longer than the longest pause of an agent. */
const AWAY_MILLIS = 90_000;
/** How often a call is repeated after its connection broke. */
const TRIES = 5;

export type AgentRequestOptions = {
  signal?: AbortSignal | undefined;
  /** How long it waits for an agent that is not connected when it begins; it does not by default. */
  waitMillis?: number | undefined;
  /** How long it waits for an agent that is lost while it runs; 90 s by default. */
  awayMillis?: number | undefined;
};

/** `'all'`: those that are connected now. */
export type AgentSelection = 'all' | Iterable<string>;

/** The agent of a workspace, whether it is connected or not. */
export class DialledAgent {
  readonly workspace: string;
  readonly #connections: Connections;
  readonly #options: Pick<AcceptOptions, 'notRunning' | 'externalPull'>;

  /** @internal */
  constructor(
    workspace: string,
    connections: Connections,
    options: Pick<AcceptOptions, 'notRunning' | 'externalPull'>,
  ) {
    this.workspace = workspace;
    this.#connections = connections;
    this.#options = options;
  }

  /** The session of its connection; undefined if it is not connected. Closing it makes the agent connect again. */
  get session(): Session | undefined {
    return this.#connections.get(this.workspace);
  }

  /**
   * Whether it can be reached, as `connect` says it. An agent that is not connected is `unknown`, unless the platform
   * knows that its workspace does not run.
   *
   * @param options with `queriesOnly` an external workspace is reached too.
   * @throws Fault RUNTIME_EXTERNAL for an external workspace; CANCELLED.
   */
  reach({
    waitMillis = 0,
    signal,
    queriesOnly,
  }: Pick<AgentRequestOptions, 'waitMillis' | 'signal'> &
    Pick<Knowledge, 'queriesOnly'> = {}): Promise<Reach> {
    const { workspace } = this;
    const { notRunning, externalPull } = this.#options;
    return reachBy(
      () => this.#connections.session(workspace, waitMillis, signal),
      `workspace "${workspace}"`,
      {
        notRunning: () => asked(notRunning, workspace),
        externalPull: () => asked(externalPull, workspace),
        queriesOnly,
        signal,
      },
    );
  }

  /**
   * Calls a method. If the connection breaks before the answer, it waits for the agent and calls again: an operation that
   * is done is not repeated, because it has an id.
   *
   * @throws Fault of the agent's answer; UNREACHABLE, RUNTIME_EXTERNAL, CANCELLED.
   *
   * @example await agents.agent('w1').call('plugin.get', { plugin: 'lint' });
   */
  async call<M extends MethodName>(
    method: M,
    params: Params<M>,
    options: AgentRequestOptions = {},
  ): Promise<Result<M>> {
    const { signal, awayMillis = AWAY_MILLIS } = options;
    const queriesOnly = !isRefusedByExternal(method);
    let session = sessionOf(await this.reach({ ...options, queriesOnly }));
    for (let tries = 1; ; tries += 1) {
      try {
        return await session.call(method, params, { signal });
      } catch (error) {
        const fault = toFault(error, `"${method}"`);
        if (session.isOpen || isAborted(signal) || !isRepeatable(method) || tries > TRIES) throw fault;
        session = await this.#again(fault, awayMillis, signal);
      }
    }
  }

  /**
   * Installs a bundle. If the connection breaks, it waits for the agent and continues the same operation, as `push` does.
   *
   * @throws Fault as `push`; RUNTIME_EXTERNAL.
   */
  async push(bundle: Bundle, options: PushOptions & AgentRequestOptions = {}): Promise<Installed> {
    const { awayMillis = AWAY_MILLIS } = options;
    sessionOf(await this.reach(options));
    let fault = away(this.workspace);
    // The agent may be away for so long in all, however often that is asked.
    let since: number | undefined;
    const session = async (signal: AbortSignal | undefined): Promise<Session> => {
      since ??= performance.now();
      const left = Math.max(0, since + awayMillis - performance.now());
      const found = await this.#again(fault, left, signal);
      since = undefined;
      return found;
    };
    // The connection is that of all calls, so a push does not close it.
    const connection = new OpenConnection(session, () => Promise.resolve());
    return pushOver(connection, bundle, {
      ...options,
      onReconnect: (why, ...more) => {
        fault = why;
        options.onReconnect?.(why, ...more);
      },
    });
  }

  /** The next session. @throws Fault the given one, if the agent stays away. */
  async #again(fault: Fault, millis: number, signal: AbortSignal | undefined): Promise<Session> {
    try {
      return await this.#connections.session(this.workspace, millis, signal);
    } catch (error) {
      throw isAborted(signal) ? error : fault;
    }
  }
}

/** The agents that have dialled in. The iterator gives those that are connected now. */
export class Agents implements Iterable<DialledAgent> {
  readonly #connections: Connections;
  readonly #options: AcceptOptions;
  readonly #stop: () => void;

  /** @internal */
  constructor(server: Server | TlsServer, options: AcceptOptions) {
    const { client, events, onEvent, onConnected, onLost, clock = steadyClock, max = MAX } = options;
    this.#options = options;
    this.#connections = new Connections({
      client,
      events: events ?? (onEvent === undefined ? [] : 'all'),
      onEvent,
      onConnected: (workspace) => onConnected?.(this.agent(workspace)),
      onLost,
      clock,
      deadMillis: options.deadMillis ?? WIRE.deadMillis,
      remembered: max,
    });
    this.#stop = acceptUpgrades(server, options, max, (workspace, socket) =>
      this.#connections.add(workspace, socket),
    );
  }

  /** How many agents are connected now. */
  get size(): number {
    return this.#connections.workspaces.length;
  }

  [Symbol.iterator](): Iterator<DialledAgent> {
    return this.#connections.workspaces.map((workspace) => this.agent(workspace)).values();
  }

  /** The agent of a workspace, whether it is connected or not. */
  agent(workspace: string): DialledAgent {
    return new DialledAgent(workspace, this.#connections, this.#options);
  }

  /**
   * Runs a task for each agent of a selection, a few at a time.
   *
   * @returns what came of each, in the order of the selection. A task that throws does not stop the others.
   *
   * @example await agents.each('all', (agent) => agent.call('plugin.list', {}), { concurrency: 16 });
   */
  each<T>(
    selection: AgentSelection,
    task: (agent: DialledAgent) => Promise<T>,
    options: AgentRequestsOptions<T> = {},
  ): Promise<AgentResult<T>[]> {
    const workspaces = selection === 'all' ? this.#connections.workspaces : selection;
    return forEach(workspaces, (workspace) => task(this.agent(workspace)), options);
  }

  /** Installs a bundle in each workspace of a selection. The operation id, if one is given, is the same in all of them. */
  push(
    selection: AgentSelection,
    bundle: Bundle,
    options: PushOptions & AgentRequestOptions & AgentRequestsOptions<Installed> = {},
  ): Promise<AgentResult<Installed>[]> {
    return this.each(selection, (agent) => agent.push(bundle, options), options);
  }

  /** Accepts no more agents and ends all connections. The server stays. Calls that wait fail. */
  async close(): Promise<void> {
    this.#stop();
    await this.#connections.close();
  }
}

const asked = async (
  look: ((workspace: string) => Promise<string | undefined>) | undefined,
  workspace: string,
): Promise<string | undefined> => look?.(workspace);

/** An upload belongs to its session, and so does a stream that an answer names. */
const isRepeatable = (method: MethodName): boolean => {
  const { effect, streams } = methods[method];
  return effect !== 'session' && effect !== 'upload' && !streams;
};

/**
 * Accepts agents that dial out (`AIRLOCK_DIAL`) at a path of an HTTP server. Of each workspace the newest connection
 * counts. Events go on after the last one that was seen, as long as the process lives.
 *
 * @example
 * const agents = acceptAgents(server, {
 *   client: 'platform',
 *   authenticate: byToken((workspace) => tokens.get(workspace) ?? []),
 *   onEvent: (workspace, event) => console.log(workspace, event.type),
 * });
 * const results = await agents.push('all', await packDirectory('./plugins/lint'));
 */
export const acceptAgents = (server: Server | TlsServer, options: AcceptOptions): Agents =>
  new Agents(server, options);
