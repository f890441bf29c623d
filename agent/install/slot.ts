/** Taking a slot: a fresh directory in staging under a new stamp, and the intent that says what it is for. */
import type { Intent } from '../../shared/intent.ts';
import { makeStamp, parseSlotName, stampMillis } from '../../shared/name.ts';
import { diskFault } from '../disk/disk-fault.ts';
import { errorCode } from '../disk/port.ts';
import { putRecord, removeTree, syncDirectory } from '../disk/record.ts';
import { discardTree } from './aside.ts';
import type { Ground } from './ground.ts';
import { readMarkerAt } from './marker-at.ts';

/**
 * Looks at the marker of what is live; null if there is nothing at all.
 *
 * @throws Fault INTERNAL if the disk does not let it be read: taken for unmarked, the chain of versions would break.
 */
export const lookAtLive = (ground: Ground, plugin: string): Intent['from'] =>
  lookAtTree(ground, ground.layout.live(plugin));

/** As {@link lookAtLive} does, of any tree. */
export function lookAtTree(ground: Ground, tree: string): Intent['from'] {
  const stat = ground.disk.stat(tree);
  if (stat === undefined) {
    return null;
  }
  const marker = stat.kind === 'directory' ? readMarkerAt(ground, tree) : undefined;
  switch (marker?.kind) {
    case 'full':
      return { installId: marker.marker.installId, kind: 'marked' };
    case 'newer':
      return { installId: marker.installId, kind: 'marked' };
    case 'empty':
      return { installId: null, kind: 'empty-marker' };
    case 'invalid':
    case undefined:
      return { installId: null, kind: 'unmarked' };
    default:
      return marker satisfies never;
  }
}

/** The newest moment that any stamp of the plugin names: the next stamp lies after it, whatever the clock says. */
function newestStamp({ disk, layout }: Ground, plugin: string, live: Intent['from']): number {
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
 * @param live what is live: its receipt may be gone, and no two trees may have one id.
 * @throws Fault NO_SPACE, READ_ONLY, INTERNAL
 */
export function takeSlot(ground: Ground, plugin: string, bundleSha256: string, live: Intent['from']): string {
  const { disk, layout, now } = ground;
  try {
    const first = Math.max(now(), newestStamp(ground, plugin, live) + 1);
    for (let i = 0; i < ATTEMPTS; i += 1) {
      const stamp = makeStamp(first + i, bundleSha256);
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
export function writeIntent({ disk, layout }: Ground, intent: Intent): void {
  try {
    putRecord(disk, layout.staging, intent.plugin, layout.intent(intent.plugin, intent.stamp), intent);
  } catch (error) {
    throw diskFault(error, 'Writing the intent');
  }
}

/** Drops the intent, which is the last thing that an operation does. */
export function dropIntent({ disk, layout }: Ground, plugin: string, stamp: string): void {
  if (disk.stat(layout.intent(plugin, stamp)) !== undefined) {
    disk.unlink(layout.intent(plugin, stamp));
  }
  syncDirectory(disk, layout.staging);
}

/** The undo of everything before the swap: empties the slot, and drops the receipt and the intent. Live was never touched. */
export function discardSlot(ground: Ground, plugin: string, stamp: string, intent?: Intent): void {
  const { disk, layout } = ground;
  const slot = layout.slot(plugin, stamp);
  removeTree(disk, `${slot}.trash`);
  if (disk.stat(slot) !== undefined) {
    discardTree(ground, slot, intent);
  }
  removeTree(disk, layout.receipt(plugin, stamp));
  dropIntent(ground, plugin, stamp);
}
