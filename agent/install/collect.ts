/** The last step: what is no longer needed goes. Nothing here fails the install; what fails is told and left. */
import type { Ground } from './ground.ts';
import { renameDurably } from './move.ts';
import type { Papers } from './papers.ts';
import { removeSnapshot, snapshotsOf } from './snapshots.ts';

/**
 * What must be done before the intent of a swap may go. After an exchange the version before is in the slot: it becomes the
 * snapshot of the change that displaced it.
 */
export function tidy(ground: Ground, { intent: { plugin, stamp, path } }: Papers): void {
  const { layout } = ground;
  if (path === 'exchange') {
    renameDurably(ground, layout.slot(plugin, stamp), layout.snapshot(plugin, stamp));
  }
}

/**
 * Removes the snapshots of a plugin beyond the number that the owner wants, oldest last.
 *
 * @returns the stamps that were removed.
 */
export const collect = (ground: Ground, plugin: string): string[] =>
  snapshotsOf(ground, plugin)
    .slice(ground.policy.keep)
    .filter((stamp) => removeSnapshot(ground, plugin, stamp));
