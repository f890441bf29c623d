/** The end of every change: house-keeping that fails changes nothing for who asked. */
import { toFault } from '../../shared/fault.ts';
import { collect } from './collect.ts';
import type { Ground } from './ground.ts';
import type { Papers } from './papers.ts';
import { dropIntent } from './slot.ts';
import { clearTrouble } from './notes.ts';

/**
 * Ends a change that stands. Never throws; what fails is complained of.
 *
 * @param tidy what must be done before the intent may go: it is what tells recovery of a version that is still in the slot.
 */
export function finish(ground: Ground, { intent: { plugin, stamp } }: Papers, tidy: () => void): void {
  clearTrouble(ground, plugin);
  const attempt = (doing: string, run: () => void): void => {
    try {
      run();
    } catch (error) {
      ground.complain(toFault(error, `${doing} "${plugin}"`));
    }
  };
  attempt('Keeping house after a change of', () => {
    tidy();
    dropIntent(ground, plugin, stamp);
  });
  // After the intent is gone: this takes long, and meanwhile recovery would undo what was edited in place since.
  attempt('Collecting old versions of', () => collect(ground, plugin));
}
