/** Finds interrupted operations by the names in staging and by half-removed snapshots. */
import { join } from 'node:path';

import { isPluginName, parseSlotName } from '../../shared/format/name.ts';
import { removeTree, temporaryOf } from '../disk/record.ts';
import type { StoreContext } from './context.ts';

/** The plugins with entries in staging, or with half-removed snapshots. */
export function unfinishedPlugins({ disk, layout }: Pick<StoreContext, 'disk' | 'layout'>): string[] {
  const [staged, kept] = [layout.staging, layout.previous].map((directory) =>
    disk.list(directory).map(({ name }) => name),
  );
  return unfinishedAmong(staged ?? [], kept ?? []);
}

/** The same, from the names in staging and of the snapshots. */
export function unfinishedAmong(staged: readonly string[], kept: readonly string[]): string[] {
  const names = [
    ...staged.map((name) => stagingName(name)?.plugin ?? temporaryOf(name) ?? ''),
    ...kept.filter(isLeftover).map((name) => stagingName(name)?.plugin ?? ''),
  ];
  return [...new Set(names)].filter(isPluginName).toSorted();
}

const isLeftover = (name: string): boolean => /\.(?:trash|old)$/.test(name);

/** Snapshots that were being made or removed. */
const leftoversIn = ({
  disk,
  layout,
}: Pick<StoreContext, 'disk' | 'layout'>): { plugin: string; path: string }[] =>
  disk
    .list(layout.previous)
    .filter(({ name }) => isLeftover(name))
    .flatMap(({ name }) => {
      const slot = stagingName(name);
      return slot === undefined ? [] : { plugin: slot.plugin, path: join(layout.previous, name) };
    });

/** The stamps of a plugin with entries in staging, the newest last. */
export function stampsOf({ disk, layout }: Pick<StoreContext, 'disk' | 'layout'>, plugin: string): string[] {
  const stamps = disk
    .list(layout.staging)
    .flatMap(({ name }) => stagingName(name) ?? [])
    .flatMap((slot) => (slot.plugin === plugin ? slot.stamp : []));
  return [...new Set(stamps)].toSorted();
}

/** The plugin and stamp of an entry in staging: a slot, an intent, or the rest of a removed slot. */
function stagingName(entry: string): { plugin: string; stamp: string } | undefined {
  return parseSlotName(entry.replace(/(?:\.json|\.trash|\.old)$/, ''));
}

/**
 * Row 0 for entries without an unfinished stamp: snapshots that were being removed, records without a name.
 *
 * @param plugin '' for the records of the root. Another process that is writing one writes it again.
 */
export function removeLitter({ disk, layout }: StoreContext, plugin: string): void {
  const records = disk
    .list(layout.staging)
    .filter(({ name }) => temporaryOf(name) === plugin)
    .map(({ name }) => join(layout.staging, name));
  const snapshots = leftoversIn({ disk, layout }).filter((left) => left.plugin === plugin);
  for (const path of [...records, ...snapshots.map((left) => left.path)]) {
    removeTree(disk, path);
  }
}
