/** The end of a rollback that a killed agent left standing. */
import { toFault } from '../../shared/fault.ts';
import type { Intent } from '../../shared/intent.ts';
import { installedSchema } from '../../shared/methods.ts';
import type { Ground } from './ground.ts';
import { remember } from './memory.ts';
import { noteRefused } from './notes.ts';
import { markerAt } from './marker-at.ts';

/** What a killed agent did not come to: who asks again must get this answer, and not have it done again. */
export function rememberStanding(ground: Ground, { op, plugin, operationId, memory }: Intent): void {
  const marker = markerAt(ground, ground.layout.live(plugin));
  const answer = installedSchema.safeParse(memory?.answer);
  if (op !== 'rollback' || marker === undefined || memory === undefined || !answer.success) {
    return;
  }
  noteRefused(ground, plugin, marker);
  try {
    remember(ground, operationId, memory.question, answer.data, plugin);
  } catch (error) {
    ground.complain(toFault(error, 'Remembering the answer'));
  }
}
