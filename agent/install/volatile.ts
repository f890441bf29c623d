/**
 * Where nothing is synced, a note says so and names the boot of the machine. After a restart of the machine files may be
 * empty although their marker is there: then every plugin is compared with its receipt before anything is believed.
 */
import { toFault } from '../../shared/fault.ts';
import { volatileNote } from '../../shared/volatile.ts';
import { putRecord, removeTree, syncDirectory } from '../disk/record.ts';
import type { Durability, Ground } from './ground.ts';
import { stateOf } from './inspect.ts';
import { unmarkLost } from './lost.ts';
import { unfinishedPlugins } from './unfinished.ts';
import { knownPlugins } from './sweep.ts';
import { syncTree } from './sync-tree.ts';
import { volatilityOf } from './volatility.ts';

/**
 * Before anything else is done at a start: compares what may have been lost, then notes durably how this agent writes. The
 * note of the boot before stays as long as there is a plugin that could not be compared; one that an operation has left
 * half-way is recovery's to compare, for only its marker says which of its trees is the new one.
 *
 * @param ground with a disk that syncs.
 * @returns the plugins that are not as they were installed; they have lost their marker, so that the gate refuses them.
 * @throws what the disk throws.
 */
export function settleVolatile(ground: Ground, durability: Durability): string[] {
  const note = volatilityOf(ground);
  const { lost, open } = note === 'elsewhere' ? compareAll(ground) : { lost: [], open: false };
  const { disk, layout } = ground;
  if (open) {
    return lost;
  }
  if (durability === 'none') {
    writeNote(ground);
  } else if (note !== 'none') {
    // What was written without syncs is made durable now, so that it can be relied on from here on.
    syncTree(ground, layout.root);
    removeTree(disk, layout.volatile);
    syncDirectory(disk, layout.root);
  }
  return lost;
}

/**
 * Notes durably that what is written from now on may be lost with this boot of the machine. A note of another boot stays:
 * it says more, until {@link settleVolatile} has compared what it speaks of.
 */
export function noteVolatile(ground: Ground): void {
  if (volatilityOf(ground) === 'none') {
    writeNote(ground);
  }
}

const writeNote = ({ disk, layout, owner }: Ground): void =>
  putRecord(disk, layout.staging, '', layout.volatile, volatileNote(owner.bootId));

/** @returns what has lost its marker or could not be compared, and whether there is something left to compare. */
function compareAll(ground: Ground): { lost: string[]; open: boolean } {
  const unfinished = unfinishedPlugins(ground);
  // One that is held waits for an operator, and nobody may wait for that.
  let open = unfinished.some((plugin) => stateOf(ground, plugin)?.held === undefined);
  const lost = knownPlugins(ground)
    .filter((plugin) => !unfinished.includes(plugin))
    .filter((plugin) => {
      try {
        return unmarkLost(ground, plugin);
      } catch (error) {
        ground.complain(toFault(error, `Comparing "${plugin}" with its receipt`));
        open = true;
        return true;
      }
    });
  return { lost, open };
}
