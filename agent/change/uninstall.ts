/** Removes a plugin: its live version becomes a snapshot, from which it can come back, and nothing is live. */
import type { UninstallParams } from '../../shared/api/methods.ts';
import { type Uninstalled, uninstalledSchema } from '../../shared/api/plugin.ts';
import type { Intent } from '../../shared/format/intent.ts';
import { type Reload, reloadOf } from '../../shared/rule/classify.ts';
import { removeTree } from '../disk/record.ts';
import { attempt, type StoreContext } from '../store/context.ts';
import { liveVersionOf } from '../store/marker.ts';
import { amend } from '../store/journal.ts';
import { questionOf, rememberAnswer } from '../store/operation-log.ts';
import { displace } from './swap.ts';
import { type Change, transact, Transaction } from './transaction.ts';

const UNTOUCHED = reloadOf({ kind: 'identical', reasons: [] }, false);

/**
 * Removes the live version. When it returns, that is durable, and the version is a snapshot until the retention ends.
 *
 * @throws Fault HELD, CONFLICT, SWAP_FAILED, ROLLBACK_FAILED, NO_SPACE, READ_ONLY
 */
export function uninstall(context: StoreContext, params: UninstallParams, by: string): Change<Uninstalled> {
  const { plugin, operationId, restart } = params;
  const asked = {
    doing: `Removing "${plugin}"`,
    params,
    question: questionOf({ ...params, op: 'uninstall' }),
    answer: uninstalledSchema,
  };
  return transact(context, asked, () => {
    const from = liveVersionOf(context, plugin);
    if (from === null) {
      const answer = answerOf(params, from, purge(context, params), UNTOUCHED);
      rememberAnswer(context, asked, answer);
      return { answer, collect: () => undefined };
    }
    const change = Transaction.begin(context, asked, { op: 'remove', from, path: 'rename' });
    const reload = change.attempt(() => {
      const planned = change.foresee(restart, from, undefined);
      // A repeated request purges what a crash has prevented.
      if (params.purge !== true) {
        amend(context, change.journal, change.memoryOf(answerOf(params, from, false, planned.reload)));
      }
      change.moveLive(displace);
      return planned.reload;
    });
    const answer = answerOf(params, from, purge(context, params), reload);
    const data = { operationId, plugin, installId: from.installId, by };
    return change.commit(answer, { type: 'plugin.removed', data });
  });
}

/** @returns whether the plugin's own data is removed. A failure is reported; the plugin itself is removed. */
function purge(context: StoreContext, params: UninstallParams): boolean {
  const { plugin } = params;
  return (
    params.purge === true &&
    attempt(context, `Removing the data of "${plugin}"`, () => {
      removeTree(context.disk, context.layout.data(plugin));
      return true;
    }) === true
  );
}

function answerOf(
  { plugin }: UninstallParams,
  from: Intent['from'],
  purged: boolean,
  reload: Reload,
): Uninstalled {
  const status = from === null ? 'absent' : 'removed';
  return { plugin, status, installId: from?.installId ?? null, purged, reload };
}
