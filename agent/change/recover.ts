/**
 * Carries out the recovery table for one plugin: looks, decides, acts, and looks again until there is nothing left to do.
 * A crash in between is another state of the same table. The caller holds the plugin's lock.
 */
import type { Recovered } from '../../shared/api/maintenance.ts';
import { installedSchema, uninstalledSchema } from '../../shared/api/plugin.ts';
import { INTENT_MAX_BYTES, type Intent, intentSchema } from '../../shared/format/intent.ts';
import { treeDigest } from '../../shared/format/tree.ts';
import { reduce } from '../../shared/rule/runtime-state.ts';
import { diskFault } from '../disk/disk-fault.ts';
import { readText, removeTree, syncDirectory } from '../disk/record.ts';
import { clearLive, discardTree, exchangeDurably, renameDurably, trash } from '../store/durable-rename.ts';
import { attempt, type StoreContext } from '../store/context.ts';
import { dropIntent, writeIntent } from '../store/journal.ts';
import { installIdAt, markerAt, liveVersionOf } from '../store/marker.ts';
import { rememberAnswer } from '../store/operation-log.ts';
import { isUnsyncedElsewhere, stateOf } from '../store/records.ts';
import { snapshotsOf } from '../store/snapshots.ts';
import { generationOfLive, isLoaded, putRuntime } from '../store/runtime-state.ts';
import { removeLitter, stampsOf, unfinishedPlugins } from '../store/staging.ts';
import { forgetRefused, moveOne, noteRefused, noteTrouble } from '../store/state.ts';
import { hashTree } from '../store/tree.ts';
import { unmarkLost } from '../store/unsynced.ts';
import { endOf, noteChange } from './note-history.ts';
import { type Action, ATTEMPTS_MAX, decide, type Facts, type TreeKind } from './recovery-table.ts';

/** No path through the table is longer. If a disk reports wrong states, recovery still ends. */
const ACTIONS_MAX = 20;

/** Recovers all stamps of one plugin, the newest last. Throws the errors of the disk; a second call continues. */
function recoverPlugin(context: StoreContext, plugin: string): Recovered[] {
  settleAll(context);
  removeLitter(context, plugin);
  const recovered = stampsOf(context, plugin).map((stamp) => recoverStamp(context, plugin, stamp));
  if (isUnsyncedElsewhere(context) && recovered.every(({ held }) => held === undefined)) {
    unmarkLost(context, plugin);
  }
  return recovered;
}

/**
 * What is visible may not be durable: a killed agent may have renamed without a sync. A tree or intent must not be
 * removed while a power cut could still undo the rename that made it unnecessary.
 */
function settleAll({ disk, layout }: StoreContext): void {
  for (const directory of [layout.root, layout.staging, layout.previous]) {
    syncDirectory(disk, directory);
  }
}

function recoverStamp(context: StoreContext, plugin: string, stamp: string): Recovered {
  const rows: number[] = [];
  removeLeftovers(context, plugin, stamp);
  const attempts = countAttempt(context, plugin, stamp);
  for (let i = 0; i < ACTIONS_MAX; i += 1) {
    const action = decide(lookAt(context, plugin, stamp, attempts));
    rows.push(action.row);
    if (action.do === 'hold') {
      const what = `Recovery of "${plugin}" (${stamp}) stopped: ${action.why}`;
      const operationId = operationOf(context, plugin, stamp);
      const todo = moveOne(context, plugin, stamp);
      noteTrouble(context, plugin, { operationId, what, todo, hold: action.why });
      noteHold(context, plugin, stamp, { attempts, trouble: action.why });
      return { plugin, stamp, rows, held: action.why };
    }
    if (action.do === 'leave') {
      return { plugin, stamp, rows };
    }
    act(context, plugin, stamp, action);
    if (action.do === 'drop-intent') {
      return { plugin, stamp, rows };
    }
  }
  throw new Error(`Recovery of "${plugin}" (${stamp}) does not come to an end: rows ${rows.join(', ')}`);
}

/** Row 0: trees that were being removed, and records without a name. */
function removeLeftovers({ disk, layout }: StoreContext, plugin: string, stamp: string): void {
  for (const path of [layout.slot(plugin, stamp), layout.snapshot(plugin, stamp)]) {
    removeTree(disk, `${path}.trash`);
    removeTree(disk, `${path}.old`);
  }
}

/** @returns the number of attempts before this one. After three failed attempts another one is still made. */
function countAttempt(context: StoreContext, plugin: string, stamp: string): number {
  const intent = intentOf(context, plugin, stamp);
  if (typeof intent === 'string') {
    return 0;
  }
  // The plugin was held for this and was released: the operator wants another attempt.
  const state = stateOf(context, plugin);
  const isReleased = intent.trouble !== undefined && state !== undefined && state.trouble === undefined;
  const attempts = isReleased ? 0 : intent.attempts;
  // On a full disk the intent cannot be written, but recovery needs only renames.
  attempt(context, 'Counting the attempt', () => writeIntent(context, { ...intent, attempts: attempts + 1 }));
  return attempts;
}

/** Stopping is not a crash, so it does not count as an attempt. After a repair, recovery continues. */
function noteHold(
  context: StoreContext,
  plugin: string,
  stamp: string,
  said: Pick<Intent, 'attempts' | 'trouble'>,
): void {
  const intent = intentOf(context, plugin, stamp);
  if (typeof intent !== 'string') {
    attempt(context, 'Noting the hold', () => writeIntent(context, { ...intent, ...said }));
  }
}

function operationOf(context: StoreContext, plugin: string, stamp: string): string {
  const intent = intentOf(context, plugin, stamp);
  return typeof intent === 'string' ? 'unknown-operation' : intent.operationId;
}

function intentOf(
  { disk, layout }: StoreContext,
  plugin: string,
  stamp: string,
): Intent | 'none' | 'unknown' {
  const reading = readText(disk, layout.intent(plugin, stamp), INTENT_MAX_BYTES);
  if (reading.kind === 'absent') {
    return 'none';
  }
  if (reading.kind === 'unreadable') {
    throw new Error(`The intent of "${plugin}" (${stamp}) cannot be read: ${reading.why}`);
  }
  try {
    return intentSchema.parse(JSON.parse(reading.text));
  } catch {
    return 'unknown';
  }
}

function lookAt(context: StoreContext, plugin: string, stamp: string, attempts: number): Facts {
  const { disk, layout } = context;
  const paths = [layout.live(plugin), layout.slot(plugin, stamp), layout.snapshot(plugin, stamp)] as const;
  const [live, slot, snapshot] = paths;
  const found = intentOf(context, plugin, stamp);
  const intent = typeof found === 'string' ? found : { ...found, attempts };
  const liveKind = kindOf(context, live, stamp);
  const slotKind = kindOf(context, slot, stamp);
  const slotMarker = slotKind === 'other' ? markerAt(context, slot) : undefined;
  const places = paths.flatMap((path) => {
    const stat = disk.stat(path);
    return stat === undefined ? [] : `${stat.dev} ${stat.ino}`;
  });
  const isLast = attempts >= ATTEMPTS_MAX;
  const isGood = (kind: TreeKind, path: string, giveUp: boolean): boolean =>
    kind === 'new' &&
    typeof intent !== 'string' &&
    intent.tree !== null &&
    hasDigest(context, path, intent.tree, giveUp);
  return {
    intent,
    live: liveKind,
    slot: slotKind,
    slotIsWhole: slotMarker?.plugin === plugin,
    snapshot: disk.stat(snapshot) !== undefined,
    superseded: liveKind === 'absent' && typeof intent !== 'string' && isSuperseded(context, intent),
    liveIsGood: isGood(liveKind, live, isLast),
    slotIsGood: isGood(slotKind, slot, true),
    canExchange: disk.exchange !== undefined,
    aliased: new Set(places).size !== places.length,
  };
}

/** A snapshot of another change holds what was live after this change had begun. */
function isSuperseded(context: StoreContext, { plugin, stamp, from }: Intent): boolean {
  const { layout } = context;
  const own = installIdAt(context, layout.snapshot(plugin, stamp));
  const others = new Set(
    snapshotsOf(context, plugin)
      .filter((other) => other !== stamp)
      .map((other) => installIdAt(context, layout.snapshot(plugin, other))),
  );
  const before = from?.installId ?? undefined;
  return others.has(stamp) || (before !== undefined && before !== own && others.has(before));
}

function kindOf(context: StoreContext, path: string, stamp: string): TreeKind {
  const stat = context.disk.stat(path);
  if (stat === undefined) {
    return 'absent';
  }
  return stat.kind === 'directory' && markerAt(context, path)?.installId === stamp ? 'new' : 'other';
}

/**
 * Whether a tree has a digest. A temporary error of the disk must not undo a live version that may be acknowledged, so it
 * is thrown, and recovery is tried again.
 *
 * @param giveUp a tree that cannot be read counts as bad: in a slot, which nobody was told about, or at the last attempt.
 */
function hasDigest(context: StoreContext, path: string, tree: string, giveUp: boolean): boolean {
  try {
    const { files, others } = hashTree(context, path);
    return others.length === 0 && treeDigest(files) === tree;
  } catch (error) {
    if (giveUp) {
      return false;
    }
    throw error;
  }
}

function act(context: StoreContext, plugin: string, stamp: string, action: Action): void {
  const { layout } = context;
  const live = layout.live(plugin);
  const slot = layout.slot(plugin, stamp);
  const snapshot = layout.snapshot(plugin, stamp);
  const intent = intentOf(context, plugin, stamp);
  switch (action.do) {
    case 'slot-to-snapshot':
      return context.disk.stat(snapshot) === undefined
        ? renameDurably(context, slot, snapshot)
        : trash(context, slot);
    case 'slot-to-trash':
      return trash(context, slot);
    case 'discard-slot':
      discardTree(context, slot, typeof intent === 'string' ? undefined : intent);
      return removeTree(context.disk, layout.receipt(plugin, stamp));
    case 'snapshot-to-trash':
      return trash(context, snapshot);
    case 'slot-to-live':
      return renameDurably(context, slot, live);
    case 'snapshot-to-live':
      return renameDurably(context, snapshot, live);
    case 'live-to-slot':
      return renameDurably(context, live, slot);
    case 'live-to-trash':
      return trash(context, live, `${slot}.trash`);
    case 'exchange':
      return exchangeDurably(context, live, slot);
    case 'clear-live':
      return clearLive(context, live);
    case 'turn-back':
      return typeof intent === 'string' ? undefined : writeIntent(context, { ...intent, goal: 'back' });
    case 'drop-intent':
      if (typeof intent !== 'string') {
        noteChange(context, intent, endOf(context, intent, action.row));
      }
      if ((action.row === 5 || action.row === 8) && typeof intent !== 'string') {
        rememberStanding(context, intent);
      } else if (typeof intent !== 'string') {
        forgetPending(context, intent);
      }
      // The record of the answer came out of staging: its name is durable when both directories are.
      for (const directory of [layout.previous, layout.staging]) {
        syncDirectory(context.disk, directory);
      }
      return dropIntent(context, plugin, stamp);
    case 'hold':
    case 'leave':
      return undefined;
    default:
      return action satisfies never;
  }
}

/**
 * Recovers one plugin, or at the start every plugin with something in staging. A plugin whose recovery fails is reported
 * and does not stop the others.
 *
 * @throws Fault if the named plugin, or the list of plugins, cannot be worked on.
 */
export function recover(context: StoreContext, plugin: string | undefined): Recovered[] {
  try {
    return plugin === undefined
      ? unfinishedPlugins(context).flatMap(
          (name) => attempt(context, `Recovering "${name}"`, () => recoverPlugin(context, name)) ?? [],
        )
      : recoverPlugin(context, plugin);
  } catch (error) {
    throw diskFault(error, plugin === undefined ? 'Looking for unfinished work' : `Recovering "${plugin}"`);
  }
}

/**
 * Remembers the answer that a killed agent did not give, with its restart: a repeated request must get it and not make
 * the change again.
 */
export function rememberStanding(context: StoreContext, intent: Intent): void {
  const { op, plugin, stamp, operationId, memory } = intent;
  const answer = (op === 'remove' ? uninstalledSchema : installedSchema).safeParse(memory?.answer);
  if (memory === undefined || !answer.success) {
    return;
  }
  // The removal failed, and another change has removed the live version since.
  if (op === 'remove' && context.disk.stat(context.layout.snapshot(plugin, stamp)) === undefined) {
    return;
  }
  if (op !== 'remove') {
    forgetRefused(context, intent);
  }
  const marker = op === 'rollback' ? markerAt(context, context.layout.live(plugin)) : undefined;
  if (marker !== undefined) {
    noteRefused(context, plugin, marker);
  }
  rememberAnswer(context, { params: { operationId, plugin }, question: memory.question }, answer.data);
}

/**
 * The change was not made, so nobody waits for its restart. If the version that counts as loaded is not the live one,
 * that difference stays pending. Never throws.
 */
export function forgetPending(
  context: StoreContext,
  { op, plugin, stamp, operationId }: Pick<Intent, 'op' | 'plugin' | 'stamp' | 'operationId'>,
): void {
  attempt(context, 'Taking back what was pending', () => {
    const stored = stateOf(context, plugin)?.runtime;
    const isNamed = stored?.candidates.some(({ generation }) => generation === stamp) === true;
    if (stored === undefined || !(isNamed || stored.waiting?.operationId === operationId)) {
      return;
    }
    const live = generationOfLive(liveVersionOf(context, plugin));
    const before = reduce(stored, { type: 'live-unchanged', to: op === 'remove' ? null : stamp, live });
    putRuntime(context, plugin, isLoaded(before, live) ? undefined : { ...stored, ...before });
  });
}
