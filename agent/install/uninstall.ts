/** A plugin goes: its live version becomes a snapshot, so that it can come back, and nothing is live. */
import { type Reload, reloadOf } from '../../shared/classify.ts';
import { toFault } from '../../shared/fault.ts';
import type { Intent } from '../../shared/intent.ts';
import { type UninstallParams, type Uninstalled, uninstalledSchema } from '../../shared/methods.ts';
import { diskFault } from '../disk/disk-fault.ts';
import { removeTree } from '../disk/record.ts';
import { finish } from './finish.ts';
import type { Ground } from './ground.ts';
import { questionOf, recall, remember } from './memory.ts';
import type { Move } from './move.ts';
import { type Papers, amend, newIntent } from './papers.ts';
import { refuseUnwanted } from './preflight.ts';
import type { Change } from './rollback.ts';
import { discardSlot, lookAtLive, takeSlot, writeIntent } from './slot.ts';
import { displace } from './swap.ts';
import { type Outlook, foresee } from './reload.ts';
import { undo } from './undo.ts';

/**
 * Removes what is live. When it returns, that is durable; the version is a snapshot until the retention ends.
 *
 * @throws Fault HELD, CONFLICT, SWAP_FAILED, ROLLBACK_FAILED, NO_SPACE, READ_ONLY
 */
export function uninstall(ground: Ground, params: UninstallParams, by: string): Change<Uninstalled> {
  try {
    return takeAway(ground, params, by);
  } catch (error) {
    throw diskFault(error, `Removing "${params.plugin}"`);
  }
}

function takeAway(ground: Ground, params: UninstallParams, by: string): Change<Uninstalled> {
  const question = questionOf({ ...params, op: 'uninstall' });
  const before = recall(ground, params.operationId, question, uninstalledSchema);
  if (before !== undefined) {
    return { answer: before, collect: () => undefined };
  }
  refuseUnwanted(ground, params);
  const from = lookAtLive(ground, params.plugin);
  const { papers, outlook } = from === null ? {} : remove(ground, params, from, question);
  const purged = params.purge === true && purge(ground, params.plugin);
  const answer = answerOf(params, from, purged, outlook?.reload ?? UNTOUCHED);
  if (papers !== undefined) {
    const { operationId, plugin } = params;
    const data = { operationId, plugin, installId: from?.installId ?? null, by };
    ground.tell({ type: 'plugin.removed', data });
    outlook?.settle();
  }
  try {
    remember(ground, params.operationId, question, answer, params.plugin);
  } catch (error) {
    ground.complain(toFault(error, 'Remembering the answer'));
  }
  return {
    answer,
    collect: () => papers !== undefined && finish(ground, papers, () => tidy(ground, papers)),
  };
}

const UNTOUCHED = reloadOf({ kind: 'identical', reasons: [] }, false);

type Removed = { papers?: Papers; outlook?: Outlook };

function remove(ground: Ground, params: UninstallParams, from: Intent['from'], question: string): Removed {
  const { plugin, operationId, restart, purge: purging } = params;
  const stamp = takeSlot(ground, plugin, '0'.repeat(64), from);
  const papers: Papers = {
    intent: { ...newIntent(ground, { plugin, operationId, stamp, from }), op: 'remove', path: 'rename' },
  };
  const moves: Move[] = [];
  let outlook: Outlook | undefined;
  try {
    writeIntent(ground, papers.intent);
    const next = undefined;
    outlook = foresee(ground, { plugin, operationId, restart: restart !== false, from, next });
    // What is still to be purged after a crash is purged by who asks again.
    if (purging !== true) {
      const answer = answerOf(params, from, false, outlook.reload);
      amend(ground, papers, { memory: { question, answer } });
    }
    displace(ground, papers, moves);
    return { papers, outlook };
  } catch (error) {
    const code = moves.length > 0 ? 'SWAP_FAILED' : 'INTERNAL';
    throw undo(ground, papers, moves, diskFault(error, `Removing "${plugin}"`, code), outlook);
  }
}

/** The slot only reserved the stamp. */
function tidy(ground: Ground, { intent }: Papers): void {
  discardSlot(ground, intent.plugin, intent.stamp, intent);
}

/** @returns whether what the plugin has written for itself is gone. A failure is complained of: the plugin is removed. */
function purge(ground: Ground, plugin: string): boolean {
  try {
    removeTree(ground.disk, ground.layout.data(plugin));
    return true;
  } catch (error) {
    ground.complain(toFault(error, `Removing the data of "${plugin}"`));
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
