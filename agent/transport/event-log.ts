/** The agent's events: numbered from its start, kept for a while, passed to listeners. */
import type { Event, EventBody } from '../../shared/api/events.ts';
import type { Params, Result } from '../../shared/api/methods.ts';

/** The number of events that are kept for reconnecting clients, and their bytes of JSON. All of them are sent at once. */
const KEPT = 2000;
const KEPT_BYTES = 8 * 1024 * 1024;

/** A position in the events. */
export type Position = { bootId: string; seq: number };

export class EventLog {
  readonly bootId: string;
  readonly #now: () => number;
  readonly #kept: { event: Event; bytes: number }[] = [];
  #bytes = 0;
  readonly #listeners = new Set<(event: Event) => void>();
  #seq = 0;

  constructor(bootId: string, now: () => number) {
    this.bootId = bootId;
    this.#now = now;
  }

  /** Numbers an event and passes it to all listeners. */
  publish(body: EventBody): void {
    this.#seq += 1;
    const event = this.stamp(body, this.#seq);
    const bytes = Buffer.byteLength(JSON.stringify(event));
    this.#kept.push({ event, bytes });
    this.#bytes += bytes;
    while (this.#kept.length > KEPT || this.#bytes > KEPT_BYTES) {
      this.#bytes -= this.#kept.shift()?.bytes ?? 0;
    }
    for (const listener of this.#listeners) {
      listener(event);
    }
  }

  /** The position of the newest event. */
  get at(): Position {
    return { bootId: this.bootId, seq: this.#seq };
  }

  /** The events after a position; undefined if they are no longer known, so that only a snapshot helps. */
  since({ bootId, seq }: Position): Event[] | undefined {
    const oldest = this.#seq - this.#kept.length;
    return bootId === this.bootId && seq >= oldest && seq <= this.#seq
      ? this.#kept.flatMap(({ event }) => (event.seq > seq ? event : []))
      : undefined;
  }

  /** @returns how to stop. */
  listen(listener: (event: Event) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** An event with a number, without passing it to anybody. */
  stamp({ type, data }: EventBody, seq: number): Event {
    return { bootId: this.bootId, seq, at: new Date(this.#now()).toISOString(), type, data };
  }
}

export type Feed = {
  /** Whether all events since `resume` were still known. If not, a snapshot was sent. */
  resumed: boolean;
  stop: () => void;
};

/** Sends the missed events, and then the new ones. */
export async function startFeed(
  eventLog: EventLog,
  list: () => Promise<Result<'plugin.list'>['plugins']>,
  { events, resume }: Pick<Params<'session.start'>, 'events' | 'resume'>,
  notify: (event: Event) => void,
): Promise<Feed> {
  const send = (event: Event): void => {
    // A snapshot replaces events of all types.
    if (events === 'all' || events.some((type) => type === event.type || event.type === 'snapshot')) {
      notify(event);
    }
  };
  const missed = eventLog.since(resume ?? eventLog.at);
  if (missed !== undefined) {
    missed.forEach(send);
    return { resumed: true, stop: eventLog.listen(send) };
  }
  // One list is enough, however fast events come: they wait for it. Events from before the list are sent again, so that
  // none is missed.
  const { seq } = eventLog.at;
  let waiting: Event[] | undefined = [];
  const stop = eventLog.listen((event) => {
    if (waiting === undefined) {
      send(event);
    } else {
      waiting.push(event);
    }
  });
  try {
    notify(eventLog.stamp({ type: 'snapshot', data: { plugins: await list() } }, seq));
  } catch (error) {
    stop();
    throw error;
  }
  const came = waiting;
  waiting = undefined;
  came.forEach(send);
  return { resumed: false, stop };
}
