/** What is done about an install that failed past its staging: the way back, and the note where there is none. */
import { type Fault, toFault } from '../../shared/api/fault.ts';
import type { Intent } from '../../shared/format/intent.ts';
import { collect } from '../store/snapshots.ts';
import type { StoreContext } from '../store/context.ts';
import type { Move } from '../store/durable-rename.ts';
import { discardSlot, dropIntent, type Journal, writeIntent } from '../store/journal.ts';
import { clearTrouble, moveOne, noteTrouble } from '../store/state.ts';
import type { PlannedReload } from './reload.ts';
import { takeBack } from './swap.ts';

/**
 * Takes back the moves of a swap in reverse and removes the slot, so that live is what it was.
 *
 * @param outlook what was written down of it for the runtime's sake.
 * @returns the fault to answer with: the given one, or ROLLBACK_FAILED that carries both; then the disk is left as it
 *   is, and the plugin's state says what an operator has to do.
 */
export function undo(
  context: StoreContext,
  { intent }: Journal,
  moves: Move[],
  because: Fault,
  outlook?: Pick<PlannedReload, 'takeBack'>,
): Fault {
  if (moves.length > 0) {
    try {
      // Recovery must not go forward again where the agent went back.
      writeIntent(context, { ...intent, goal: 'back' });
    } catch {
      // The way back only renames, which a disk too full for a new file still does.
    }
  }
  try {
    takeBack(moves, because);
  } catch (error) {
    const fault = toFault(error, 'Taking the swap back');
    leaveToOperator(context, intent, fault);
    return fault;
  }
  outlook?.takeBack();
  try {
    discardSlot(context, intent.plugin, intent.stamp, intent);
  } catch (error) {
    // Live is as it was, which is what counts; recovery removes what is left in staging.
    context.complain(toFault(error, 'Removing the staging directory'));
  }
  return because;
}

function leaveToOperator(context: StoreContext, { plugin, stamp, operationId }: Intent, fault: Fault): void {
  const todo = moveOne(context, plugin, stamp);
  noteTrouble(context, plugin, { operationId, what: fault.message, todo, hold: undefined });
}

/**
 * Ends a change that stands. Never throws; what fails is complained of.
 *
 * @param tidy what must be done before the intent may go: it is what tells recovery of a version that is still in the slot.
 */
export function finish(
  context: StoreContext,
  { intent: { plugin, stamp } }: Journal,
  tidy: () => void,
): void {
  clearTrouble(context, plugin);
  const attempt = (doing: string, run: () => void): void => {
    try {
      run();
    } catch (error) {
      context.complain(toFault(error, `${doing} "${plugin}"`));
    }
  };
  attempt('Keeping house after a change of', () => {
    tidy();
    dropIntent(context, plugin, stamp);
  });
  // After the intent is gone: this takes long, and meanwhile recovery would undo what was edited in place since.
  attempt('Collecting old versions of', () => collect(context, plugin));
}
