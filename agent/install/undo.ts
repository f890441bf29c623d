/** What is done about an install that failed past its staging: the way back, and the note where there is none. */
import { type Fault, toFault } from '../../shared/fault.ts';
import type { Intent } from '../../shared/intent.ts';
import type { Ground } from './ground.ts';
import type { Papers } from './papers.ts';
import { discardSlot, writeIntent } from './slot.ts';
import type { Move } from './move.ts';
import type { Outlook } from './reload.ts';
import { takeBack } from './swap.ts';
import { moveOne, noteTrouble } from './notes.ts';

/**
 * Takes back the moves of a swap in reverse and removes the slot, so that live is what it was.
 *
 * @param outlook what was written down of it for the runtime's sake.
 * @returns the fault to answer with: the given one, or ROLLBACK_FAILED that carries both; then the disk is left as it
 *   is, and the plugin's state says what an operator has to do.
 */
export function undo(
  ground: Ground,
  { intent }: Papers,
  moves: Move[],
  because: Fault,
  outlook?: Pick<Outlook, 'takeBack'>,
): Fault {
  if (moves.length > 0) {
    try {
      // Recovery must not go forward again where the agent went back.
      writeIntent(ground, { ...intent, goal: 'back' });
    } catch {
      // The way back only renames, which a disk too full for a new file still does.
    }
  }
  try {
    takeBack(moves, because);
  } catch (error) {
    const fault = toFault(error, 'Taking the swap back');
    leaveToOperator(ground, intent, fault);
    return fault;
  }
  outlook?.takeBack();
  try {
    discardSlot(ground, intent.plugin, intent.stamp, intent);
  } catch (error) {
    // Live is as it was, which is what counts; recovery removes what is left in staging.
    ground.complain(toFault(error, 'Removing the staging directory'));
  }
  return because;
}

function leaveToOperator(ground: Ground, { plugin, stamp, operationId }: Intent, fault: Fault): void {
  const todo = moveOne(ground, plugin, stamp);
  noteTrouble(ground, plugin, { operationId, what: fault.message, todo, hold: undefined });
}
