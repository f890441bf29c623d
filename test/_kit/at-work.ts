/** What an agent is still at, as its root shows it: an answer comes before the house-keeping that follows it. */
import { readdirSync } from 'node:fs';

import { layoutOf } from '../../shared/format/layout.ts';

/** A tree that was being removed or written, under the name that it has meanwhile. */
export const isHalf = (name: string): boolean => /\.(?:trash|old)$/.test(name);

/** Who has the lock of a plugin; the agent's own begins with a dot. */
const isRecord = (name: string): boolean => /^[^.].*\.(?:flock|record)$/.test(name);

/**
 * What says that an operation is not over, by name: it keeps the lock of its plugin until its house-keeping has ended. Where
 * no record of a lock could be written, on a full disk, there is still what lies in staging.
 */
export function workIn(root: string): string[] {
  const { staging, previous, locks } = layoutOf(root);
  return [
    ...readdirSync(staging),
    ...readdirSync(previous).filter(isHalf),
    ...readdirSync(locks).filter(isRecord),
  ];
}
