/** The unanswered requests of one connection. */
import { Fault } from '../shared/api/fault.ts';
import { WIRE, writeRequest } from '../shared/api/rpc.ts';
import { cancelled } from './abort.ts';
import { closing, unsent } from './reach.ts';

type Pending = { resolve(result: unknown): void; reject(fault: Fault): void };

/**
 * Numbers requests, matches their answers, and keeps at most as many in flight as the agent accepts; the others wait in
 * order. Every promise settles: by an answer, a cancellation, or {@link Requests.fail}.
 */
export class Requests {
  readonly #write: (text: string) => void;
  readonly #isOpen: () => boolean;
  readonly #inFlight = new Map<string, Pending>();
  readonly #waiting: { id: string; text: string; pending: Pending }[] = [];
  #broken: Fault | undefined;
  #last = 0;

  /** @param isOpen whether what is written still reaches the other side, as far as is known. */
  constructor(write: (text: string) => void, isOpen: () => boolean) {
    this.#write = write;
    this.#isOpen = isOpen;
  }

  /** @throws Fault of the agent's answer; CANCELLED; TOO_LARGE; UNREACHABLE if the connection breaks. */
  ask(method: string, params: unknown, signal: AbortSignal | undefined): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#last += 1;
      const id = String(this.#last);
      const text = writeRequest(id, method, params);
      if (this.#broken !== undefined) return reject(unsent(this.#broken));
      if (!this.#isOpen()) return reject(closing());
      if (signal?.aborted === true) return reject(cancelled(`"${method}"`, 'no'));
      if (Buffer.byteLength(text) > WIRE.frameBytes) {
        const why = `The request "${method}" is larger than a frame may be (${WIRE.frameBytes} bytes)`;
        return reject(new Fault('TOO_LARGE', why));
      }
      const onAbort = (): void => {
        const place = this.#waiting.findIndex((one) => one.id === id);
        if (place >= 0) this.#waiting.splice(place, 1);
        reject(cancelled(`"${method}"`, place >= 0 ? 'no' : 'maybe'));
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      const settled = (): void => signal?.removeEventListener('abort', onAbort);
      const pending: Pending = {
        resolve: (result) => {
          settled();
          resolve(result);
        },
        reject: (fault) => {
          settled();
          reject(fault);
        },
      };
      this.#waiting.push({ id, text, pending });
      this.#sendNext();
    });
  }

  /** Takes an answer. An answer to an unknown request is ignored. */
  answer(id: string, outcome: { result: unknown } | { fault: Fault }): void {
    const pending = this.#inFlight.get(id);
    this.#inFlight.delete(id);
    if ('fault' in outcome) {
      pending?.reject(outcome.fault);
    } else {
      pending?.resolve(outcome.result);
    }
    this.#sendNext();
  }

  /** The connection is gone: all requests fail. */
  fail(fault: Fault): void {
    this.#broken = fault;
    for (const pending of this.#inFlight.values()) {
      pending.reject(fault);
    }
    for (const { pending } of this.#waiting) {
      pending.reject(unsent(fault));
    }
    this.#inFlight.clear();
    this.#waiting.length = 0;
  }

  // A cancelled request stays in flight until it is answered, because the agent counts it too.
  #sendNext(): void {
    while (this.#inFlight.size < WIRE.requestsInFlight) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#inFlight.set(next.id, next.pending);
      this.#write(next.text);
    }
  }
}
