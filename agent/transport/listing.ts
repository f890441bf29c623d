/** Answers that are lists: a part of each in a frame, or all of it as JSON lines on a stream. */
import type { Basis } from '../../shared/rule/classify.ts';
import { truncate } from '../../shared/truncate.ts';
import type { PluginInfo, Result } from '../../shared/api/methods.ts';

/** Opens a stream that brings values as JSON lines. @returns its number. */
export type Pour = (values: readonly object[]) => number;

/** @param all whether a list that is longer than an answer holds is wanted whole. */
export function listAnswer(plugins: readonly PluginInfo[], all: boolean, pour: Pour): Result<'plugin.list'> {
  const first = truncate(plugins);
  return !all || first.items.length === first.total
    ? { plugins: first }
    : { plugins: first, stream: pour(plugins) };
}

/** What is taken to be loaded: its files, then what was edited in place. */
export function filesAnswer(
  plugin: string,
  { basis, generation, ignore }: { basis: Basis; generation: string | null; ignore: readonly string[] },
  pour: Pour,
): Result<'plugin.files'> {
  if (basis.kind === 'unknown') {
    return { plugin, kind: basis.kind, why: basis.why, generation };
  }
  const edited = basis.edited.map((path) => ({ edited: path }));
  const stream = pour([...basis.list, ...edited]);
  return { plugin, kind: basis.kind, generation, ignore: [...ignore], stream };
}
