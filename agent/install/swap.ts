/**
 * The commit point: one rename puts the sealed tree in the live place. What was live is moved into `.previous` just
 * before. Both parents are durable after every rename, before the next step begins.
 */
import { Fault } from '../../shared/fault.ts';
import { diskFault } from '../disk/disk-fault.ts';
import { errorCode } from '../disk/port.ts';
import { syncDirectory } from '../disk/record.ts';
import type { Ground } from './ground.ts';

/** A move that has been made, how to take it back, and how to make that durable. */
export type Move = { what: string; undo: () => void; settle: () => void };

/**
 * Moves live to its snapshot (if there is a live version) and the slot to live, adding each move that was made to
 * `moves`, so that the caller can take them back in reverse.
 *
 * @throws Fault SWAP_FAILED, READ_ONLY, NO_SPACE
 */
export function swap(ground: Ground, plugin: string, stamp: string, hasLive: boolean, moves: Move[]): void {
  const { layout } = ground;
  const live = layout.live(plugin);
  if (hasLive) {
    move(ground, 'the live version to its snapshot', live, layout.snapshot(plugin, stamp), moves);
  }
  move(ground, 'the new version to its live place', layout.slot(plugin, stamp), live, moves);
}

function move(ground: Ground, what: string, from: string, to: string, moves: Move[]): void {
  const { disk, layout } = ground;
  const barrier = (): void => {
    for (const directory of [layout.root, layout.staging, layout.previous]) {
      if (
        [from, to].some(
          (path) => path.startsWith(`${directory}/`) && !path.slice(directory.length + 1).includes('/'),
        )
      ) {
        syncDirectory(disk, directory);
      }
    }
  };
  try {
    disk.rename(from, to);
  } catch (error) {
    throw diskFault(swapError(error), `Moving ${what}`, 'SWAP_FAILED');
  }
  moves.push({ what, undo: () => disk.rename(to, from), settle: barrier });
  try {
    barrier();
  } catch (error) {
    throw diskFault(error, `Making durable the move of ${what}`, 'SWAP_FAILED');
  }
}

function swapError(error: unknown): unknown {
  if (errorCode(error) !== 'EXDEV') {
    return error;
  }
  return new Fault(
    'SWAP_FAILED',
    'The live version cannot be renamed: it lies on another file system or in an image layer',
    {
      cause: error,
      hint: 'Let the whole root lie on one file system: mount a volume there, or do not bake the plugin into the image',
    },
  );
}

/**
 * Takes moves back in reverse. One that cannot be made durable does not keep the next from being taken back: live must
 * not stay absent because a disk no longer takes syncs.
 *
 * @throws Fault ROLLBACK_FAILED that carries both errors, with the moves that were not taken back left in `moves`.
 */
export function takeBack(moves: Move[], because: Fault): void {
  let unsettled: Fault | undefined;
  for (let last = moves.at(-1); last !== undefined; last = moves.at(-1)) {
    const { what, undo, settle } = last;
    try {
      undo();
    } catch (error) {
      throw failedTwice(because, `taking back the move of ${what} failed as well`, error);
    }
    moves.pop();
    try {
      settle();
    } catch (error) {
      unsettled ??= failedTwice(because, `the move of ${what} is taken back, but that is not durable`, error);
    }
  }
  if (unsettled !== undefined) {
    throw unsettled;
  }
}

function failedTwice(because: Fault, what: string, error: unknown): Fault {
  const why = error instanceof Error ? error.message : String(error);
  return new Fault('ROLLBACK_FAILED', `${because.message}; ${what}: ${why}`, {
    cause: new AggregateError([because, error]),
    executed: 'maybe',
  });
}
