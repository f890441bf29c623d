/** Removes the slot of an install whose thread crashed before it had begun to touch live. */
import { Fault } from '../../shared/fault.ts';
import type { Surroundings } from './around.ts';
import { deferred } from './deferred.ts';

/** Resolves when it is over. Never rejects: what cannot be removed is complained of and left to recovery. */
export async function discard(
  { pool, complain }: Surroundings,
  plugin: string,
  stamp: string,
): Promise<void> {
  const over = deferred<void>();
  try {
    const engine = await pool.lease({
      message: (message) => {
        if (message.kind === 'failed') {
          complain(Fault.from(message.fault), message.stack);
        } else if (message.kind === 'done') {
          over.resolve();
        }
      },
      crash: (fault) => {
        complain(fault, undefined);
        over.resolve();
      },
    });
    engine.say({ kind: 'discard', plugin, stamp });
    await over.promise;
  } catch {
    // The agent is shutting down.
  }
}
