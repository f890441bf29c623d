/**
 * The commit point: one exchange, or one rename, puts the sealed tree in the live place. After every move both parent
 * directories are made durable before the next step.
 */
import { Fault, errorCode, toFault } from '../../shared/api/fault.ts';
import { diskFault } from '../disk/disk-fault.ts';
import { copyAway } from './copy.ts';
import type { StoreContext } from '../store/context.ts';
import { type Move, settle } from '../store/durable-rename.ts';
import { type Journal, amend, writeIntent } from '../store/journal.ts';
import { moveOne, noteTrouble } from '../store/state.ts';

/** These errors say that a file system has no exchange, not that this exchange failed. */
const NO_EXCHANGE: ReadonlySet<string | undefined> = new Set(['EINVAL', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP']);

/**
 * Puts the slot in the live place. If there is a live version and the disk can exchange, the two change places, live is
 * never absent, and the old version is in the slot. Otherwise live is first moved to its snapshot, or copied there from a
 * lower overlay layer. Every move is recorded in the journal, and so is the path that was taken.
 *
 * @throws Fault SWAP_FAILED, READ_ONLY, NO_SPACE
 */
export function swap(context: StoreContext, journal: Journal): void {
  const { layout } = context;
  const { plugin, stamp, from, path } = journal.intent;
  const live = layout.live(plugin);
  const slot = layout.slot(plugin, stamp);
  if (from !== null && path === 'exchange' && change(context, journal)) {
    return;
  }
  if (from !== null) {
    displace(context, journal);
  }
  rename(context, journal, 'the new version to its live place', slot, live);
}

/** Moves live to its snapshot, by a rename or a copy. After that live is absent. */
export function displace(context: StoreContext, journal: Journal): void {
  const { layout } = context;
  const { plugin, stamp } = journal.intent;
  const live = layout.live(plugin);
  if (journal.intent.path !== 'copy') {
    try {
      rename(context, journal, 'the live version to its snapshot', live, layout.snapshot(plugin, stamp));
      return;
    } catch (error) {
      if (journal.moves.length > 0 || !isInLowerLayer(context, live, error)) {
        throw error;
      }
    }
    amend(context, journal, { path: 'copy' });
  }
  try {
    copyAway(context, journal);
  } catch (error) {
    throw diskFault(error, 'Copying the live version out of its image layer', 'SWAP_FAILED');
  }
}

/** @returns whether the two have changed places. If not, this disk cannot exchange them, and the intent names another path. */
function change(context: StoreContext, journal: Journal): boolean {
  const { disk, layout } = context;
  const { exchange } = disk;
  const { plugin, stamp } = journal.intent;
  const live = layout.live(plugin);
  const slot = layout.slot(plugin, stamp);
  if (exchange === undefined) {
    amend(context, journal, { path: 'rename' });
    return false;
  }
  const go = (): void => exchange(slot, live);
  const before = disk.stat(slot)?.ino;
  const isMade = (): boolean => disk.stat(live)?.ino === before;
  try {
    move(context, journal, "both versions to each other's place", slot, live, { go, back: go, isMade });
    return true;
  } catch (error) {
    // An exchange that was made but is not durable is undone, whatever error the sync had.
    const isMoved = journal.moves.length > 0;
    const isLower = !isMoved && isInLowerLayer(context, live, error);
    if (isMoved || (!isLower && !NO_EXCHANGE.has(causeCode(error)))) {
      throw error;
    }
    amend(context, journal, { path: isLower ? 'copy' : 'rename' });
    return false;
  }
}

const causeCode = (error: unknown): string | undefined =>
  errorCode(error instanceof Fault ? error.cause : error);

/** EXDEV alone does not prove it: a bind mount gives it too. */
function isInLowerLayer({ disk, layout }: StoreContext, live: string, error: unknown): boolean {
  return causeCode(error) === 'EXDEV' && disk.sameOverlay(live, layout.staging);
}

function rename(context: StoreContext, journal: Journal, what: string, from: string, to: string): void {
  const { disk } = context;
  move(context, journal, what, from, to, {
    go: () => disk.rename(from, to),
    back: () => disk.rename(to, from),
    isMade: () => disk.stat(from) === undefined && disk.stat(to) !== undefined,
  });
}

/** How to make a move, how to undo it, and how to see whether it was made. */
type Way = { go: () => void; back: () => void; isMade: () => boolean };

function move(
  context: StoreContext,
  { moves }: Journal,
  what: string,
  from: string,
  to: string,
  { go, back, isMade }: Way,
): void {
  const barrier = (): void => settle(context, from, to);
  const made: Move = { what, undo: back, durable: barrier };
  try {
    go();
  } catch (error) {
    // A call may fail after it took effect (a network file system that lost the answer). Then it is undone too.
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
    'The live version cannot be renamed: it is on another file system or behind another mount',
    {
      cause: error,
      hint: 'Put the whole root on one file system, and mount nothing at or below the directory of a plugin',
    },
  );
}

/**
 * Undoes a swap as far as it was made. The intent says so first, durably: recovery must not go forward again.
 *
 * @throws Fault ROLLBACK_FAILED with both errors; then the plugin's state says what an operator has to do.
 */
export function takeBackSwap(context: StoreContext, { intent, moves }: Journal, because: Fault): void {
  if (moves.length === 0) {
    return;
  }
  try {
    writeIntent(context, { ...intent, goal: 'back' });
  } catch {
    // Undoing needs only renames, which work on a disk that is too full for a new file.
  }
  try {
    takeBackMoves(moves, because);
  } catch (error) {
    const { plugin, stamp, operationId } = intent;
    const fault = toFault(error, 'Undoing the swap');
    const todo = moveOne(context, plugin, stamp);
    noteTrouble(context, plugin, { operationId, what: fault.message, todo, hold: undefined });
    throw fault;
  }
}

/**
 * Undoes moves in reverse. A move that cannot be made durable does not stop the next one: live must not stay absent
 * because a disk no longer accepts syncs.
 *
 * @throws Fault ROLLBACK_FAILED with both errors; `moves` keeps the moves that were not undone.
 */
function takeBackMoves(moves: Move[], because: Fault): void {
  let unsettled: Fault | undefined;
  for (let last = moves.at(-1); last !== undefined; last = moves.at(-1)) {
    const { what, undo, durable } = last;
    try {
      undo();
    } catch (error) {
      throw failedTwice(because, `undoing the move of ${what} failed as well`, error);
    }
    moves.pop();
    try {
      durable();
    } catch (error) {
      unsettled ??= failedTwice(because, `the move of ${what} is undone, but not durably`, error);
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
