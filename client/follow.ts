/** Events that outlive their connection. */
import { type Fault, toFault } from '../shared/api/fault.ts';
import { type Pause, pause } from '../shared/clock.ts';
import { pauseAfter } from '../shared/rule/retry.ts';
import type { ConnectOptions } from './connect.ts';
import type { AgentEvent, Position } from './feed.ts';
import { FOLLOW_BACKOFF, isAborted, mayFollowAgain } from './retry.ts';
import type { Session } from './session.ts';

/** What a connection of {@link follow} is opened with, beside the caller's own. */
export type Following = Pick<ConnectOptions, 'onEvent' | 'resume'>;

export type FollowOptions = {
  /** Told each event once, in order. */
  onEvent: (event: AgentEvent) => void;
  /** Told of every connection: the first one, and each after one was lost. What was missed may be told before. */
  onConnected?: ((session: Session) => void) | undefined;
  /** The connection is gone; told once, however many tries it takes until there is another. */
  onLost?: ((why: Fault) => void) | undefined;
  /** Ends it. */
  signal?: AbortSignal | undefined;
  /** @internal */
  sleep?: Pause | undefined;
};

/**
 * Follows an agent's events until the signal is aborted. When the connection is lost it connects again, after 1, 2, 4 …
 * at most 15 s, and goes on behind the last event that it saw: the agent sends what was missed, or a `snapshot` where
 * that is gone. Every session that `open` gives is closed again.
 *
 * @param open connects with what it is given; which events come is said there.
 * @throws Fault as `open` does the first time; later only what no other try can change, such as UNAUTHENTICATED.
 *
 * @example
 * await follow((more) => openSession({ url, token, client: 'platform', events: 'all', ...more }), { onEvent, signal });
 */
export async function follow(
  open: (more: Following) => Promise<Session>,
  options: FollowOptions,
): Promise<void> {
  const { signal, sleep = pause } = options;
  let seen: Position | undefined;
  const onEvent = (event: AgentEvent): void => {
    seen = { bootId: event.bootId, seq: event.seq };
    options.onEvent(event);
  };
  const again = async (): Promise<Session | undefined> => {
    for (let failures = 1; ; failures += 1) {
      await sleep(pauseAfter(failures, FOLLOW_BACKOFF), signal);
      if (isAborted(signal)) return undefined;
      try {
        return await open({ onEvent, resume: seen });
      } catch (error) {
        const fault = toFault(error, 'Connecting again');
        if (isAborted(signal)) return undefined;
        if (!mayFollowAgain(fault)) throw fault;
      }
    }
  };
  let session: Session | undefined = await open({ onEvent });
  while (session !== undefined) {
    seen = session.position;
    options.onConnected?.(session);
    const why = await lossOf(session, signal);
    if (isAborted(signal)) return;
    options.onLost?.(why);
    session = await again();
  }
}

/** Waits until the connection is gone; the signal ends it. */
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
