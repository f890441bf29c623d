/** Removes a plugin: its live version becomes a snapshot, from which it can come back, and nothing is live. */
import type { UninstallParams } from '../../shared/api/methods.ts';
import { type Uninstalled, uninstalledSchema } from '../../shared/api/plugin.ts';
import type { Intent } from '../../shared/format/intent.ts';
import { type Reload, reloadOf } from '../../shared/rule/classify.ts';
import type { PluginParts } from '../../shared/rule/plugin/parts.ts';
import { toFault } from '../../shared/api/fault.ts';
import { truncate } from '../../shared/truncate.ts';
import type { StoreContext } from '../store/context.ts';
import { liveVersionOf } from '../store/marker.ts';
import { amend } from '../store/journal.ts';
import { questionOf, rememberAnswer } from '../store/operation-log.ts';
import { livePartsOf } from './displaced.ts';
import { purgeData } from './purge.ts';
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
      const answer = { ...answerOf(params, from, UNTOUCHED), ...purge(context, params) };
      rememberAnswer(context, asked, answer);
      return { answer, collect: () => undefined };
    }
    const had = named(livePartsOf(context, plugin));
    const change = Transaction.begin(context, asked, { op: 'remove', from, by, path: 'rename' });
    const reload = change.attempt(() => {
      const planned = change.foresee(restart, from, undefined);
      // A repeated request purges what a crash has prevented.
      if (params.purge !== true) {
        const answer = { ...answerOf(params, from, planned.reload), ...had };
        amend(context, change.journal, change.memoryOf(answer));
      }
      change.moveLive(displace);
      return planned.reload;
    });
    const answer = { ...answerOf(params, from, reload), ...had, ...purge(context, params) };
    const data = { operationId, plugin, installId: from.installId, by, ...had };
    return change.commit(answer, { type: 'plugin.removed', data });
  });
}

/** Removes the plugin's own data, if that is asked. A failure is a warning: the plugin itself is removed. */
function purge(
  context: StoreContext,
  { plugin, purge: isAsked }: UninstallParams,
): Pick<Uninstalled, 'purged' | 'warnings'> {
  if (isAsked !== true) {
    return { purged: false };
  }
  try {
    purgeData(context, plugin);
    return { purged: true };
  } catch (error) {
    const fault = toFault(error, `Removing the data of "${plugin}"`);
    context.complain(fault);
    const what = `The data of "${plugin}" was not removed: ${fault.message}`;
    const warning = fault.hint === undefined ? what : `${what}. What to do: ${fault.hint}`;
    return { purged: false, warnings: truncate([warning.slice(0, 600)]) };
  }
}

/** The parts in the form in which they are sent. */
function named(parts: PluginParts | undefined): Pick<Uninstalled, keyof PluginParts> {
  return parts === undefined
    ? {}
    : {
        skills: truncate(parts.skills),
        rules: truncate(parts.rules),
        hooks: truncate(parts.hooks),
      };
}

function answerOf({ plugin }: UninstallParams, from: Intent['from'], reload: Reload): Uninstalled {
  const status = from === null ? 'absent' : 'removed';
  return { plugin, status, installId: from?.installId ?? null, purged: false, reload };
}
