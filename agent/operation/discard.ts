/** Removes the slot of an install whose thread crashed before it had begun to touch live. */
import { Fault } from '../../shared/fault.ts';
import type { Surroundings } from './around.ts';

/** Never rejects: what cannot be removed is complained of and left to recovery. */
export async function discard(
  { pool, complain }: Surroundings,
  plugin: string,
  stamp: string,
): Promise<void> {
  try {
    const engine = await pool.lease({
      message: (message) => {
        if (message.kind === 'failed') {
          complain(Fault.from(message.fault), message.stack);
        }
      },
      crash: (fault) => complain(fault, undefined),
    });
    engine.say({ kind: 'discard', plugin, stamp });
  } catch {
    // The agent is shutting down.
  }
}
