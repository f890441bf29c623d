/** The events of one connection: read, remembered by place, told to whoever listens. */
import { type Event, type EventBody, eventData, type EventType, eventTypes } from '../shared/api/events.ts';

/** Where in the agent's events one is: which run of the agent, and how far. */
export type Position = { bootId: string; seq: number };

/** An event. `known: false`: of a type, or of a form, that this client does not know. */
export type AgentEvent = Position & { at: string } & (
    | ({ known: true } & EventBody)
    | { known: false; type: string; data: unknown }
  );

const isEventType = (type: string): type is EventType => (eventTypes as readonly string[]).includes(type);

/** Reads an event's data by its type. */
export function readEvent({ bootId, seq, at, type, data }: Event): AgentEvent {
  const body = isEventType(type) ? eventData[type].safeParse(data) : undefined;
  if (body?.success !== true) {
    return { bootId, seq, at, known: false, type, data };
  }
  // The schema was chosen by the type, which the compiler cannot carry over to the pair.
  return { bootId, seq, at, known: true, ...({ type, data: body.data } as EventBody) };
}

export class Feed {
  readonly #listeners = new Set<(event: AgentEvent) => void>();
  #seen: Position | undefined;

  /** The newest event that came over this connection. */
  get seen(): Position | undefined {
    return this.#seen;
  }

  /** Tells each event from now on; returns how to stop it. */
  listen(listener: (event: AgentEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  take(event: Event): void {
    const read = readEvent(event);
    this.#seen = { bootId: event.bootId, seq: event.seq };
    for (const tell of this.#listeners) tell(read);
  }
}
