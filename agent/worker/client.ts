/** How tasks are given to engine threads, and answered. */
import type { EventBody } from '../../shared/api/events.ts';
import { Fault, toFault } from '../../shared/api/fault.ts';
import type { Answer, FromEngine, Task } from './messages.ts';
import { deferred } from './deferred.ts';
import type { Pool } from './pool.ts';

/** The answer, and the end of the house-keeping after it; `over` never rejects. */
export type Asked<K extends Answer['kind']> = { answer: Promise<Answer & { kind: K }>; over: Promise<void> };

/** Gives a task away. @param kind of the answer that belongs to it. */
export type Ask = <K extends Answer['kind']>(task: Task, kind: K) => Asked<K>;

type LoadedReports = {
  tell: (event: EventBody) => void;
  complain: (fault: Fault, stack: string | undefined) => void;
};

/** Asks engine threads. */
export function askPool(pool: Pick<Pool, 'lease'>, { tell, complain }: LoadedReports): Ask {
  return <K extends Answer['kind']>(task: Task, kind: K): Asked<K> => {
    const answer = deferred<Answer & { kind: K }>();
    const over = deferred<void>();
    const isAnswer = (message: FromEngine): message is Answer & { kind: K } => message.kind === kind;
    const fail = (fault: Fault): void => {
      answer.reject(fault);
      over.resolve();
    };
    const hear = (message: FromEngine): void => {
      if (isAnswer(message)) {
        answer.resolve(message);
      } else if (message.kind === 'failed') {
        answer.reject(Fault.from(message.fault));
      } else if (message.kind === 'event') {
        tell(message.event);
      } else if (message.kind === 'complaint') {
        complain(Fault.from(message.fault), message.stack);
      } else if (message.kind === 'done') {
        over.resolve();
      }
    };
    pool.lease({ message: hear, crash: fail }).then(
      (engine) => engine.say(task),
      (error: unknown) => fail(toFault(error, 'Getting an engine thread')),
    );
    return { answer: answer.promise, over: over.promise };
  };
}

/**
 * Removes the slot of an install whose thread crashed before it had begun to touch live. Never rejects: what cannot be
 * removed is complained of and left to recovery.
 */
export async function discard(
  { pool, ...loadedReports }: LoadedReports & { pool: Pick<Pool, 'lease'> },
  plugin: string,
  stamp: string,
): Promise<void> {
  const { answer, over } = askPool(pool, loadedReports)({ kind: 'discard', plugin, stamp }, 'discarded');
  answer.catch((error: unknown) =>
    loadedReports.complain(toFault(error, 'Removing the staging directory'), undefined),
  );
  await over;
}
