/**
 * Makes a tree durable around its marker. A staged tree: with one syncfs after the marker, where the file system supports
 * that; elsewhere each file as it is written, then each directory, then the marker. A standing tree, which may have a
 * marker already: first the tree, then the new marker over the old one.
 */
import { attempt } from '../../shared/attempt.ts';
import { MARKER } from '../../shared/format/layout.ts';
import type { Receipt } from '../../shared/format/receipt.ts';
import type { FileEntry } from '../../shared/format/tree.ts';
import { putText, syncDirectory, syncFile, writeNew } from '../disk/record.ts';
import type { StoreContext } from '../store/context.ts';
import { syncTree } from '../store/tree.ts';

/** A tree that is about to get its marker. */
export type TreeToSeal = {
  /** Its directory. The paths below are relative to it. */
  directory: string;
  files: FileEntry[];
  /** Every directory in the tree, parents first. Only a staged tree needs them. */
  directories: readonly string[];
  /** What the receipt says about the bundle. */
  about: BundleFacts;
};

/** What is known of a bundle beside its files. */
export type BundleFacts = Pick<Receipt, 'skipped' | 'bundleLinks' | 'warnings'>;

/** What a seal does to make its tree durable, in this order. Each call throws the errors of the disk. */
export type Barrier = {
  /** When `putMarker` returns, all is durable that was written before it, also outside the tree. */
  coversAll: boolean;
  /** Gives the tree to the owner of installed files. */
  giveAway: (tree: TreeToSeal) => void;
  /** Makes durable what must be durable before the marker exists. */
  beforeMarker: (tree: TreeToSeal) => void;
  /** Writes the marker. When this returns, the marker and every file and name of the tree are durable. */
  putMarker: (tree: TreeToSeal, plugin: string, text: string) => void;
};

export type StagingBarrier = Barrier & {
  /** Files are to be synced one by one, before they are closed. */
  perFile: boolean;
  /** Frees the descriptor. */
  close: () => void;
};

/**
 * The barrier of a tree that is being staged. It is opened before the slot is made, because syncfs reports write errors
 * since its descriptor was opened. A failure is final: the next call would report success.
 */
export function openBarrier({ disk, layout, policy: { owner } }: StoreContext): StagingBarrier {
  const { syncAll } = disk;
  const perFile = syncAll === undefined || !disk.canSyncAll(layout.staging);
  const fd = perFile ? undefined : disk.open(layout.staging);
  if (fd !== undefined) {
    // Without it an install only takes longer.
    attempt(() => disk.spread(layout.staging, fd));
  }
  return {
    perFile,
    coversAll: !perFile,
    giveAway: ({ directory, directories, files }) => {
      if (owner === undefined) {
        return;
      }
      for (const path of ['', ...directories, ...files.map((file) => file.path)]) {
        disk.chown(`${directory}/${path}`, owner.uid, owner.gid);
      }
      // Each file was synced when it was written, before it was given to the owner.
      for (const { path } of perFile ? files : []) {
        syncFile(disk, `${directory}/${path}`);
      }
    },
    beforeMarker: ({ directory, directories }) => {
      for (const path of perFile ? directories : []) {
        syncDirectory(disk, `${directory}/${path}`);
      }
    },
    putMarker: ({ directory }, _, text) => {
      writeNew(disk, `${directory}/${MARKER}`, text, { mode: 0o644, owner, isSynced: perFile });
      if (fd === undefined) {
        syncDirectory(disk, directory);
      } else {
        syncAll?.(fd);
      }
    },
    close: () => fd !== undefined && disk.close(fd),
  };
}

/**
 * The barrier of a tree that exists already: a snapshot that comes back, or a tree that somebody has put in the live
 * place. Its files keep their owners. The marker is written by the agent and gets the owner of installed files.
 *
 * @param isDurable whether the tree was synced before.
 */
export const standingBarrier = (
  { disk, layout, policy }: StoreContext,
  { isDurable }: { isDurable: boolean },
): Barrier => ({
  coversAll: false,
  giveAway: () => undefined,
  beforeMarker: ({ directory }) => {
    if (!isDurable) {
      syncTree({ disk }, directory);
    }
    // A rename between two directories is durable when both are. A marker must not exist without its receipt.
    syncDirectory(disk, layout.staging);
  },
  putMarker: ({ directory }, plugin, text) =>
    putText(disk, layout.staging, plugin, `${directory}/${MARKER}`, text, policy.owner),
});
