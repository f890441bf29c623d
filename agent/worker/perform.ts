/** Every task but an install: one question, one answer, and sometimes house-keeping after it. */
import { toFault } from '../../shared/fault.ts';
import { restartedSchema } from '../../shared/loading.ts';
import { installedSchema } from '../../shared/methods.ts';
import { adoptTouched } from '../install/adopt.ts';
import type { Ground } from '../install/ground.ts';
import { getPlugin, listPlugins, verifyPlugin } from '../install/inspect.ts';
import { basisOf, liveDrift, takenGeneration } from '../install/loaded.ts';
import { forgetOperations, questionOf, recall, remember } from '../install/memory.ts';
import { recover } from '../install/recover.ts';
import { receiptOf } from '../install/records.ts';
import { liveVersions, noteBegun, noteLoaded, pendingPlugins, promisedPlugins } from '../install/reports.ts';
import { rollback } from '../install/rollback.ts';
import { discardSlot, lookAtLive } from '../install/slot.ts';
import { forgetBefore, sweepDrafts, sweepPlugin } from '../install/sweep.ts';
import { listTroubles } from '../install/troubles.ts';
import { uninstall } from '../install/uninstall.ts';
import { admissionOf, knownOf } from '../install/watched.ts';
import type { Answer, Task } from './messages.ts';

const restartOf = (params: object): string => questionOf({ ...params, op: 'restarted' });

/**
 * Performs a task.
 *
 * @param answer is called once, with the answer; house-keeping that changes nothing for who asked comes after it.
 * @throws Fault what the task fails with; then `answer` was not called.
 */
export function perform(ground: Ground, task: Task, answer: (answer: Answer) => void): void {
  switch (task.kind) {
    case 'discard':
      discardSlot(ground, task.plugin, task.stamp);
      return answer({ kind: 'discarded' });
    case 'recover': {
      const recovered = recover(ground, task.plugin);
      try {
        adoptTouched(ground, task.plugin);
      } catch (error) {
        ground.complain(toFault(error, `Adopting "${task.plugin}"`));
      }
      return answer({ kind: 'recovered', recovered });
    }
    case 'sweep':
      return answer({ kind: 'swept', swept: sweepPlugin(ground, task.plugin) });
    case 'forget':
      sweepDrafts(ground);
      return answer({ kind: 'forgotten', operations: forgetOperations(ground, forgetBefore(ground)) });
    case 'rollback': {
      const changed = rollback(ground, task.params, task.by);
      answer({ kind: 'rolled-back', answer: changed.answer });
      return changed.collect();
    }
    case 'uninstall': {
      const changed = uninstall(ground, task.params, task.by);
      answer({ kind: 'uninstalled', answer: changed.answer });
      return changed.collect();
    }
    case 'recall':
      return answer({
        kind: 'recalled',
        answer: recall(ground, task.operationId, undefined, installedSchema),
      });
    case 'troubles':
      return answer({ kind: 'troubled', troubles: listTroubles(ground) });
    case 'basis': {
      const live = lookAtLive(ground, task.plugin);
      const basis = basisOf(ground, task.plugin, live, liveDrift(ground, task.plugin, live));
      return answer({ kind: 'basis-found', basis, generation: takenGeneration(ground, task.plugin, live) });
    }
    case 'admission':
      return answer({ kind: 'admission-found', admission: admissionOf(ground, task.plugin) });
    case 'installed-files': {
      const receipt = receiptOf(ground, task.plugin, task.installId);
      const installed = receipt && { files: receipt.list, at: Date.parse(receipt.installedAt) };
      return answer({ kind: 'files-found', installed });
    }
    case 'known-loaded':
      return answer({
        kind: 'known-found',
        known: knownOf(ground, task.plugin, task.generation, task.stamp),
      });
    case 'live':
      return answer({ kind: 'live-versions', versions: liveVersions(ground, task.at, task.swaps) });
    case 'loaded':
      noteLoaded(ground, task.version, task.began, task.cause);
      return answer({ kind: 'noted' });
    case 'pending':
      return answer({ kind: 'names', plugins: pendingPlugins(ground) });
    case 'promised':
      return answer({ kind: 'names', plugins: promisedPlugins(ground) });
    case 'restart-begins':
      noteBegun(ground, task.plugin, task.before);
      return answer({ kind: 'noted' });
    case 'restart-asked': {
      const { operationId } = task.params;
      const known = recall(ground, operationId, restartOf(task.params), restartedSchema);
      return answer({ kind: 'restart-known', answer: known });
    }
    case 'restart-answered':
      remember(ground, task.params.operationId, restartOf(task.params), task.answer, '');
      return answer({ kind: 'noted' });
    case 'list':
      return answer({ kind: 'listed', plugins: listPlugins(ground) });
    case 'get':
      return answer({ kind: 'got', plugin: getPlugin(ground, task.plugin) });
    case 'verify':
      return answer({ kind: 'verified', verification: verifyPlugin(ground, task.plugin) });
    default:
      return task satisfies never;
  }
}
