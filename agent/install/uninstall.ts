/** A plugin goes: its live version becomes a snapshot, so that it can come back, and nothing is live. */
import { cut } from '../../shared/cut.ts';
import { toFault } from '../../shared/fault.ts';
import type { Intent } from '../../shared/intent.ts';
import { type UninstallParams, type Uninstalled, uninstalledSchema } from '../../shared/methods.ts';
import { diskFault } from '../disk/disk-fault.ts';
import { removeTree } from '../disk/record.ts';
import { finish } from './finish.ts';
import type { Ground } from './ground.ts';
import { questionOf, recall, remember } from './memory.ts';
import type { Move } from './move.ts';
import { type Papers, newIntent } from './papers.ts';
import { refuseUnwanted } from './preflight.ts';
import type { Change } from './rollback.ts';
import { discardSlot, lookAtLive, takeSlot, writeIntent } from './slot.ts';
import { displace } from './swap.ts';
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
  const papers = from === null ? undefined : remove(ground, params, from);
  const answer = answerOf(params, from, params.purge === true && purge(ground, params.plugin));
  if (papers !== undefined) {
    const { operationId, plugin } = params;
    const data = { operationId, plugin, installId: from?.installId ?? null, by };
    ground.tell({ type: 'plugin.removed', data });
  }
  try {
    remember(ground, params.operationId, question, answer);
  } catch (error) {
    ground.complain(toFault(error, 'Remembering the answer'));
  }
  return {
    answer,
    collect: () => papers !== undefined && finish(ground, papers, () => tidy(ground, papers)),
  };
}

function remove(ground: Ground, { plugin, operationId }: UninstallParams, from: Intent['from']): Papers {
  const stamp = takeSlot(ground, plugin, '0'.repeat(64), from);
  const papers: Papers = {
    intent: { ...newIntent(ground, { plugin, operationId, stamp, from }), op: 'remove', path: 'rename' },
  };
  const moves: Move[] = [];
  try {
    writeIntent(ground, papers.intent);
    displace(ground, papers, moves);
    return papers;
  } catch (error) {
    const code = moves.length > 0 ? 'SWAP_FAILED' : 'INTERNAL';
    throw undo(ground, papers, moves, diskFault(error, `Removing "${plugin}"`, code));
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

function answerOf({ plugin, restart }: UninstallParams, from: Intent['from'], purged: boolean): Uninstalled {
  const why = 'the plugin is removed';
  return {
    plugin,
    status: from === null ? 'absent' : 'removed',
    installId: from?.installId ?? null,
    purged,
    reload:
      from === null
        ? { kind: 'identical', action: 'none', restarting: false, reasons: cut([]) }
        : {
            kind: 'cold',
            action: 'restart',
            restarting: restart !== false,
            reasons: cut([{ path: '', change: 'removed' as const, why }]),
          },
  };
}
