/**
 * Decides what to do about a plugin with an interrupted change: from the facts on the disk to the next action. Pure and
 * total. The caller carries the action out and looks again, until there is nothing left to do. So a crash inside recovery
 * is another state of the table. docs/install-flow.md explains the rows.
 */
import type { Intent } from '../../shared/format/intent.ts';

/**
 * The kind of a tree by its marker: `new` if the marker has the stamp in question, `other` for any other tree, with or
 * without a marker.
 */
export type TreeKind = 'new' | 'other' | 'absent';

/** The facts about one plugin and one stamp, S, while its lock is held. */
export type Facts = {
  /** `unknown`: the intent has a version that this agent does not know. */
  intent: Intent | 'none' | 'unknown';
  live: TreeKind;
  slot: TreeKind;
  /** The slot has a full marker of another install, so it is a complete displaced tree. */
  slotIsWhole: boolean;
  /** `.previous/<name>.<S>` exists. */
  snapshot: boolean;
  /** Another change has since displaced the version that this change found live or made live. The later change decides. */
  superseded: boolean;
  /** Live is new, and its files have the digest in the intent. */
  liveIsGood: boolean;
  /** The slot is new, and its files have the digest in the intent. */
  slotIsGood: boolean;
  /** Two paths can be exchanged in one step. */
  canExchange: boolean;
  /** Two of the paths are the same directory (a bind mount): a move of one would move the other. */
  aliased: boolean;
};

/** The number is the row of the table. `hold` and `leave` change no tree. */
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

/** How often recovery tries the same intent before it leaves it to an operator. */
export const ATTEMPTS_MAX = 3;

/** The next action; `leave` if nothing is left to do. */
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

/** Without an intent an absent plugin is meant to be absent, and the purpose of a slot is not known. */
function withoutIntent({ slot, live, slotIsWhole }: Facts): Action {
  if (slot === 'absent') {
    return { row: 4, do: 'leave' };
  }
  return live === 'new' || slotIsWhole ? { row: 2, do: 'slot-to-snapshot' } : { row: 3, do: 'slot-to-trash' };
}

/** The swap was not made, or was undone. */
function oldIsLive({ slot, snapshot }: Facts, { clearing, path }: Intent): Action {
  if (clearing && snapshot) {
    return { row: 6, do: 'clear-live' };
  }
  if (slot !== 'absent') {
    return { row: 7, do: 'discard-slot' };
  }
  // On the rename path the snapshot of S is the version before, so it cannot exist while that version is live. If it
  // does, it is the copy of a copy path whose removal had not begun.
  return snapshot && path === 'copy' ? { row: 7, do: 'snapshot-to-trash' } : { row: 7, do: 'drop-intent' };
}

/** The swap was made. It stays if the tree is the promised one and nobody had begun to undo it. */
function newIsLive({ slot, snapshot, liveIsGood, canExchange }: Facts, { goal, from, op }: Intent): Action {
  if (goal === 'forward' && liveIsGood) {
    return slot === 'absent' ? { row: 8, do: 'drop-intent' } : { row: 8, do: 'slot-to-snapshot' };
  }
  if (goal === 'forward') {
    return { row: 9, do: 'turn-back' };
  }
  if (slot !== 'absent') {
    // Without an exchange the version before stays in its snapshot while the new one is moved away.
    return { row: 9, do: canExchange ? 'exchange' : 'slot-to-snapshot' };
  }
  if (from === null) {
    // The tree of a rollback is a snapshot, perhaps the only one: from the slot it is moved back to its source.
    return { row: 9, do: op === 'rollback' ? 'live-to-slot' : 'live-to-trash' };
  }
  return snapshot
    ? { row: 9, do: 'live-to-slot' }
    : { row: 9, do: 'hold', why: 'the new version is damaged and the one before is gone' };
}

/** Between two renames, or after a copy path has removed live. */
function nothingIsLive(facts: Facts, { goal, from }: Intent): Action {
  const { slot, slotIsGood, slotIsWhole, snapshot, superseded } = facts;
  if (superseded && slot === 'other' && slotIsWhole) {
    return { row: 12, do: 'slot-to-snapshot' };
  }
  if (superseded) {
    return { row: 12, do: slot === 'absent' ? 'drop-intent' : 'discard-slot' };
  }
  // Live is moved away only after the seal. In a first install nothing was moved away, so it is not known whether the
  // slot is durable, and no caller was told about it.
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
