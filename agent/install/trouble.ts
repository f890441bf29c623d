/** What only an operator can put right is written into the plugin's state: what happened and what to do. */
import { toFault } from '../../shared/fault.ts';
import { NO_STATE } from '../../shared/state.ts';
import { putRecord } from '../disk/record.ts';
import type { Ground } from './ground.ts';
import { stateOf } from './inspect.ts';

type Trouble = {
  operationId: string;
  what: string;
  /** Why nothing is to be installed until somebody has looked; undefined leaves that as it is. */
  hold: string | undefined;
};

/** Never throws: the trouble itself is answered and logged, and a disk that takes no note cannot keep it. */
export function noteTrouble(ground: Ground, plugin: string, stamp: string, trouble: Trouble): void {
  const { layout, disk, now } = ground;
  const { operationId, what, hold } = trouble;
  const note = {
    at: new Date(now()).toISOString(),
    operationId,
    what,
    todo: `If ${layout.live(plugin)} is not there, move ${layout.snapshot(plugin, stamp)} (the version before) or ${layout.slot(plugin, stamp)} (the new one) to it`,
  };
  try {
    // A state that cannot be read may have said that the plugin is held.
    const state = stateOf(ground, plugin) ?? { ...NO_STATE, held: 'Its state could not be read' };
    const held = hold === undefined ? {} : { held: hold };
    putRecord(disk, layout.staging, layout.stateOf(plugin), { ...state, ...held, trouble: note });
  } catch (error) {
    ground.complain(toFault(error, 'Noting the trouble'));
  }
}

/** A version that is in place and read back resolves what was wrong before. Never throws. */
export function clearTrouble(ground: Ground, plugin: string): void {
  const { layout, disk } = ground;
  const state = stateOf(ground, plugin);
  if (state?.trouble === undefined) {
    return;
  }
  const { trouble, held, ...others } = state;
  // The hold that came with the trouble goes with it; one that somebody put there for another reason stays.
  const rest = held === undefined || trouble.what.endsWith(held) ? others : { ...others, held };
  try {
    putRecord(disk, layout.staging, layout.stateOf(plugin), rest);
  } catch (error) {
    ground.complain(toFault(error, 'Clearing the trouble'));
  }
}
