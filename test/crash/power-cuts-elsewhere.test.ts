/** Power that is cut on other file systems, and where the agent swaps by renames. A file of its own: it runs beside the cuts on ext4. */
import { describe, it } from 'vitest';

import type { LoopKind } from '../_kit/mounts.ts';
import { CUT_MILLIS, type Way, cutPowers } from '../_kit/power-rig.ts';

const CUTS: [LoopKind, Way, number][] = [
  ['xfs', 'exchange', 40],
  ['btrfs', 'exchange', 20],
  ['ext4', 'renames', 40],
];

describe('power that is cut while the agent works', () => {
  for (const [kind, way, cuts] of CUTS) {
    it(
      `on ${kind}, by ${way}, leaves the old version or the new one`,
      { timeout: cuts * CUT_MILLIS },
      (ctx) => cutPowers(ctx, kind, way, cuts),
    );
  }
});
