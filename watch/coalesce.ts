/** Events that nobody has read yet, as at most one of each kind for each plugin: who reads slowly is told less often, not less. Pure. */
import type { WatchEvent } from './ports.ts';

const isHot = ({ kind }: WatchEvent): boolean => kind === 'skill-content-only';

/**
 * What waits of a plugin and what comes to it. Only a hot verdict counts as loaded once it is told, so that no later one
 * says it again: hot ones are told as one. Of the others each says by itself all that differs: the last is told.
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

/** Two hot events as one. */
function merge(after: WatchEvent, before: WatchEvent): WatchEvent {
  const named = new Set(after.reasons.map(({ path }) => path));
  const reasons = [...after.reasons, ...before.reasons.filter(({ path }) => !named.has(path))];
  return {
    ...after,
    reasons: reasons.toSorted((a, b) => (a.path < b.path ? -1 : 1)),
    skills: [...new Set([...before.skills, ...after.skills])].toSorted(),
  };
}
