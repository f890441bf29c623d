/**
 * Carries out the recovery table for one plugin: looks, decides, acts, looks again, until there is nothing left to do.
 * A crash in between is one more state of the same table. The plugin's lock is the caller's to hold.
 */
import { toFault } from '../../shared/fault.ts';
import { type Intent, intentSchema } from '../../shared/intent.ts';
import { treeDigest } from '../../shared/tree.ts';
import type { Recovered } from '../../shared/upkeep.ts';
import { diskFault } from '../disk/disk-fault.ts';
import { readText, removeTree, syncDirectory } from '../disk/record.ts';
import { clearLive, discardTree, trash } from './aside.ts';
import type { Ground } from './ground.ts';
import { hashTree } from './hash-tree.ts';
import { stateOf } from './inspect.ts';
import { unmarkLost } from './lost.ts';
import { installIdAt, markerAt } from './marker-at.ts';
import { exchangeDurably, renameDurably } from './move.ts';
import { ATTEMPTS_MAX, type Action, type Facts, type TreeKind, decide } from './recovery-table.ts';
import { dropIntent, writeIntent } from './slot.ts';
import { moveOne, noteTrouble } from './notes.ts';
import { snapshotsOf } from './snapshots.ts';
import { forgetPending, rememberStanding } from './standing.ts';
import { removeLitter, stampsOf, unfinishedPlugins } from './unfinished.ts';
import { isVolatileElsewhere } from './volatility.ts';

const INTENT_MAX_BYTES = 1024 * 1024;
/** No path through the table is longer; a disk that lies must not keep recovery busy for ever. */
const ACTIONS_MAX = 20;

/** Recovers one plugin: all stamps of it, the newest last. Throws what the disk throws; asked again it goes on. */
function recoverPlugin(ground: Ground, plugin: string): Recovered[] {
  settleAll(ground);
  removeLitter(ground, plugin);
  const recovered = stampsOf(ground, plugin).map((stamp) => recoverStamp(ground, plugin, stamp));
  if (isVolatileElsewhere(ground) && recovered.every(({ held }) => held === undefined)) {
    unmarkLost(ground, plugin);
  }
  return recovered;
}

/**
 * What is seen may not be durable: whoever was killed had perhaps renamed and not synced yet. A tree whose place a power
 * cut could still give to another one must not be removed, nor its intent.
 */
function settleAll({ disk, layout }: Ground): void {
  for (const directory of [layout.root, layout.staging, layout.previous]) {
    syncDirectory(disk, directory);
  }
}

function recoverStamp(ground: Ground, plugin: string, stamp: string): Recovered {
  const rows: number[] = [];
  removeLeftovers(ground, plugin, stamp);
  const attempts = countAttempt(ground, plugin, stamp);
  for (let i = 0; i < ACTIONS_MAX; i += 1) {
    const action = decide(lookAt(ground, plugin, stamp, attempts));
    rows.push(action.row);
    if (action.do === 'hold') {
      const what = `Recovery of "${plugin}" (${stamp}) stopped: ${action.why}`;
      const operationId = operationOf(ground, plugin, stamp);
      const todo = moveOne(ground, plugin, stamp);
      noteTrouble(ground, plugin, { operationId, what, todo, hold: action.why });
      noteHold(ground, plugin, stamp, { attempts, trouble: action.why });
      return { plugin, stamp, rows, held: action.why };
    }
    if (action.do === 'leave') {
      return { plugin, stamp, rows };
    }
    act(ground, plugin, stamp, action);
    if (action.do === 'drop-intent') {
      return { plugin, stamp, rows };
    }
  }
  throw new Error(`Recovery of "${plugin}" (${stamp}) does not come to an end: rows ${rows.join(', ')}`);
}

/** Row 0: what was already on its way out, or had not got its name yet. */
function removeLeftovers({ disk, layout }: Ground, plugin: string, stamp: string): void {
  for (const path of [layout.slot(plugin, stamp), layout.snapshot(plugin, stamp)]) {
    removeTree(disk, `${path}.trash`);
    removeTree(disk, `${path}.old`);
  }
}

/** @returns how often it was tried before: three times may have been in vain, the next one must still be made. */
function countAttempt(ground: Ground, plugin: string, stamp: string): number {
  const intent = intentOf(ground, plugin, stamp);
  if (typeof intent === 'string') {
    return 0;
  }
  // It was held for this and is no more: who has put the plugin right wants it tried again.
  const state = stateOf(ground, plugin);
  const isReleased = intent.trouble !== undefined && state !== undefined && state.trouble === undefined;
  const attempts = isReleased ? 0 : intent.attempts;
  try {
    writeIntent(ground, { ...intent, attempts: attempts + 1 });
  } catch (error) {
    // On a full disk no new file can be written, but all that recovery needs are renames.
    ground.complain(toFault(error, 'Counting the attempt'));
  }
  return attempts;
}

/** Stopping is an end, not a crash, so it does not count: put right by somebody, it is taken up again. */
function noteHold(
  ground: Ground,
  plugin: string,
  stamp: string,
  said: Pick<Intent, 'attempts' | 'trouble'>,
): void {
  const intent = intentOf(ground, plugin, stamp);
  if (typeof intent !== 'string') {
    attempt(ground, 'Noting the hold', undefined, () => writeIntent(ground, { ...intent, ...said }));
  }
}

function operationOf(ground: Ground, plugin: string, stamp: string): string {
  const intent = intentOf(ground, plugin, stamp);
  return typeof intent === 'string' ? 'unknown-operation' : intent.operationId;
}

function intentOf({ disk, layout }: Ground, plugin: string, stamp: string): Intent | 'none' | 'unknown' {
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

function lookAt(ground: Ground, plugin: string, stamp: string, attempts: number): Facts {
  const { disk, layout } = ground;
  const paths = [layout.live(plugin), layout.slot(plugin, stamp), layout.snapshot(plugin, stamp)] as const;
  const [live, slot, snapshot] = paths;
  const found = intentOf(ground, plugin, stamp);
  const intent = typeof found === 'string' ? found : { ...found, attempts };
  const liveKind = kindOf(ground, live, stamp);
  const slotKind = kindOf(ground, slot, stamp);
  const slotMarker = slotKind === 'other' ? markerAt(ground, slot) : undefined;
  const places = paths.flatMap((path) => {
    const stat = disk.stat(path);
    return stat === undefined ? [] : `${stat.dev} ${stat.ino}`;
  });
  const isLast = attempts >= ATTEMPTS_MAX;
  const isGood = (kind: TreeKind, path: string, giveUp: boolean): boolean =>
    kind === 'new' &&
    typeof intent !== 'string' &&
    intent.tree !== null &&
    hasDigest(ground, path, intent.tree, giveUp);
  return {
    intent,
    live: liveKind,
    slot: slotKind,
    slotIsWhole: slotMarker?.plugin === plugin,
    snapshot: disk.stat(snapshot) !== undefined,
    superseded: liveKind === 'absent' && typeof intent !== 'string' && isSuperseded(ground, intent),
    liveIsGood: isGood(liveKind, live, isLast),
    slotIsGood: isGood(slotKind, slot, true),
    canExchange: disk.exchange !== undefined,
    aliased: new Set(places).size !== places.length,
  };
}

/** By the snapshots: what is in one of another change was live after this one had looked. */
function isSuperseded(ground: Ground, { plugin, stamp, from }: Intent): boolean {
  const { layout } = ground;
  const own = installIdAt(ground, layout.snapshot(plugin, stamp));
  const others = new Set(
    snapshotsOf(ground, plugin)
      .filter((other) => other !== stamp)
      .map((other) => installIdAt(ground, layout.snapshot(plugin, other))),
  );
  const before = from?.installId ?? undefined;
  return others.has(stamp) || (before !== undefined && before !== own && others.has(before));
}

function kindOf(ground: Ground, path: string, stamp: string): TreeKind {
  const stat = ground.disk.stat(path);
  if (stat === undefined) {
    return 'absent';
  }
  return stat.kind === 'directory' && markerAt(ground, path)?.installId === stamp ? 'new' : 'other';
}

/**
 * Whether a tree has a digest. An error of the disk that goes by must not take back what is live and may have been
 * acknowledged: then it is thrown and recovery is tried again.
 *
 * @param giveUp a tree that cannot be read is a bad one: in a slot, which nobody was told of, or at the last attempt.
 */
function hasDigest(ground: Ground, path: string, tree: string, giveUp: boolean): boolean {
  try {
    const { files, others } = hashTree(ground, path);
    return others.length === 0 && treeDigest(files) === tree;
  } catch (error) {
    if (giveUp) {
      return false;
    }
    throw error;
  }
}

function act(ground: Ground, plugin: string, stamp: string, action: Action): void {
  const { layout } = ground;
  const live = layout.live(plugin);
  const slot = layout.slot(plugin, stamp);
  const snapshot = layout.snapshot(plugin, stamp);
  const intent = intentOf(ground, plugin, stamp);
  switch (action.do) {
    case 'slot-to-snapshot':
      return ground.disk.stat(snapshot) === undefined
        ? renameDurably(ground, slot, snapshot)
        : trash(ground, slot);
    case 'slot-to-trash':
      return trash(ground, slot);
    case 'discard-slot':
      discardTree(ground, slot, typeof intent === 'string' ? undefined : intent);
      return removeTree(ground.disk, layout.receipt(plugin, stamp));
    case 'snapshot-to-trash':
      return trash(ground, snapshot);
    case 'slot-to-live':
      return renameDurably(ground, slot, live);
    case 'snapshot-to-live':
      return renameDurably(ground, snapshot, live);
    case 'live-to-slot':
      return renameDurably(ground, live, slot);
    case 'live-to-trash':
      return trash(ground, live, `${slot}.trash`);
    case 'exchange':
      return exchangeDurably(ground, live, slot);
    case 'clear-live':
      return clearLive(ground, live);
    case 'turn-back':
      return typeof intent === 'string' ? undefined : writeIntent(ground, { ...intent, goal: 'back' });
    case 'drop-intent':
      if ((action.row === 5 || action.row === 8) && typeof intent !== 'string') {
        rememberStanding(ground, intent);
      } else if (typeof intent !== 'string') {
        forgetPending(ground, intent);
      }
      syncDirectory(ground.disk, layout.previous);
      return dropIntent(ground, plugin, stamp);
    case 'hold':
    case 'leave':
      return undefined;
    default:
      return action satisfies never;
  }
}

/**
 * Recovers a plugin, or, before anybody works, every one with something in staging, each on its own: one that fails is
 * complained of and does not keep the others back.
 *
 * @throws Fault if the one plugin that is named, or what there is to recover, cannot be worked on.
 */
export function recover(ground: Ground, plugin: string | undefined): Recovered[] {
  try {
    return plugin === undefined
      ? unfinishedPlugins(ground).flatMap((name) =>
          attempt(ground, `Recovering "${name}"`, [], () => recoverPlugin(ground, name)),
        )
      : recoverPlugin(ground, plugin);
  } catch (error) {
    throw diskFault(error, plugin === undefined ? 'Looking for unfinished work' : `Recovering "${plugin}"`);
  }
}

function attempt<T>(ground: Ground, doing: string, otherwise: T, run: () => T): T {
  try {
    return run();
  } catch (error) {
    ground.complain(toFault(error, doing));
    return otherwise;
  }
}
