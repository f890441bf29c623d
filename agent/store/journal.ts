/** The journal of a change: its slot, a new directory in staging with a new stamp; and its intent. */
import { errorCode } from '../../shared/api/fault.ts';
import type { Intent } from '../../shared/format/intent.ts';
import type { Marker } from '../../shared/format/marker.ts';
import { makeStamp, parseSlotName, stampMillis } from '../../shared/format/name.ts';
import { diskFault } from '../disk/disk-fault.ts';
import { draftRecord, putRecord, removeTree, syncDirectory } from '../disk/record.ts';
import { discardTree, type Move } from './durable-rename.ts';
import type { StoreContext } from './context.ts';

/** The latest time in any stamp of the plugin. The next stamp is later, whatever the clock says. */
function newestStamp({ disk, layout }: StoreContext, plugin: string, live: Intent['from']): number {
  const stamps = [layout.staging, layout.previous, layout.receipts]
    .flatMap((directory) => disk.list(directory))
    .flatMap(({ name }) => parseSlotName(name.replace(/\.json$/, '')) ?? [])
    .flatMap((slot) => (slot.plugin === plugin ? slot.stamp : []));
  return (
    [...stamps, live?.installId ?? '']
      .map(stampMillis)
      // A stamp without a real time, such as the 39th of a month, was not made by an agent.
      .filter((millis) => !Number.isNaN(millis))
      .reduce((newest, millis) => Math.max(newest, millis), 0)
  );
}

const ATTEMPTS = 1000;

/**
 * Makes a slot with an exclusive mkdir. Its stamp is the id of the install and later than all earlier ones.
 *
 * @param bundle the digest of the bundle for the slot; null: none.
 * @param live the live version: its receipt may be gone, and no two trees may have one id.
 * @throws Fault NO_SPACE, READ_ONLY, INTERNAL
 */
export function takeSlot(
  context: StoreContext,
  plugin: string,
  bundle: string | null,
  live: Intent['from'],
): string {
  const { disk, layout, now } = context;
  try {
    const sha256 = bundle?.slice('sha256:'.length) ?? '0'.repeat(64);
    const first = Math.max(now(), newestStamp(context, plugin, live) + 1);
    for (let i = 0; i < ATTEMPTS; i += 1) {
      const stamp = makeStamp(first + i, sha256);
      try {
        disk.mkdir(layout.slot(plugin, stamp), 0o755);
        return stamp;
      } catch (error) {
        if (errorCode(error) !== 'EEXIST') {
          throw error;
        }
      }
    }
    throw new Error(`${ATTEMPTS} stamps in a row were taken`);
  } catch (error) {
    throw diskFault(error, 'Taking a staging slot');
  }
}

/** Writes the intent durably. After a crash the old or the new one is there, never a torn one. */
export function writeIntent({ disk, layout }: StoreContext, intent: Intent): void {
  try {
    putRecord(disk, layout.staging, intent.plugin, layout.intent(intent.plugin, intent.stamp), intent);
  } catch (error) {
    throw diskFault(error, 'Writing the intent');
  }
}

/** Removes the intent, which is the last action of an operation. */
export function dropIntent({ disk, layout }: StoreContext, plugin: string, stamp: string): void {
  if (disk.stat(layout.intent(plugin, stamp)) !== undefined) {
    disk.unlink(layout.intent(plugin, stamp));
  }
  syncDirectory(disk, layout.staging);
}

/** The undo of everything before the swap: empties the slot, and removes the receipt and the intent. Live was not touched. */
export function discardSlot(context: StoreContext, plugin: string, stamp: string, intent?: Intent): void {
  const { disk, layout } = context;
  const slot = layout.slot(plugin, stamp);
  removeTree(disk, `${slot}.trash`);
  if (disk.stat(slot) !== undefined) {
    discardTree(context, slot, intent);
  }
  removeTree(disk, layout.receipt(plugin, stamp));
  dropIntent(context, plugin, stamp);
}

/** A change in progress: its intent as it is on the disk, and the moves of live that were made, the latest last. */
export type Journal = { intent: Intent; moves: Move[] };

/** Writes durably into the intent how far the change has come. On failure the journal stays as it was. */
export function amend(context: StoreContext, journal: Journal, changes: Partial<Intent>): void {
  const intent = { ...journal.intent, ...changes };
  writeIntent(context, intent);
  journal.intent = intent;
}

/**
 * As {@link amend}, for work that makes everything durable that was written before: the intent is written before it
 * without a sync, and gets its name after it.
 *
 * @throws what the work throws; Fault NO_SPACE, READ_ONLY, INTERNAL
 */
export function amendAround(
  context: StoreContext,
  journal: Journal,
  changes: Partial<Intent>,
  work: () => void,
): void {
  const { disk, layout } = context;
  const intent = { ...journal.intent, ...changes };
  const writing = <T>(part: () => T): T => {
    try {
      return part();
    } catch (error) {
      throw diskFault(error, 'Writing the intent');
    }
  };
  const draft = writing(() => draftRecord(disk, layout.staging, intent.plugin, intent));
  try {
    work();
  } catch (error) {
    draft.drop();
    throw error;
  }
  writing(() => {
    draft.place(layout.intent(intent.plugin, intent.stamp));
    syncDirectory(disk, layout.staging);
  });
  journal.intent = intent;
}

/** The intent at the beginning of a change. The tree is not known yet, so recovery cannot finish the change with it. */
export function newIntent(
  context: StoreContext,
  about: Pick<Intent, 'plugin' | 'operationId' | 'stamp' | 'from'>,
): Intent {
  return {
    version: 1,
    op: 'install',
    ...about,
    path: pathOf(context, about.from),
    source: null,
    tree: null,
    bundle: null,
    files: 0,
    bytes: 0,
    goal: 'forward',
    clearing: false,
    attempts: 0,
    owner: context.owner,
  };
}

/** The changes of the intent just before the swap: what is live, and which tree is to take its place. */
export function readyChanges(
  context: StoreContext,
  from: Intent['from'],
  { tree, files, bytes }: Pick<Marker, 'tree' | 'files' | 'bytes'>,
): Partial<Intent> {
  return { path: pathOf(context, from), from, tree, files, bytes };
}

/** The path on which a swap begins. */
const pathOf = ({ disk }: StoreContext, from: Intent['from']): Intent['path'] =>
  from !== null && disk.exchange !== undefined ? 'exchange' : 'rename';
