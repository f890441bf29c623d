/** The events of one connection: reads them, remembers the position, and passes them to the listeners. */
import { type Event, type EventBody, eventData, type EventType, eventTypes } from '../shared/api/events.ts';

/** A position in the agent's events: which start of the agent, and the number of the event. */
export type Position = { bootId: string; seq: number };

/** An event. `known: false`: this client does not know its type or its form. */
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
  // The schema belongs to the type, which the compiler cannot derive for the pair.
  return { bootId, seq, at, known: true, ...({ type, data: body.data } as EventBody) };
}

export class Feed {
  readonly #listeners = new Set<(event: AgentEvent) => void>();
  #seen: Position | undefined;

  /** The newest event of this connection. */
  get seen(): Position | undefined {
    return this.#seen;
  }

  /**
   * Calls the listener for each event from now on. What it throws is an uncaught exception of the process: it is no failure
   * of the connection, and the other listeners hear the event too.
   *
   * @returns how to stop it.
   */
  listen(listener: (event: AgentEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  take(event: Event): void {
    const read = readEvent(event);
    this.#seen = { bootId: event.bootId, seq: event.seq };
    for (const tell of this.#listeners) {
      try {
        tell(read);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
