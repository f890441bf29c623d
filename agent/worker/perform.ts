/** Every task but an install: one question, one answer, and sometimes house-keeping after it. */
import { toFault } from '../../shared/api/fault.ts';
import { restartedSchema } from '../../shared/api/loading.ts';
import { installedSchema } from '../../shared/api/methods.ts';
import { adoptTouched } from '../change/adopt.ts';
import type { StoreContext } from '../store/context.ts';
import { admissionOf, getPlugin, knownOf, listPlugins, verifyPlugin } from '../store/inspect.ts';
import { basisOf, liveDrift, takenGeneration } from '../store/loaded.ts';
import { forgetOperations, questionOf, recall, remember } from '../store/operation-log.ts';
import { recover } from '../change/recover.ts';
import { receiptOf } from '../store/records.ts';
import {
  liveVersions,
  noteBegun,
  noteLoaded,
  pendingPlugins,
  promisedPlugins,
} from '../change/runtime-reports.ts';
import { rollback } from '../change/rollback.ts';
import { discardSlot, liveVersionOf } from '../store/journal.ts';
import { forgetBefore, sweepDrafts, sweepPlugin } from '../change/sweep.ts';
import { listTroubles } from '../store/state.ts';
import { uninstall } from '../change/uninstall.ts';
import type { Answer, Task } from './messages.ts';

const restartOf = (params: object): string => questionOf({ ...params, op: 'restarted' });

/**
 * Performs a task.
 *
 * @param answer is called once, with the answer; house-keeping that changes nothing for who asked comes after it.
 * @throws Fault what the task fails with; then `answer` was not called.
 */
export function perform(context: StoreContext, task: Task, answer: (answer: Answer) => void): void {
  switch (task.kind) {
    case 'discard':
      discardSlot(context, task.plugin, task.stamp);
      return answer({ kind: 'discarded' });
    case 'recover': {
      const recovered = recover(context, task.plugin);
      try {
        adoptTouched(context, task.plugin);
      } catch (error) {
        context.complain(toFault(error, `Adopting "${task.plugin}"`));
      }
      return answer({ kind: 'recovered', recovered });
    }
    case 'sweep':
      return answer({ kind: 'swept', swept: sweepPlugin(context, task.plugin) });
    case 'forget':
      sweepDrafts(context);
      return answer({ kind: 'forgotten', operations: forgetOperations(context, forgetBefore(context)) });
    case 'rollback': {
      const changed = rollback(context, task.params, task.by);
      answer({ kind: 'rolled-back', answer: changed.answer });
      return changed.collect();
    }
    case 'uninstall': {
      const changed = uninstall(context, task.params, task.by);
      answer({ kind: 'uninstalled', answer: changed.answer });
      return changed.collect();
    }
    case 'recall':
      return answer({
        kind: 'recalled',
        answer: recall(context, task.operationId, undefined, installedSchema),
      });
    case 'troubles':
      return answer({ kind: 'troubled', troubles: listTroubles(context) });
    case 'basis': {
      const live = liveVersionOf(context, task.plugin);
      const basis = basisOf(context, task.plugin, live, liveDrift(context, task.plugin, live));
      return answer({ kind: 'basis-found', basis, generation: takenGeneration(context, task.plugin, live) });
    }
    case 'admission':
      return answer({ kind: 'admission-found', admission: admissionOf(context, task.plugin) });
    case 'installed-files': {
      const receipt = receiptOf(context, task.plugin, task.installId);
      const installed = receipt && { files: receipt.list, at: Date.parse(receipt.installedAt) };
      return answer({ kind: 'files-found', installed });
    }
    case 'known-loaded':
      return answer({
        kind: 'known-found',
        known: knownOf(context, task.plugin, task.generation, task.stamp),
      });
    case 'live':
      return answer({ kind: 'live-versions', versions: liveVersions(context, task.at, task.swaps) });
    case 'loaded':
      noteLoaded(context, task.version, task.began, task.cause);
      return answer({ kind: 'noted' });
    case 'pending':
      return answer({ kind: 'names', plugins: pendingPlugins(context) });
    case 'promised':
      return answer({ kind: 'names', plugins: promisedPlugins(context) });
    case 'restart-begins':
      noteBegun(context, task.plugin, task.before);
      return answer({ kind: 'noted' });
    case 'restart-asked': {
      const { operationId } = task.params;
      const known = recall(context, operationId, restartOf(task.params), restartedSchema);
      return answer({ kind: 'restart-known', answer: known });
    }
    case 'restart-answered':
      remember(context, task.params.operationId, restartOf(task.params), task.answer, '');
      return answer({ kind: 'noted' });
    case 'list':
      return answer({ kind: 'listed', plugins: listPlugins(context) });
    case 'get':
      return answer({ kind: 'got', plugin: getPlugin(context, task.plugin) });
    case 'verify':
      return answer({ kind: 'verified', verification: verifyPlugin(context, task.plugin) });
    default:
      return task satisfies never;
  }
}
