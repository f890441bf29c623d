/** Connects to a workspace. The answer is: reachable, definitely not running, or unknown; see reach.ts. */
import { type Clock, steadyClock } from '../shared/clock.ts';
import { WIRE } from '../shared/api/rpc.ts';
import { isLoopback } from '../shared/loopback.ts';
import { cancelled } from './abort.ts';
import { type AgentEvent, Feed } from './feed.ts';
import { Link } from './link.ts';
import { type Knowledge, type Reached, reachBy, refuseExternal, sessionOf, unreachable } from './reach.ts';
import { type Session, type SessionOptions, startSession } from './session.ts';
import { readTarget, type Target } from './target.ts';
import { createSocket, type TlsOptions, upgraded } from './upgrade.ts';

const CONNECT_MILLIS = 10_000;

export type ConnectOptions = SessionOptions &
  Knowledge & {
    /** `ws://host:port` or `wss://host:port`, with the path `/v1/connect` by default; or `ws+unix:/path`. */
    url: string;
    /** Sent in the `Authorization` header; never part of the URL, never in an error. */
    token?: string | undefined;
    onEvent?: ((event: AgentEvent) => void) | undefined;
    signal?: AbortSignal | undefined;
    /** The time until the session must have started; 10 s by default. */
    timeoutMillis?: number | undefined;
    tls?: TlsOptions | undefined;
    /** A connection that is silent for so long counts as dead; 45 s by default. */
    deadMillis?: number | undefined;
    /** @internal */
    clock?: Clock | undefined;
  };

/** The three answers. Only `not-running` is certain. */
export type Reach = Reached<Session>;

/**
 * Connects and starts a session.
 *
 * @throws Fault if an agent refuses (UNAUTHENTICATED, FORBIDDEN, RATE_LIMITED, DRAINING), if another program answers
 *   (UNREACHABLE, retry `never`), for a bad address (INVALID_PARAMS), for an external workspace (RUNTIME_EXTERNAL), and
 *   CANCELLED by the signal.
 *
 * @example
 * const reach = await connect({ url: 'ws://127.0.0.1:7423', token, client: 'platform' });
 * if (reach.state === 'reachable') await reach.session.call('plugin.list', {});
 */
export async function connect(options: ConnectOptions): Promise<Reach> {
  const target = readTarget(options.url);
  return reachBy(() => open(target, options), target.label, options);
}

/**
 * A session, or a fault, for callers that treat all answers but `reachable` alike.
 *
 * @throws Fault as {@link connect}; UNREACHABLE with retry `later` if it is unknown whether the workspace runs, with
 *   `never` if it definitely does not.
 */
export async function openSession(options: ConnectOptions): Promise<Session> {
  return sessionOf(await connect(options));
}

async function open(target: Target, options: ConnectOptions): Promise<Session> {
  const { label } = target;
  const millis = options.timeoutMillis ?? CONNECT_MILLIS;
  if (options.signal?.aborted === true) throw cancelled(`Connecting to ${label}`, 'no');
  const feed = new Feed();
  if (options.onEvent !== undefined) feed.listen(options.onEvent);
  const socket = createSocket(target, options.token, options.tls ?? {});
  const upgrade = upgraded(socket, target);
  const link = new Link(socket, {
    label,
    isLocal: target.socketPath !== undefined || isLoopback(new URL(target.href).hostname),
    clock: options.clock ?? steadyClock,
    deadMillis: options.deadMillis ?? WIRE.deadMillis,
    onEvent: (event) => feed.take(event),
  });
  const start = async (): Promise<Session> => {
    await upgrade;
    const { queriesOnly, externalPull } = options;
    const refuse = queriesOnly === true ? () => refuseExternal(externalPull) : undefined;
    return startSession(link, await link.hello, feed, options, refuse);
  };
  const deadline = interruption(label, millis, options.signal);
  try {
    return await Promise.race([start(), deadline.fault]);
  } catch (error) {
    socket.terminate();
    throw link.dismissal ?? error;
  } finally {
    deadline.stop();
  }
}

/** Rejects when the time is up or the caller aborts. */
function interruption(
  label: string,
  millis: number,
  signal: AbortSignal | undefined,
): { fault: Promise<never>; stop(): void } {
  let stop = (): void => {};
  const fault = new Promise<never>((_resolve, reject) => {
    const late = (): void => reject(unreachable(label, `no session within ${millis / 1000} s`));
    const onAbort = (): void => reject(cancelled(`Connecting to ${label}`, 'no'));
    const timer = setTimeout(late, millis);
    signal?.addEventListener('abort', onAbort, { once: true });
    stop = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    };
  });
  return { fault, stop };
}
