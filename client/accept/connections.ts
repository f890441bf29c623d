/** The connections of agents that have dialled in: at most one of each workspace, the newest. */
import type { WebSocket } from 'ws';

import { Fault, toFault } from '../../shared/api/fault.ts';
import { CLOSE } from '../../shared/api/rpc.ts';
import type { Clock } from '../../shared/clock.ts';
import { type AgentEvent, Feed, type Position } from '../feed.ts';
import { Link } from '../link.ts';
import { cancelled } from '../abort.ts';
import { away } from '../reach.ts';
import { isAborted } from '../retry.ts';
import { type Session, type SessionOptions, startSession } from '../session.ts';

export type ConnectionsOptions = Pick<SessionOptions, 'client' | 'events'> & {
  onEvent: ((workspace: string, event: AgentEvent) => void) | undefined;
  onConnected: ((workspace: string, session: Session) => void) | undefined;
  onLost: ((workspace: string, why: Fault) => void) | undefined;
  clock: Clock;
  /** A connection that is silent for so long counts as dead. */
  deadMillis: number;
  /** Of so many workspaces without a connection it is remembered which event was seen last. */
  remembered: number;
};

/** From the upgrade to the start of the session. */
const START_MILLIS = 10_000;

type Connection = {
  link: Link;
  feed: Feed;
  /** The last event that was seen before this connection. */
  resume: Position | undefined;
  /** Undefined until the session is started. */
  session: Session | undefined;
};

export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #all = new Map<string, Connection>();
  /** Connections whose agents have not said hello yet. */
  readonly #arriving = new Set<Link>();
  readonly #left = new Map<string, Position>();
  readonly #waiting = new Map<string, Set<() => void>>();
  #isClosed = false;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
  }

  /** The session with an agent that is connected now. */
  get(workspace: string): Session | undefined {
    const session = this.#all.get(workspace)?.session;
    return session?.isOpen === true ? session : undefined;
  }

  /** The workspaces whose agents are connected now. */
  get workspaces(): string[] {
    return [...this.#all.keys()].filter((workspace) => this.get(workspace) !== undefined);
  }

  /** Takes a connection that was authenticated as one of this workspace. @internal */
  add(workspace: string, socket: WebSocket): void {
    const { clock, deadMillis } = this.#options;
    const feed = new Feed();
    const label = `workspace "${workspace}"`;
    // The address of the other side says nothing: it may be that of a proxy.
    const options = { label, isLocal: false, clock, deadMillis };
    const link = new Link(socket, { ...options, onEvent: (event) => feed.take(event) });
    this.#arriving.add(link);
    const late = clock.after(START_MILLIS, () => socket.terminate());
    void this.#start(workspace, link, feed)
      .catch((error: unknown) => {
        void link.close(CLOSE.policy, 'the session could not be started');
        this.#lost(workspace, link, toFault(error, `Starting the session with ${label}`));
      })
      .finally(() => {
        this.#arriving.delete(link);
        late();
      });
  }

  /**
   * Waits for the session with an agent.
   *
   * @param millis how long, if it is not connected now.
   * @throws Fault UNREACHABLE (retry `later`) if it does not come in time; CANCELLED by the signal.
   */
  async session(workspace: string, millis: number, signal: AbortSignal | undefined): Promise<Session> {
    const { clock } = this.#options;
    const until = clock.now() + millis;
    const isOver = (): boolean => this.#isClosed || isAborted(signal) || clock.now() >= until;
    while (this.get(workspace) === undefined && !isOver()) {
      await this.#arrival(workspace, until - clock.now(), signal);
    }
    if (isAborted(signal)) throw cancelled(`Waiting for the agent of workspace "${workspace}"`, 'no');
    const session = this.get(workspace);
    if (session !== undefined) return session;
    throw away(workspace);
  }

  /** Ends all connections. Resolves when they are gone. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const workspace of this.#waiting.keys()) this.#wake(workspace);
    const links = [...this.#arriving, ...[...this.#all.values()].map(({ link }) => link)];
    await Promise.all(links.map((link) => link.close(CLOSE.draining, 'the platform is shutting down')));
  }

  async #start(workspace: string, link: Link, feed: Feed): Promise<void> {
    const { client, events, onEvent, onConnected } = this.#options;
    const hello = await link.hello;
    if (hello.workspace !== workspace) {
      throw new Fault('FORBIDDEN', `The agent of workspace "${workspace}" says that it is another one`);
    }
    const before = this.#all.get(workspace);
    const resume = before === undefined ? this.#left.get(workspace) : this.#positionOf(before);
    const connection: Connection = { link, feed, resume, session: undefined };
    this.#left.delete(workspace);
    this.#all.set(workspace, connection);
    if (before !== undefined) this.#replace(workspace, before);
    const isCurrent = (): boolean => this.#all.get(workspace) === connection;
    feed.listen((event) => {
      if (isCurrent()) onEvent?.(workspace, event);
    });
    const session = await startSession(link, hello, feed, { client, events, resume });
    if (!isCurrent()) return;
    connection.session = session;
    void session.lost.then((why) => this.#lost(workspace, link, why));
    this.#wake(workspace);
    // What it throws is no failure of the connection.
    if (onConnected !== undefined) queueMicrotask(() => onConnected(workspace, session));
  }

  /** The newest connection counts: the agent knows best that the one before it is dead. */
  #replace(workspace: string, { link, session }: Connection): void {
    void link.close(CLOSE.replaced, 'a newer connection of the workspace has come');
    if (session === undefined) return;
    const why = `A newer connection has replaced that of workspace "${workspace}"`;
    this.#options.onLost?.(workspace, new Fault('CONFLICT', why));
  }

  #lost(workspace: string, link: Link, why: Fault): void {
    const connection = this.#all.get(workspace);
    if (connection?.link !== link) return;
    this.#all.delete(workspace);
    const position = this.#positionOf(connection);
    if (position !== undefined) this.#remember(workspace, position);
    if (connection.session !== undefined && !this.#isClosed) this.#options.onLost?.(workspace, why);
  }

  #remember(workspace: string, position: Position): void {
    this.#left.set(workspace, position);
    const [oldest] = this.#left.keys();
    if (this.#left.size > this.#options.remembered && oldest !== undefined) this.#left.delete(oldest);
  }

  #wake(workspace: string): void {
    for (const wake of this.#waiting.get(workspace) ?? []) wake();
  }

  /** Resolves when the agent has connected, or the time is up, or the signal is aborted. */
  #arrival(workspace: string, millis: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(workspace) ?? new Set();
      this.#waiting.set(workspace, waiting);
      const wake = (): void => {
        cancel();
        signal?.removeEventListener('abort', wake);
        waiting.delete(wake);
        if (waiting.size === 0) this.#waiting.delete(workspace);
        resolve();
      };
      const cancel = this.#options.clock.after(millis, wake);
      signal?.addEventListener('abort', wake, { once: true });
      waiting.add(wake);
    });
  }

  /** The last event that was seen of an agent; undefined if no events are wanted. */
  #positionOf({ session, feed, resume }: Connection): Position | undefined {
    const { events = [] } = this.#options;
    return events.length === 0 ? undefined : (session?.position ?? feed.seen ?? resume);
  }
}
