/** Power that is cut on ext4, where the agent swaps by an exchange; what is not synced is lost. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { describe, it } from 'vitest';

import { layoutOf } from '../../shared/format/layout.ts';
import { scratch } from '../_kit/agent.ts';
import { canaryBroke, promisesHeld } from '../_kit/family.ts';
import { needMounts } from '../_kit/mounts.ts';
import { CUT_MILLIS, cutPowers, makeRig } from '../_kit/power-rig.ts';
import { Station } from '../_kit/station.ts';
import { litterIn, versionOf } from '../_kit/versions.ts';

const CUTS = 100;

describe('power that is cut while the agent works', () => {
  it('on ext4, by exchange, leaves the old version or the new one', { timeout: CUTS * CUT_MILLIS }, (ctx) =>
    cutPowers(ctx, 'ext4', 'exchange', CUTS),
  );

  it('takes back what was answered where nothing is synced', async (ctx) => {
    needMounts(ctx, 'ext4');
    const rig = await makeRig('ext4', 'exchange', 12, { AIRLOCK_DURABILITY: 'none' });
    await rig.measure();
    for (let i = 0; i < 12; i += 1) await rig.truncate(['answer']);
    canaryBroke(ctx, 'd', 'syncs', rig.cuts, rig.broken);
  });

  // Removing it was not yet durable, and dropping the intent was.
  it('brings back what was being removed, and the next start removes it', async (ctx) => {
    const station = await Station.at(join(await scratch(), 'plugins'));
    const versions = [versionOf('lint', 1)];
    await station.serve();
    for (const version of versions) await station.put(version);
    await station.settled();
    await station.program.stop();
    const { previous } = layoutOf(station.root);
    mkdirSync(join(previous, 'lint.20260508T141530123Z-9f86d081.trash/rules'), { recursive: true });
    await station.serve();
    promisesHeld(ctx, 'd', 1, await litterIn(station.root, 'lint', versions));
  });
});
