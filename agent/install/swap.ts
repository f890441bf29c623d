/**
 * The commit point: one exchange, or one rename, puts the sealed tree in the live place. Both parents are durable after
 * every move, before the next step begins.
 */
import { Fault } from '../../shared/fault.ts';
import type { Intent } from '../../shared/intent.ts';
import { diskFault } from '../disk/disk-fault.ts';
import { errorCode } from '../disk/port.ts';
import type { Ground } from './ground.ts';
import { settle } from './move.ts';

/** A move that has been made, how to take it back, and how to make that durable. */
export type Move = { what: string; undo: () => void; durable: () => void };

/** What a swap needs to know, from the intent; how it was done in the end stands in the intent on the disk. */
type Plan = Pick<Intent, 'plugin' | 'stamp' | 'path'> & { hasLive: boolean };

/** Says that a file system cannot exchange, not that this exchange failed. */
const NO_EXCHANGE: ReadonlySet<string | undefined> = new Set(['EINVAL', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP']);

/**
 * Puts the slot in the live place. Where there is a live version and the disk can exchange, the two change places, and at
 * no instant is live absent; the old version is then in the slot. Elsewhere live is moved to its snapshot first. Each move
 * that was made is added to `moves`, so that the caller can take them back in reverse.
 *
 * @returns whether the two have changed places: then what was displaced is in the slot.
 * @param withoutExchange is called when the file system turns out to have none, before the first rename.
 * @throws Fault SWAP_FAILED, READ_ONLY, NO_SPACE
 */
export function swap(ground: Ground, plan: Plan, moves: Move[], withoutExchange: () => void): boolean {
  const { layout, disk } = ground;
  const live = layout.live(plan.plugin);
  const slot = layout.slot(plan.plugin, plan.stamp);
  const { exchange } = disk;
  if (plan.path === 'exchange' && exchange !== undefined) {
    const change = (): void => exchange(slot, live);
    const before = disk.stat(slot)?.ino;
    const isMade = (): boolean => disk.stat(live)?.ino === before;
    try {
      move(ground, "both versions to each other's place", slot, live, moves, {
        go: change,
        back: change,
        isMade,
      });
      return true;
    } catch (error) {
      const { cause } = error instanceof Fault ? error : {};
      // An exchange that was made and could not be made durable is taken back, whatever that sync said.
      if (moves.length > 0 || !NO_EXCHANGE.has(errorCode(cause))) {
        throw error;
      }
      withoutExchange();
    }
  }
  if (plan.hasLive) {
    const snapshot = layout.snapshot(plan.plugin, plan.stamp);
    rename(ground, 'the live version to its snapshot', live, snapshot, moves);
  }
  rename(ground, 'the new version to its live place', slot, live, moves);
  return false;
}

function rename(ground: Ground, what: string, from: string, to: string, moves: Move[]): void {
  const { disk } = ground;
  move(ground, what, from, to, moves, {
    go: () => disk.rename(from, to),
    back: () => disk.rename(to, from),
    isMade: () => disk.stat(from) === undefined && disk.stat(to) !== undefined,
  });
}

/** How to make a move and take it back, and how to see whether it is made. */
type Way = { go: () => void; back: () => void; isMade: () => boolean };

function move(
  ground: Ground,
  what: string,
  from: string,
  to: string,
  moves: Move[],
  { go, back, isMade }: Way,
): void {
  const barrier = (): void => settle(ground, from, to);
  const made: Move = { what, undo: back, durable: barrier };
  try {
    go();
  } catch (error) {
    // A call may fail after it has taken effect (a network file system whose answer was lost): then it is taken back.
    if (isMade()) {
      moves.push(made);
    }
    throw diskFault(swapError(error), `Moving ${what}`, 'SWAP_FAILED');
  }
  moves.push(made);
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
    const { what, undo, durable } = last;
    try {
      undo();
    } catch (error) {
      throw failedTwice(because, `taking back the move of ${what} failed as well`, error);
    }
    moves.pop();
    try {
      durable();
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
