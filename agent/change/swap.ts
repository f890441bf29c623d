/**
 * The commit point: one exchange, or one rename, puts the sealed tree in the live place. Both parents are durable after
 * every move, before the next step begins.
 */
import { Fault, errorCode, toFault } from '../../shared/api/fault.ts';
import { diskFault } from '../disk/disk-fault.ts';
import { copyAway } from './copy.ts';
import type { StoreContext } from '../store/context.ts';
import { type Move, settle } from '../store/durable-rename.ts';
import { type Journal, amend, writeIntent } from '../store/journal.ts';
import { moveOne, noteTrouble } from '../store/state.ts';

/** Says that a file system cannot exchange, not that this exchange failed. */
const NO_EXCHANGE: ReadonlySet<string | undefined> = new Set(['EINVAL', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP']);

/**
 * Puts the slot in the live place. Where there is a live version and the disk can exchange, the two change places, and at
 * no instant is live absent; the old version is then in the slot. Elsewhere live is moved to its snapshot first, or, out of
 * a lower overlay layer, copied there. Each move that was made is recorded in the journal, and so is which way it went in
 * the end.
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

/** Moves what is live to its snapshot, one way or the other; live is absent then. */
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

/** @returns whether the two have changed places; if not, this disk cannot do it, and the intent names another way. */
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
    // An exchange that was made and could not be made durable is taken back, whatever that sync said.
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

/** EXDEV alone proves nothing: a bind mount gives it too. */
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

/** How to make a move and take it back, and how to see whether it is made. */
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
    'The live version cannot be renamed: it is on another file system or behind another mount',
    {
      cause: error,
      hint: 'Put the whole root on one file system, and mount nothing at or below the directory of a plugin',
    },
  );
}

/**
 * Takes back a swap, as far as it was made. The intent first says so, durably: recovery must not go forward again where the
 * agent went back.
 *
 * @throws Fault ROLLBACK_FAILED that carries both errors; then the plugin's state says what an operator has to do.
 */
export function takeBackSwap(context: StoreContext, { intent, moves }: Journal, because: Fault): void {
  if (moves.length === 0) {
    return;
  }
  try {
    writeIntent(context, { ...intent, goal: 'back' });
  } catch {
    // The way back only renames, which a disk too full for a new file still does.
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
 * Takes moves back in reverse. One that cannot be made durable does not keep the next from being taken back: live must
 * not stay absent because a disk no longer takes syncs.
 *
 * @throws Fault ROLLBACK_FAILED that carries both errors, with the moves that were not taken back left in `moves`.
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
