/** A plugin goes: its live version becomes a snapshot, so that it can come back, and nothing is live. */
import { type Reload, reloadOf } from '../../shared/rule/classify.ts';
import { toFault } from '../../shared/api/fault.ts';
import type { Intent } from '../../shared/format/intent.ts';
import { type UninstallParams, type Uninstalled, uninstalledSchema } from '../../shared/api/methods.ts';
import { diskFault } from '../disk/disk-fault.ts';
import { removeTree } from '../disk/record.ts';
import { finish, undo } from './transaction.ts';
import type { StoreContext } from '../store/context.ts';
import { questionOf, recall, remember } from '../store/operation-log.ts';
import type { Move } from '../store/durable-rename.ts';
import {
  amend,
  discardSlot,
  liveVersionOf,
  newIntent,
  type Journal,
  takeSlot,
  writeIntent,
} from '../store/journal.ts';
import { refuseUnwanted } from './preflight.ts';
import type { Change } from './rollback.ts';
import { displace } from './swap.ts';
import { type PlannedReload, foresee } from './reload.ts';

/**
 * Removes what is live. When it returns, that is durable; the version is a snapshot until the retention ends.
 *
 * @throws Fault HELD, CONFLICT, SWAP_FAILED, ROLLBACK_FAILED, NO_SPACE, READ_ONLY
 */
export function uninstall(context: StoreContext, params: UninstallParams, by: string): Change<Uninstalled> {
  try {
    return takeAway(context, params, by);
  } catch (error) {
    throw diskFault(error, `Removing "${params.plugin}"`);
  }
}

function takeAway(context: StoreContext, params: UninstallParams, by: string): Change<Uninstalled> {
  const question = questionOf({ ...params, op: 'uninstall' });
  const before = recall(context, params.operationId, question, uninstalledSchema);
  if (before !== undefined) {
    return { answer: before, collect: () => undefined };
  }
  refuseUnwanted(context, params);
  const from = liveVersionOf(context, params.plugin);
  const { journal, outlook } = from === null ? {} : remove(context, params, from, question);
  const purged = params.purge === true && purge(context, params.plugin);
  const answer = answerOf(params, from, purged, outlook?.reload ?? UNTOUCHED);
  if (journal !== undefined) {
    const { operationId, plugin } = params;
    const data = { operationId, plugin, installId: from?.installId ?? null, by };
    context.tell({ type: 'plugin.removed', data });
    outlook?.settle();
  }
  try {
    remember(context, params.operationId, question, answer, params.plugin);
  } catch (error) {
    context.complain(toFault(error, 'Remembering the answer'));
  }
  return {
    answer,
    collect: () => journal !== undefined && finish(context, journal, () => tidy(context, journal)),
  };
}

const UNTOUCHED = reloadOf({ kind: 'identical', reasons: [] }, false);

type Removed = { journal?: Journal; outlook?: PlannedReload };

function remove(
  context: StoreContext,
  params: UninstallParams,
  from: Intent['from'],
  question: string,
): Removed {
  const { plugin, operationId, restart, purge: purging } = params;
  const stamp = takeSlot(context, plugin, '0'.repeat(64), from);
  const journal: Journal = {
    intent: { ...newIntent(context, { plugin, operationId, stamp, from }), op: 'remove', path: 'rename' },
  };
  const moves: Move[] = [];
  let outlook: PlannedReload | undefined;
  try {
    writeIntent(context, journal.intent);
    const next = undefined;
    outlook = foresee(context, { plugin, operationId, restart: restart !== false, from, next });
    // What is still to be purged after a crash is purged by who asks again.
    if (purging !== true) {
      const answer = answerOf(params, from, false, outlook.reload);
      amend(context, journal, { memory: { question, answer } });
    }
    displace(context, journal, moves);
    return { journal, outlook };
  } catch (error) {
    const code = moves.length > 0 ? 'SWAP_FAILED' : 'INTERNAL';
    throw undo(context, journal, moves, diskFault(error, `Removing "${plugin}"`, code), outlook);
  }
}

/** The slot only reserved the stamp. */
function tidy(context: StoreContext, { intent }: Journal): void {
  discardSlot(context, intent.plugin, intent.stamp, intent);
}

/** @returns whether what the plugin has written for itself is gone. A failure is complained of: the plugin is removed. */
function purge(context: StoreContext, plugin: string): boolean {
  try {
    removeTree(context.disk, context.layout.data(plugin));
    return true;
  } catch (error) {
    context.complain(toFault(error, `Removing the data of "${plugin}"`));
    return false;
  }
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
