/**
 * What to do about a plugin that an operation may have left half-way: from what is on the disk to the one next action.
 * Pure and total. Whoever carries an action out looks again afterwards, until there is nothing left to do; so a crash
 * inside recovery is just another state of the table. The rows are explained in docs/install-flow.md.
 */
import type { Intent } from '../../shared/format/intent.ts';

/** A tree by its marker: `new` if that says the stamp in question, `other` for any other tree, marked or not. */
export type TreeKind = 'new' | 'other' | 'absent';

/** What is known about one plugin and one stamp, S, while its lock is held. */
export type Facts = {
  /** `unknown`: there is one, of a version that this agent does not understand. */
  intent: Intent | 'none' | 'unknown';
  live: TreeKind;
  slot: TreeKind;
  /** Of the slot: it has a full marker of another install, so it is a whole tree that was displaced. */
  slotIsWhole: boolean;
  /** `.previous/<name>.<S>` is there. */
  snapshot: boolean;
  /** What this change found live, or made live itself, has been displaced by another since: that one has the last word. */
  superseded: boolean;
  /** Live is new and its files have the digest that the intent promises. */
  liveIsGood: boolean;
  /** The slot is new and its files have the digest that the intent promises. */
  slotIsGood: boolean;
  /** Two paths can change places here in one step. */
  canExchange: boolean;
  /** Two of the paths are one and the same directory (a hard bind mount, say): moving one would move the other. */
  aliased: boolean;
};

/** The number is the row of the table; `hold` and `leave` change no tree. */
export type Action =
  | { row: 1 | 9 | 12; do: 'hold'; why: string }
  | { row: 2 | 8 | 9 | 12; do: 'slot-to-snapshot' }
  | { row: 3; do: 'slot-to-trash' }
  | { row: 4; do: 'leave' }
  | { row: 5 | 7 | 8 | 12; do: 'drop-intent' }
  | { row: 6; do: 'clear-live' }
  | { row: 5 | 7 | 12; do: 'discard-slot' }
  | { row: 7; do: 'snapshot-to-trash' }
  | { row: 9; do: 'turn-back' | 'exchange' | 'live-to-trash' | 'live-to-slot' }
  | { row: 10; do: 'slot-to-live' }
  | { row: 11; do: 'snapshot-to-live' };

/** How often recovery takes up the same intent before it leaves it to an operator. */
export const ATTEMPTS_MAX = 3;

/** The next action; `leave` when nothing is left to do. */
export function decide(facts: Facts): Action {
  const { intent, aliased } = facts;
  if (intent === 'unknown') {
    return { row: 1, do: 'hold', why: 'its intent was written by a newer agent' };
  }
  if (aliased) {
    return { row: 1, do: 'hold', why: 'two of its paths are one and the same directory' };
  }
  if (intent === 'none') {
    return withoutIntent(facts);
  }
  if (intent.attempts > ATTEMPTS_MAX) {
    return { row: 1, do: 'hold', why: `recovery was tried ${ATTEMPTS_MAX} times` };
  }
  if (intent.op === 'remove' && facts.live === 'absent') {
    return { row: 5, do: facts.slot === 'absent' ? 'drop-intent' : 'discard-slot' };
  }
  switch (facts.live) {
    case 'other':
      return oldIsLive(facts, intent);
    case 'new':
      return newIsLive(facts, intent);
    case 'absent':
      return nothingIsLive(facts, intent);
    default:
      return facts.live satisfies never;
  }
}

/** Without an intent absence is intended, and nobody is to say what a slot was for. */
function withoutIntent({ slot, live, slotIsWhole }: Facts): Action {
  if (slot === 'absent') {
    return { row: 4, do: 'leave' };
  }
  return live === 'new' || slotIsWhole ? { row: 2, do: 'slot-to-snapshot' } : { row: 3, do: 'slot-to-trash' };
}

/** The swap was not made, or has been taken back. */
function oldIsLive({ slot, snapshot }: Facts, { clearing, path }: Intent): Action {
  if (clearing && snapshot) {
    return { row: 6, do: 'clear-live' };
  }
  if (slot !== 'absent') {
    return { row: 7, do: 'discard-slot' };
  }
  // On the rename path the snapshot of S is what was live before, so it cannot be there beside an old live version;
  // if it is, it is the copy of a copy path that had not begun to clear.
  return snapshot && path === 'copy' ? { row: 7, do: 'snapshot-to-trash' } : { row: 7, do: 'drop-intent' };
}

/** The swap was made; it stands if the tree is what was promised and nobody had begun to take it back. */
function newIsLive({ slot, snapshot, liveIsGood, canExchange }: Facts, { goal, from, op }: Intent): Action {
  if (goal === 'forward' && liveIsGood) {
    return slot === 'absent' ? { row: 8, do: 'drop-intent' } : { row: 8, do: 'slot-to-snapshot' };
  }
  if (goal === 'forward') {
    return { row: 9, do: 'turn-back' };
  }
  if (slot !== 'absent') {
    // Without an exchange the version before waits in its snapshot while the new one leaves its place.
    return { row: 9, do: canExchange ? 'exchange' : 'slot-to-snapshot' };
  }
  if (from === null) {
    // A rollback's tree is a snapshot, perhaps the only one: from the slot it goes back to where it came from.
    return { row: 9, do: op === 'rollback' ? 'live-to-slot' : 'live-to-trash' };
  }
  return snapshot
    ? { row: 9, do: 'live-to-slot' }
    : { row: 9, do: 'hold', why: 'the new version is damaged and the one before is gone' };
}

/** Between two renames, or a copy path that has cleared live away. */
function nothingIsLive(facts: Facts, { goal, from }: Intent): Action {
  const { slot, slotIsGood, slotIsWhole, snapshot, superseded } = facts;
  if (superseded && slot === 'other' && slotIsWhole) {
    return { row: 12, do: 'slot-to-snapshot' };
  }
  if (superseded) {
    return { row: 12, do: slot === 'absent' ? 'drop-intent' : 'discard-slot' };
  }
  // Live was moved away only after the seal. Of a first install nobody can say whether the slot is durable, and nobody was
  // told that it is there.
  if (goal === 'forward' && slot === 'new' && slotIsGood && from !== null) {
    return { row: 10, do: 'slot-to-live' };
  }
  if (snapshot) {
    return { row: 11, do: 'snapshot-to-live' };
  }
  if (from !== null) {
    return { row: 12, do: 'hold', why: 'neither the new version nor the one before is whole' };
  }
  return slot === 'absent' ? { row: 12, do: 'drop-intent' } : { row: 12, do: 'discard-slot' };
}
