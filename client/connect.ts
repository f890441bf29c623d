/** Connects to a workspace. The answer is: reachable, definitely not running, or unknown. All callers use this one file. */
import { externalFault } from '../shared/api/external.ts';
import { Fault, toFault } from '../shared/api/fault.ts';
import { type Clock, steadyClock } from '../shared/clock.ts';
import { WIRE } from '../shared/api/rpc.ts';
import { unlessAborted } from './abort.ts';
import { type AgentEvent, Feed } from './feed.ts';
import { Link } from './link.ts';
import { cancelled } from './requests.ts';
import { isUnreachable } from './retry.ts';
import { type Session, type SessionOptions, startSession } from './session.ts';
import { readTarget, type Target } from './target.ts';
import { createSocket, type TlsOptions, unreachable, upgraded } from './upgrade.ts';

const CONNECT_MILLIS = 10_000;

export type ConnectOptions = SessionOptions & {
  /** `ws://host:port` or `wss://host:port`, with the path `/v1/connect` by default; or `ws+unix:/path`. */
  url: string;
  /** Sent in the `Authorization` header; never part of the URL, never in an error. */
  token?: string | undefined;
  onEvent?: ((event: AgentEvent) => void) | undefined;
  signal?: AbortSignal | undefined;
  /** The time until the session must have started; 10 s by default. */
  timeoutMillis?: number | undefined;
  tls?: TlsOptions | undefined;
  /** Called when the connection fails: says why the workspace is definitely not running, undefined if it may be. */
  notRunning?: (() => Promise<string | undefined>) | undefined;
  /**
   * Called before connecting: where an external workspace pulls its plugins, undefined for a workspace that is not
   * external.
   */
  externalPull?: (() => Promise<string | undefined>) | undefined;
  /** A connection that is silent for so long counts as dead; 45 s by default. */
  deadMillis?: number | undefined;
  /** @internal */
  clock?: Clock | undefined;
};

/** The three answers. Only `not-running` is certain. */
export type Reach =
  | { state: 'reachable'; session: Session }
  | { state: 'not-running'; why: string }
  | { state: 'unknown'; error: Fault };

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
 * Decides between the three answers, for a function that gives a session or throws a fault.
 *
 * @param label what is connected to, for messages.
 * @throws Fault as {@link connect}.
 * @internal
 */
export async function reachBy(
  give: () => Promise<Session>,
  label: string,
  { notRunning, externalPull, signal }: Pick<ConnectOptions, 'notRunning' | 'externalPull' | 'signal'>,
): Promise<Reach> {
  const what = `Connecting to ${label}`;
  await unlessAborted(refuseExternal(externalPull), signal, what);
  let error: Fault;
  try {
    return { state: 'reachable', session: await give() };
  } catch (thrown) {
    error = toFault(thrown, what);
    // The error proves nothing: a sidecar may be starting again.
    if (!isUnreachable(error)) throw error;
  }
  const why = await unlessAborted(asked(notRunning), signal, what);
  return why === undefined ? { state: 'unknown', error } : { state: 'not-running', why };
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

/** The session of an answer. @throws Fault UNREACHABLE, as {@link openSession}. @internal */
export function sessionOf(reach: Reach): Session {
  switch (reach.state) {
    case 'reachable':
      return reach.session;
    case 'unknown':
      throw reach.error;
    case 'not-running':
      throw new Fault('UNREACHABLE', `The workspace is not running: ${reach.why}`, {
        retry: 'never',
        hint: 'Start the workspace first',
      });
    default:
      return reach satisfies never;
  }
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
    clock: options.clock ?? steadyClock,
    deadMillis: options.deadMillis ?? WIRE.deadMillis,
    onEvent: (event) => feed.take(event),
  });
  const start = async (): Promise<Session> => {
    await upgrade;
    return startSession(link, await link.hello, feed, options);
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

async function asked(look: (() => Promise<string | undefined>) | undefined): Promise<string | undefined> {
  try {
    return await look?.();
  } catch {
    // A look-up that fails gives no answer and stops nothing.
    return undefined;
  }
}

async function refuseExternal(externalPull: ConnectOptions['externalPull']): Promise<void> {
  const where = await asked(externalPull);
  if (where !== undefined) {
    throw externalFault(where);
  }
}
