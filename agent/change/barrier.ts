/**
 * How a staged tree becomes durable: where the file system keeps the promise of syncfs, all at once when the marker is in;
 * elsewhere each file as it is written, then each directory, then the marker.
 */
import { syncDirectory } from '../disk/record.ts';
import type { StoreContext } from '../store/context.ts';

export type Barrier = {
  /** Files are to be synced one by one, before they are closed. */
  perFile: boolean;
  /** Called before the marker is written. */
  beforeMarker: (slot: string, directories: readonly string[]) => void;
  /** Called after it: when this returns, every file and name of the tree is durable. */
  afterMarker: (slot: string) => void;
  /** Frees the descriptor. */
  close: () => void;
};

/**
 * Opened before the slot is made: syncfs tells of write errors since its descriptor was opened. One failure is final,
 * for the next call would say that all is well.
 */
export function openBarrier({ disk, layout }: StoreContext): Barrier {
  const { syncAll } = disk;
  if (syncAll === undefined || !disk.canSyncAll(layout.staging)) {
    return {
      perFile: true,
      beforeMarker: (slot, directories) => {
        for (const directory of directories) {
          syncDirectory(disk, `${slot}/${directory}`);
        }
      },
      afterMarker: (slot) => syncDirectory(disk, slot),
      close: () => undefined,
    };
  }
  const fd = disk.open(layout.staging);
  return {
    perFile: false,
    beforeMarker: () => undefined,
    afterMarker: () => syncAll(fd),
    close: () => disk.close(fd),
  };
}
