/** The end of a change of a killed agent: that it left standing, or that it did not come to. */
import { toFault } from '../../shared/fault.ts';
import type { Intent } from '../../shared/intent.ts';
import { installedSchema, uninstalledSchema } from '../../shared/methods.ts';
import type { Ground } from './ground.ts';
import { markerAt } from './marker-at.ts';
import { remember } from './memory.ts';
import { forgetRefused, noteRefused, putPending } from './notes.ts';
import { stateOf } from './records.ts';
import { lookAtLive } from './slot.ts';

/**
 * What a killed agent did not come to: who asks again must get this answer, with the restart that it asks for, and not have
 * it done again.
 */
export function rememberStanding(ground: Ground, intent: Intent): void {
  const { op, plugin, stamp, operationId, memory } = intent;
  const answer = (op === 'remove' ? uninstalledSchema : installedSchema).safeParse(memory?.answer);
  if (memory === undefined || !answer.success) {
    return;
  }
  // It failed, and what was live has been removed by another since.
  if (op === 'remove' && ground.disk.stat(ground.layout.snapshot(plugin, stamp)) === undefined) {
    return;
  }
  if (op !== 'remove') {
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

/**
 * The change was not made: nobody waits for a restart into it. Where something else than what is live is taken to be loaded,
 * that is still waited for. Never throws.
 */
export function forgetPending(ground: Ground, { plugin, operationId }: Intent): void {
  try {
    const pending = stateOf(ground, plugin)?.pending;
    const live = lookAtLive(ground, plugin);
    const isLoaded = pending?.against === (live === null ? null : (live.installId ?? undefined));
    if (pending?.operationId === operationId && isLoaded) {
      putPending(ground, plugin, undefined);
    }
  } catch (error) {
    ground.complain(toFault(error, 'Taking back what was pending'));
  }
}
