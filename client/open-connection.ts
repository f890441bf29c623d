/** A connection that several operations use, and that is opened again after it broke. */
import { unlessAborted } from './abort.ts';
import type { Session } from './session.ts';

/** Connects. The signal aborts it. */
export type Open = (signal: AbortSignal | undefined) => Promise<Session>;

/** How long a connection may take that only serves to stop something. */
const BRIEF_MILLIS = 5000;

export class OpenConnection {
  readonly #open: Open;
  readonly #end: (session: Session) => Promise<unknown>;
  #session: Session | undefined;

  /** @param end what is done with a session that is not used any more: it is closed, unless others use it too. */
  constructor(open: Open, end: (session: Session) => Promise<unknown> = (session) => session.close()) {
    this.#open = open;
    this.#end = end;
  }

  get isOpen(): boolean {
    return this.#session !== undefined;
  }

  /** @throws Fault as the function that opens it; CANCELLED at once by the signal. */
  async session(signal: AbortSignal | undefined): Promise<Session> {
    if (this.#session !== undefined) return this.#session;
    const session = await unlessAborted(
      this.#open(signal),
      signal,
      'Connecting',
      // Nobody waits for it any more.
      (late) => void this.#end(late),
    );
    this.#session = session;
    // A connection that broke while nobody used it is no failure of the next operation.
    void session.closed.then(() => {
      if (this.#session === session) this.#session = undefined;
    });
    return session;
  }

  /** The session, or a new one if that takes only a moment; else undefined. */
  async briefly(): Promise<Session | undefined> {
    try {
      return await this.session(AbortSignal.timeout(BRIEF_MILLIS));
    } catch {
      return undefined;
    }
  }

  async close(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    if (session !== undefined) await this.#end(session);
  }
}
