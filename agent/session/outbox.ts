/** The agent's events: numbered from its start, kept for a while, handed to whoever listens. */
import type { Event, EventBody } from '../../shared/events.ts';

/** How many events are kept for clients that come back, and how many bytes of JSON: all of them are sent at once. */
const KEPT = 2000;
const KEPT_BYTES = 8 * 1024 * 1024;

/** A place in the stream of events. */
export type Position = { bootId: string; seq: number };

export class Outbox {
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
