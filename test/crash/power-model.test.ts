/** Power is cut after every step of every flow, on every kind of disk; what was not synced is lost in part. */
import { describe, it } from 'vitest';

import { promisesHeld } from '../_kit/family.ts';
import type { LosingOptions } from '../_kit/losing-disk.ts';
import { FLOWS, OVERLAY_FLOWS } from '../_kit/power-flows.ts';
import { cutEverywhere } from '../_kit/power-model.ts';

const DISKS: Record<string, Partial<LosingOptions>> = {
  'an exchange and one sync of all': { exchange: true, syncAll: true },
  'an exchange and a sync for each file': { exchange: true },
  'plain renames and a sync for each file': {},
};

describe.each(Object.entries(DISKS))('a cut on a disk with %s', (disk, options) => {
  it.for(Object.entries(FLOWS))('leaves of %s the old version or the new one', async ([name, flow], ctx) => {
    const { tried, broken } = await cutEverywhere(`${name} with ${disk}`, flow, {
      options,
      random: 5,
      stride: 1,
      recovery: true,
    });
    promisesHeld(
      ctx,
      'b',
      tried,
      broken.map(({ line }) => line),
    );
  });
});

describe('a cut on an overlay', () => {
  it.for(Object.entries(OVERLAY_FLOWS))(
    'leaves of %s the old version or the new one',
    async ([name, flow], ctx) => {
      const options = { overlay: true, exchange: true };
      const plan = { options, random: 5, stride: 1, recovery: true };
      const { tried, broken } = await cutEverywhere(name, flow, plan);
      promisesHeld(
        ctx,
        'b',
        tried,
        broken.map(({ line }) => line),
      );
    },
  );
});
