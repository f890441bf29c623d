/** Putting trees out of the way so that no crash leaves half of one under a name that counts. */
import { join } from 'node:path';

import type { Intent } from '../../shared/intent.ts';
import { MARKER } from '../../shared/layout.ts';
import { putText, removeTree, syncDirectory } from '../disk/record.ts';
import type { Ground } from './ground.ts';
import { renameDurably } from './move.ts';

/** Removing is renaming first: a half-removed tree must not have the name, or the place, of a whole one. */
export function trash(ground: Ground, path: string, aside = `${path}.trash`): void {
  removeTree(ground.disk, aside);
  renameDurably(ground, path, aside);
  removeTree(ground.disk, aside);
}

/** In a lower overlay layer a tree cannot be renamed away: its marker goes first, durably, so that no gate admits it. */
export function clearLive({ disk, layout }: Ground, live: string): void {
  if (disk.stat(join(live, MARKER)) !== undefined) {
    disk.unlink(join(live, MARKER));
    syncDirectory(disk, live);
  }
  removeTree(disk, live);
  syncDirectory(disk, layout.root);
}

/** A version that goes home is the one that it was. */
function giveMarkerBack({ disk, layout }: Ground, slot: string, intent: Intent | undefined): void {
  const path = join(slot, MARKER);
  if (typeof intent?.marker === 'string') {
    putText(disk, layout.staging, intent.plugin, path, intent.marker);
  } else if (intent?.marker === null && disk.stat(path) !== undefined) {
    disk.unlink(path);
    syncDirectory(disk, slot);
  }
}

/**
 * Empties a slot whose tree is not to go live: a rollback's holds a snapshot, which goes back to where it came from; any
 * other goes.
 */
export function discardTree(ground: Ground, slot: string, intent: Intent | undefined): void {
  const { disk, layout } = ground;
  const source = intent?.op === 'rollback' ? intent.source : null;
  const home = intent === undefined || source === null ? undefined : layout.snapshot(intent.plugin, source);
  if (home !== undefined && disk.stat(home) === undefined) {
    giveMarkerBack(ground, slot, intent);
    renameDurably(ground, slot, home);
  } else {
    trash(ground, slot);
  }
}
