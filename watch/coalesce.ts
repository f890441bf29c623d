/** Events that nobody has read yet, as one for each plugin: who reads slowly is told less often, not less. Pure. */
import type { WatchEvent } from './ports.ts';

/** What waits of a plugin and what comes to it: what waited is told with the first that comes. */
export function coalesceAll(
  before: readonly WatchEvent[],
  [first, ...rest]: readonly WatchEvent[],
): readonly WatchEvent[] {
  return first === undefined
    ? before
    : [before.reduceRight((after, each) => coalesce(each, after), first), ...rest];
}

/** What two events of one plugin mean together. */
function coalesce(before: WatchEvent, after: WatchEvent): WatchEvent {
  // Only a hot verdict counts as loaded once it is told: any later one says by itself all that differs.
  if (before.kind !== 'skill-content-only' || after.status !== 'admitted') return after;
  const named = new Set(after.reasons.map(({ path }) => path));
  const reasons = [...after.reasons, ...before.reasons.filter(({ path }) => !named.has(path))];
  return {
    ...after,
    kind: after.kind === 'identical' ? before.kind : after.kind,
    reasons: reasons.toSorted((a, b) => (a.path < b.path ? -1 : 1)),
    skills: [...new Set([...before.skills, ...after.skills])].toSorted(),
  };
}
