/** Renames and exchanges with their barrier: both parent directories are durable before the next step begins. */
import { dirname, join } from 'node:path';
import type { Intent } from '../../shared/format/intent.ts';
import { MARKER } from '../../shared/format/layout.ts';
import { putText, removeTree, syncDirectory } from '../disk/record.ts';
import type { StoreContext } from './context.ts';

/** A move that was made, how to undo it, and how to make the undoing durable. */
export type Move = { what: string; undo: () => void; durable: () => void };

/** Renames. When it returns, the rename is durable. */
export function renameDurably(context: StoreContext, from: string, to: string): void {
  context.disk.rename(from, to);
  settle(context, from, to);
}

/** Exchanges two trees in one step. When it returns, that is durable. Only for disks that can exchange. */
export function exchangeDurably(context: StoreContext, a: string, b: string): void {
  if (context.disk.exchange === undefined) {
    throw new Error('This disk has no exchange');
  }
  context.disk.exchange(a, b);
  settle(context, a, b);
}

/** Makes the names of two entries durable. */
export function settle({ disk }: StoreContext, ...paths: string[]): void {
  for (const directory of new Set(paths.map((path) => dirname(path)))) {
    syncDirectory(disk, directory);
  }
}

/** Renames before it removes: a half-removed tree must not have the name or place of a complete one. */
export function trash(context: StoreContext, path: string, aside = `${path}.trash`): void {
  renameAside(context, path, aside);
  removeTree(context.disk, aside);
}

/** As {@link trash}, but nobody waits for the removal. Whatever is left of it is removed by recovery. */
export function trashLater(context: StoreContext, path: string, aside = `${path}.trash`): void {
  const { removeLater } = context;
  if (removeLater === undefined) {
    trash(context, path, aside);
    return;
  }
  renameAside(context, path, aside);
  removeLater(aside);
}

function renameAside(context: StoreContext, path: string, aside: string): void {
  removeTree(context.disk, aside);
  renameDurably(context, path, aside);
}

/** In a lower overlay layer a tree cannot be renamed away. Its marker is removed first, durably, so that no gate admits it. */
export function clearLive({ disk, layout }: StoreContext, live: string): void {
  if (disk.stat(join(live, MARKER)) !== undefined) {
    disk.unlink(join(live, MARKER));
    syncDirectory(disk, live);
  }
  removeTree(disk, live);
  syncDirectory(disk, layout.root);
}

/** A version that is moved back to its source gets its old marker again. */
function giveMarkerBack(
  { disk, layout, policy }: StoreContext,
  slot: string,
  intent: Intent | undefined,
): void {
  const path = join(slot, MARKER);
  if (typeof intent?.marker === 'string') {
    putText(disk, layout.staging, intent.plugin, path, intent.marker, policy.owner);
  } else if (intent?.marker === null && disk.stat(path) !== undefined) {
    disk.unlink(path);
    syncDirectory(disk, slot);
  }
}

/**
 * Empties a slot whose tree does not become live. The slot of a rollback holds a snapshot, which is moved back to its
 * source; any other tree is removed.
 */
export function discardTree(context: StoreContext, slot: string, intent: Intent | undefined): void {
  const { disk, layout } = context;
  const source = intent?.op === 'rollback' ? intent.source : null;
  const home = intent === undefined || source === null ? undefined : layout.snapshot(intent.plugin, source);
  if (home !== undefined && disk.stat(home) === undefined) {
    giveMarkerBack(context, slot, intent);
    renameDurably(context, slot, home);
  } else {
    trash(context, slot);
  }
}
