/** Follows events across connections. */
import { type Fault, toFault } from '../shared/api/fault.ts';
import { type Pause, pause } from '../shared/clock.ts';
import { pauseAfter } from '../shared/rule/retry.ts';
import { unlessAborted } from './abort.ts';
import type { ConnectOptions } from './connect.ts';
import type { AgentEvent, Position } from './feed.ts';
import { mayFollowAgain } from './reach.ts';
import { FOLLOW_BACKOFF, isAborted, retryAfterOf } from './retry.ts';
import type { Session } from './session.ts';

/** The options for a connection of {@link follow}, besides the caller's own. */
export type Following = Pick<ConnectOptions, 'onEvent' | 'resume' | 'signal'>;

export type FollowOptions = {
  /** Called once for each event, in order. */
  onEvent: (event: AgentEvent) => void;
  /** Called for every connection: the first one, and each after one was lost. Missed events may come before it. */
  onConnected?: ((session: Session) => void) | undefined;
  /** Called once when the connection is lost, however many tries it takes to connect again. */
  onLost?: ((why: Fault) => void) | undefined;
  /** Ends it. */
  signal?: AbortSignal | undefined;
  /** @internal */
  sleep?: Pause | undefined;
};

/**
 * Follows an agent's events until the signal is aborted. When the connection is lost, it connects again after 1, 2, 4 …
 * at most 15 s, and continues after the last event that it saw. The agent sends the missed events, or a `snapshot` if
 * they are gone. Every session that `open` gives is closed again.
 *
 * @param open connects with the given options; it chooses the types of events.
 * @throws Fault of `open` the first time; later only a fault that another try cannot change, such as UNAUTHENTICATED.
 *
 * @example await follow((more) => openSession({ url, token, client: 'platform', events: 'all', ...more }), { onEvent,
 *   signal });
 */
export async function follow(
  open: (more: Following) => Promise<Session>,
  options: FollowOptions,
): Promise<void> {
  const { signal, sleep = pause } = options;
  let seen: Position | undefined;
  let isOver = false;
  const onEvent = (event: AgentEvent): void => {
    // A session that comes too late is closed, and may say something before that.
    if (isOver) return;
    seen = { bootId: event.bootId, seq: event.seq };
    options.onEvent(event);
  };
  const connect = (resume: Position | undefined): Promise<Session> =>
    unlessAborted(open({ onEvent, resume, signal }), signal, 'Connecting', (late) => void late.close());
  const again = async (): Promise<Session | undefined> => {
    let wanted = 0;
    for (let failures = 1; ; failures += 1) {
      await sleep(Math.max(pauseAfter(failures, FOLLOW_BACKOFF), wanted), signal);
      if (isAborted(signal)) return undefined;
      try {
        return await connect(seen);
      } catch (error) {
        const fault = toFault(error, 'Connecting again');
        if (isAborted(signal)) return undefined;
        if (!mayFollowAgain(fault)) throw fault;
        wanted = retryAfterOf(fault);
      }
    }
  };
  let session: Session | undefined;
  try {
    session = await connect(undefined).catch((error: unknown) => {
      if (isAborted(signal)) return undefined;
      throw error;
    });
    while (session !== undefined) {
      seen = session.position;
      options.onConnected?.(session);
      const why = await lossOf(session, signal);
      if (isAborted(signal)) return;
      options.onLost?.(why);
      session = await again();
    }
  } finally {
    isOver = true;
    // It is open if a function of the caller has thrown.
    await session?.close();
  }
}

/** Waits until the connection is gone. The signal closes it. */
async function lossOf(session: Session, signal: AbortSignal | undefined): Promise<Fault> {
  const stop = (): void => void session.close();
  signal?.addEventListener('abort', stop, { once: true });
  try {
    if (isAborted(signal)) stop();
    return await session.lost;
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}
