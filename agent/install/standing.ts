/** The end of a change that a killed agent left standing. */
import { toFault } from '../../shared/fault.ts';
import type { Intent } from '../../shared/intent.ts';
import { installedSchema, uninstalledSchema } from '../../shared/methods.ts';
import type { Ground } from './ground.ts';
import { markerAt } from './marker-at.ts';
import { remember } from './memory.ts';
import { forgetRefused, noteRefused } from './notes.ts';

/**
 * What a killed agent did not come to: who asks again must get this answer, with the restart that it asks for, and not have
 * it done again.
 */
export function rememberStanding(ground: Ground, intent: Intent): void {
  const { op, plugin, operationId, memory } = intent;
  const answer = (op === 'remove' ? uninstalledSchema : installedSchema).safeParse(memory?.answer);
  if (memory === undefined || !answer.success) {
    return;
  }
  if (op === 'install') {
    forgetRefused(ground, intent);
  }
  const marker = op === 'rollback' ? markerAt(ground, ground.layout.live(plugin)) : undefined;
  if (marker !== undefined) {
    noteRefused(ground, plugin, marker);
  }
  try {
    remember(ground, operationId, memory.question, answer.data, plugin);
  } catch (error) {
    ground.complain(toFault(error, 'Remembering the answer'));
  }
}
