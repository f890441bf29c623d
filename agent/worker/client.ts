/** Gives calls to engine threads, and returns their answers. */
import type { EventBody } from '../../shared/api/events.ts';
import { Fault, toFault } from '../../shared/api/fault.ts';
import { deferred } from './deferred.ts';
import type { HandlerName, Request, Response } from './handlers.ts';
import type { FromEngine } from './messages.ts';
import type { Pool } from './pool.ts';

/** The answer, and the end of the house-keeping that needs a lock; `over` never rejects. */
export type Asked<R> = { answer: Promise<R>; over: Promise<void> };

/** Receive events, and failures that do not change the answer. */
export type Listeners = {
  tell: (event: EventBody) => void;
  complain: (fault: Fault, stack: string | undefined) => void;
};

/** Calls handlers in threads. */
export class WorkerClient {
  readonly #pool: Pick<Pool, 'lease'>;
  readonly #listeners: Listeners;

  constructor(pool: Pick<Pool, 'lease'>, listeners: Listeners) {
    this.#pool = pool;
    this.#listeners = listeners;
  }

  /** Resolves with the answer, for callers that need not wait for the house-keeping after it. */
  call<N extends HandlerName>(name: N, params: Request<N>): Promise<Response<N>> {
    return this.ask(name, params, '').answer;
  }

  /** @param by the label of the caller. */
  ask<N extends HandlerName>(name: N, params: Request<N>, by: string): Asked<Response<N>> {
    const { tell, complain } = this.#listeners;
    const answer = deferred<Response<N>>();
    const over = deferred<void>();
    const fail = (fault: Fault): void => {
      answer.reject(fault);
      over.resolve();
    };
    const hear = (message: FromEngine): void => {
      if (message.kind === 'answer') {
        // The answer is that of the handler with this name.
        answer.resolve(message.answer as Response<N>);
      } else if (message.kind === 'failed') {
        answer.reject(Fault.from(message.fault));
      } else if (message.kind === 'event') {
        tell(message.event);
      } else if (message.kind === 'complaint') {
        complain(Fault.from(message.fault), message.stack);
      } else if (message.kind === 'tidied' || message.kind === 'done') {
        over.resolve();
      }
    };
    this.#pool.lease({ message: hear, crash: fail }).then(
      (engine) => engine.say({ kind: 'call', name, params, by }),
      (error: unknown) => fail(toFault(error, 'Getting an engine thread')),
    );
    return { answer: answer.promise, over: over.promise };
  }
}

/**
 * Removes the slot of an install whose thread crashed before it changed live. Never rejects: a failure is reported, and
 * recovery removes the slot.
 */
export async function discard(
  { pool, ...listeners }: Listeners & { pool: Pick<Pool, 'lease'> },
  plugin: string,
  stamp: string,
): Promise<void> {
  const { answer, over } = new WorkerClient(pool, listeners).ask('slot.discard', { plugin, stamp }, '');
  answer.catch((error: unknown) =>
    listeners.complain(toFault(error, 'Removing the staging directory'), undefined),
  );
  await over;
}
