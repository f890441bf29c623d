/**
 * Merges the events that nobody has read yet. At most one event of each kind waits for each plugin, so a slow reader gets
 * fewer events but misses no change. Pure.
 */
import type { WatchEvent } from './ports.ts';

const isHot = ({ kind }: WatchEvent): boolean => kind === 'skill-content-only';

/**
 * Adds new events of a plugin to those that wait. Only a hot verdict counts as loaded once it is read, so no later
 * verdict repeats it: hot events are merged into one. Every other verdict names all differences: only the last one is
 * kept.
 */
export function coalesceAll(
  before: readonly WatchEvent[],
  [first, ...rest]: readonly WatchEvent[],
): readonly WatchEvent[] {
  if (first === undefined) return before;
  const hot = before.filter(isHot);
  const waiting = isHot(first) ? [] : [first];
  const told = isHot(first) ? first : hot.pop();
  return [...(told === undefined ? [] : [hot.reduceRight(merge, told)]), ...waiting, ...rest];
}

/** Merges two hot events. */
function merge(after: WatchEvent, before: WatchEvent): WatchEvent {
  const named = new Set(after.reasons.map(({ path }) => path));
  const reasons = [...after.reasons, ...before.reasons.filter(({ path }) => !named.has(path))];
  return {
    ...after,
    reasons: reasons.toSorted((a, b) => (a.path < b.path ? -1 : 1)),
    skills: [...new Set([...before.skills, ...after.skills])].toSorted(),
  };
}
