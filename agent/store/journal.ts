/** The journal of a change: its slot, a fresh directory in staging under a new stamp; and the intent, which says what for. */
import { errorCode } from '../../shared/api/fault.ts';
import type { Intent } from '../../shared/format/intent.ts';
import type { Marker } from '../../shared/format/marker.ts';
import { makeStamp, parseSlotName, stampMillis } from '../../shared/format/name.ts';
import { diskFault } from '../disk/disk-fault.ts';
import { putRecord, removeTree, syncDirectory } from '../disk/record.ts';
import { discardTree, type Move } from './durable-rename.ts';
import type { StoreContext } from './context.ts';

/** The newest moment that any stamp of the plugin names: the next stamp lies after it, whatever the clock says. */
function newestStamp({ disk, layout }: StoreContext, plugin: string, live: Intent['from']): number {
  const stamps = [layout.staging, layout.previous, layout.receipts]
    .flatMap((directory) => disk.list(directory))
    .flatMap(({ name }) => parseSlotName(name.replace(/\.json$/, '')) ?? [])
    .flatMap((slot) => (slot.plugin === plugin ? slot.stamp : []));
  return (
    [...stamps, live?.installId ?? '']
      .map(stampMillis)
      // A stamp of no real moment, such as the 39th of a month, is not one that an agent has made.
      .filter((millis) => !Number.isNaN(millis))
      .reduce((newest, millis) => Math.max(newest, millis), 0)
  );
}

const ATTEMPTS = 1000;

/**
 * Takes a slot with an exclusive mkdir; the stamp is the id of the install, and later than every one before it.
 *
 * @param bundle the digest of what is to come into it; null: nothing.
 * @param live what is live: its receipt may be gone, and no two trees may have one id.
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

/** Writes the intent durably: the old one or the new one is there after a crash, never a torn one. */
export function writeIntent({ disk, layout }: StoreContext, intent: Intent): void {
  try {
    putRecord(disk, layout.staging, intent.plugin, layout.intent(intent.plugin, intent.stamp), intent);
  } catch (error) {
    throw diskFault(error, 'Writing the intent');
  }
}

/** Drops the intent, which is the last thing that an operation does. */
export function dropIntent({ disk, layout }: StoreContext, plugin: string, stamp: string): void {
  if (disk.stat(layout.intent(plugin, stamp)) !== undefined) {
    disk.unlink(layout.intent(plugin, stamp));
  }
  syncDirectory(disk, layout.staging);
}

/** The undo of everything before the swap: empties the slot, and drops the receipt and the intent. Live was never touched. */
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

/** A change under way: its intent as it is on the disk, and the moves of live that it has made, the last one last. */
export type Journal = { intent: Intent; moves: Move[] };

/** Writes durably into the intent how far the change has come. On failure the journal says what it said before. */
export function amend(context: StoreContext, journal: Journal, changes: Partial<Intent>): void {
  const intent = { ...journal.intent, ...changes };
  writeIntent(context, intent);
  journal.intent = intent;
}

/** The intent of a change that begins: the tree is not known yet, so nothing can be finished with it. */
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

/** What the intent says when the swap is made: what is live just now, and which tree is to take its place. */
export function readyChanges(
  context: StoreContext,
  from: Intent['from'],
  { tree, files, bytes }: Pick<Marker, 'tree' | 'files' | 'bytes'>,
): Partial<Intent> {
  return { path: pathOf(context, from), from, tree, files, bytes };
}

/** The way on which a swap sets out. */
const pathOf = ({ disk }: StoreContext, from: Intent['from']): Intent['path'] =>
  from !== null && disk.exchange !== undefined ? 'exchange' : 'rename';
