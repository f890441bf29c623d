/** A session with one agent: requests and answers, events, streams of bytes. */
import type { EventType } from '../shared/api/events.ts';
import { isRefusedByExternal } from '../shared/api/external.ts';
import { Fault } from '../shared/api/fault.ts';
import type { DataFrame } from '../shared/api/frame.ts';
import type { Hello } from '../shared/api/session.ts';
import { type MethodName, methods, type Params, type Result } from '../shared/api/methods.ts';
import type { Caller } from '../shared/api/caller.ts';
import type { AgentEvent, Feed, Position } from './feed.ts';
import type { Closed, Link } from './link.ts';
import type { SendWindow } from './outgoing.ts';

/** How a session is started. */
export type SessionOptions = {
  /** The name of the caller, for the agent's log. */
  client: string;
  /** The events to receive; none by default. */
  events?: 'all' | readonly EventType[] | undefined;
  /** The last event that was seen. The events after it come first, or a snapshot if they are gone. */
  resume?: Position | undefined;
};

/**
 * What `connect` gives. One session serves many operations; whoever opened it closes it.
 *
 * @example const plugin = await session.call('plugin.get', { plugin: 'lint' });
 */
export class Session implements Caller {
  /** The agent's first message: its version, its limits. */
  readonly hello: Hello;
  /** Whether the missed events follow. If not although `resume` was given, a `snapshot` event follows. */
  readonly resumed: boolean;
  readonly #link: Link;
  readonly #feed: Feed;
  readonly #began: Position;
  readonly #refuse: (() => Promise<void>) | undefined;

  /** @internal */
  constructor(
    link: Link,
    hello: Hello,
    feed: Feed,
    began: { at: Position; resumed: boolean },
    refuse?: () => Promise<void>,
  ) {
    this.#link = link;
    this.hello = hello;
    this.resumed = began.resumed;
    this.#feed = feed;
    this.#began = began.at;
    this.#refuse = refuse;
  }

  /** The newest event that this session has seen: the `resume` of a later connection. */
  get position(): Position {
    return this.#feed.seen ?? this.#began;
  }

  /** Whether the connection stands, as far as this side knows. */
  get isOpen(): boolean {
    return this.#link.isOpen;
  }

  /** @internal Whether it is over the loopback or a Unix socket. Behind a loopback address may be a tunnel. */
  get isLocal(): boolean {
    return this.#link.isLocal;
  }

  /** Resolves when the connection is gone, whichever side ended it; never rejects. */
  get closed(): Promise<Closed> {
    return this.#link.closed;
  }

  /** Resolves when the connection is gone, with the reason: UNREACHABLE, or what the agent said; never rejects. */
  get lost(): Promise<Fault> {
    return this.#link.lost();
  }

  /**
   * Calls a method of the agent.
   *
   * @throws Fault of the agent's answer; UNREACHABLE (retry `same`, executed `maybe`) if the connection breaks before the
   *   answer; CANCELLED by the signal, which does not undo what the agent does; INTERNAL for an answer that is not valid.
   */
  async call<M extends MethodName>(
    method: M,
    params: Params<M>,
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<Result<M>> {
    if (isRefusedByExternal(method)) await this.#refuse?.();
    return readResult(method, await this.#link.request(method, params, options.signal));
  }

  /** The bytes of a stream that the agent has announced. A reader that stops early cancels the stream. */
  receive(stream: number): AsyncIterable<Uint8Array> {
    return this.#link.receive(stream);
  }

  /** Calls the listener for each event from now on. @returns how to stop it. The types of events were chosen at `connect`. */
  onEvent(listener: (event: AgentEvent) => void): () => void {
    return this.#feed.listen(listener);
  }

  /** @internal Resolves when there is room for another frame. */
  send(frame: DataFrame): Promise<void> {
    return this.#link.send(frame);
  }

  /** @internal */
  outgoing(stream: number, limit: number): SendWindow {
    return this.#link.outgoing(stream, limit);
  }

  /** @internal */
  release(stream: number): void {
    this.#link.release(stream);
  }

  /** Closes the session. Unanswered requests fail with UNREACHABLE. */
  close(): Promise<Closed> {
    return this.#link.close(1000, 'done');
  }
}

/**
 * Starts the session on a connection whose agent has said hello.
 *
 * @param refuse throws a fault if the workspace is external; called before what such a workspace refuses.
 * @throws Fault of the agent's answer; UNREACHABLE if the connection breaks.
 * @internal
 */
export async function startSession(
  link: Link,
  hello: Hello,
  feed: Feed,
  { client, events, resume }: SessionOptions,
  refuse?: () => Promise<void>,
): Promise<Session> {
  const params = { client, events: events ?? [], ...(resume === undefined ? {} : { resume }) };
  const started = readResult('session.start', await link.request('session.start', params, undefined));
  // The missed events may not have arrived yet. Until then the position is that of the caller.
  const at = started.resumed ? (resume ?? started.at) : started.at;
  return new Session(link, hello, feed, { at, resumed: started.resumed }, refuse);
}

/** Reads the answer to a method. */
export function readResult<M extends MethodName>(method: M, json: unknown): Result<M> {
  const read = methods[method].result.safeParse(json);
  if (!read.success) {
    const [issue] = read.error.issues;
    const where = issue === undefined ? '' : ` (${issue.path.join('.')}: ${issue.message})`;
    throw new Fault('INTERNAL', `The answer to "${method}" cannot be understood${where}`, {
      executed: 'maybe',
      hint: 'The versions of client and agent may be incompatible',
    });
  }
  // The schema belongs to the method, which the compiler cannot derive.
  return read.data as Result<M>;
}
