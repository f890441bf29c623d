/** What is done about an install that failed past its staging: the way back, and the note where there is none. */
import { type Fault, toFault } from '../../shared/fault.ts';
import type { Intent } from '../../shared/intent.ts';
import { putRecord } from '../disk/record.ts';
import type { Ground } from './ground.ts';
import { stateOf } from './inspect.ts';
import { discardSlot, writeIntent } from './slot.ts';
import { type Move, takeBack } from './swap.ts';

/**
 * Takes back the moves of a swap in reverse and removes the slot, so that live is what it was.
 *
 * @returns the fault to answer with: the given one, or ROLLBACK_FAILED that carries both; then the disk is left as it
 *   is, and the plugin's state says what an operator has to do.
 */
export function undo(ground: Ground, intent: Intent, moves: Move[], because: Fault): Fault {
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
  try {
    discardSlot(ground, intent.plugin, intent.stamp);
  } catch {
    // Live is as it was, which is what counts; recovery removes what is left in staging.
  }
  return because;
}

function leaveToOperator(ground: Ground, { plugin, stamp, operationId }: Intent, fault: Fault): void {
  const { layout, disk, now } = ground;
  const trouble = {
    at: new Date(now()).toISOString(),
    operationId,
    what: fault.message,
    todo: `Look at ${layout.snapshot(plugin, stamp)} (the version before) and ${layout.slot(plugin, stamp)} (the new one), move one of them to ${layout.live(plugin)}`,
  };
  try {
    putRecord(disk, layout.staging, layout.stateOf(plugin), { ...stateOf(ground, plugin), trouble });
  } catch {
    // The fault itself is answered and logged; a disk that takes no note cannot keep it.
  }
}
