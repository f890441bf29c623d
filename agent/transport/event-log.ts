/** The agent's events: numbered from its start, kept for a while, handed to whoever listens. */
import type { Event, EventBody } from '../../shared/api/events.ts';
import type { Params, Result } from '../../shared/api/methods.ts';

/** How many events are kept for clients that come back, and how many bytes of JSON: all of them are sent at once. */
const KEPT = 2000;
const KEPT_BYTES = 8 * 1024 * 1024;

/** A place in the stream of events. */
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

  /** Numbers an event and hands it to everybody. */
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

  /** The newest event's place. */
  get at(): Position {
    return { bootId: this.bootId, seq: this.#seq };
  }

  /** What came after a place; undefined if that cannot be told any more and only a snapshot helps. */
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

  /** An event with a number, told to nobody. */
  stamp({ type, data }: EventBody, seq: number): Event {
    return { bootId: this.bootId, seq, at: new Date(this.#now()).toISOString(), type, data };
  }
}

export type Feed = {
  /** Whether everything since `resume` was still there; if not, a snapshot was sent. */
  resumed: boolean;
  stop: () => void;
};

/** Sends what was missed and goes on with what comes. */
export async function startFeed(
  eventLog: EventLog,
  list: () => Promise<Result<'plugin.list'>['plugins']>,
  { events, resume }: Pick<Params<'session.start'>, 'events' | 'resume'>,
  notify: (event: Event) => void,
): Promise<Feed> {
  const send = (event: Event): void => {
    // It stands for events of every type that nobody could tell.
    if (events === 'all' || events.some((type) => type === event.type || event.type === 'snapshot')) {
      notify(event);
    }
  };
  const missed = eventLog.since(resume ?? eventLog.at);
  if (missed !== undefined) {
    missed.forEach(send);
    return { resumed: true, stop: eventLog.listen(send) };
  }
  // One list is enough, however fast events come meanwhile: they wait for it. What came before the list looked is told
  // again rather than not at all.
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
