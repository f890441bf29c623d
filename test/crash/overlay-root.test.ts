/** A root on an overlay: plugins that were baked into the image lie in its lower layer, where nothing can be renamed. */
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

import { describe, it } from 'vitest';

import { promisesHeld } from '../_kit/family.ts';
import { type Mount, needMounts, overlayMount, tmpfsMount } from '../_kit/mounts.ts';
import { chanceOf, logUniform } from '../_kit/chance.ts';
import { Violations, type Outcome, Station } from '../_kit/station.ts';
import { snapshotTree } from '../_kit/tree-snapshot.ts';
import { judge, litterIn, versionOf } from '../_kit/versions.ts';

const KILLS = 30;
const SIZE = { files: 40, large: 100_000 };
const [BAKED, NEXT, LAST] = [1, 2, 3].map((number) => versionOf('lint', number, SIZE)) as [
  ReturnType<typeof versionOf>,
  ReturnType<typeof versionOf>,
  ReturnType<typeof versionOf>,
];
const ALL = [BAKED, NEXT, LAST];

/** An image: a directory with a plugin as an agent leaves it. */
type Image = { lower: string; layers: Mount; before: Record<string, string> };

async function bake(): Promise<Image> {
  const layers = tmpfsMount(200);
  const lower = mkdtempSync(join(layers.point, 'image-'));
  const station = await Station.at(join(lower, 'plugins'));
  await station.serve();
  await station.put(BAKED);
  await station.settled();
  await station.program.stop();
  return { lower, layers, before: await snapshotTree(lower) };
}

/** A container of the image: a fresh upper layer over it. */
async function start({ lower, layers }: Image): Promise<{ mount: Mount; station: Station }> {
  const mount = overlayMount(lower, layers);
  return { mount, station: await Station.at(join(mount.point, 'plugins')) };
}

async function touched({ lower, before }: Image): Promise<string | undefined> {
  const isSame = JSON.stringify(await snapshotTree(lower)) === JSON.stringify(before);
  return isSame ? undefined : 'the image was changed';
}

/** What is live, in a word: the number of a version, or what else. */
async function live({ root }: Station): Promise<string> {
  const found = await judge(root, 'lint', ALL);
  if (found.kind === 'version') return String(found.number);
  return found.kind === 'absent' ? 'absent' : `broken (${found.why})`;
}

const refusal = (outcome: Outcome): string | undefined =>
  'answer' in outcome ? undefined : `refused with ${outcome.refusal.code}: ${outcome.refusal.detail}`;

/** Runs a command of the program beside no agent, on the root itself. */
async function command(station: Station, ...words: string[]): Promise<string | undefined> {
  const { code, stdout, stderr } = await station.program.run([...words, '--root', station.root]);
  return code === 0 ? undefined : `"${words.join(' ')}" ended with ${code}: ${stdout}${stderr}`;
}

describe('a plugin that was baked into the image', () => {
  it('goes in for the first time, and others beside it', async (ctx) => {
    needMounts(ctx, 'overlay');
    const findings = new Violations();
    const image = await bake();
    const { station } = await start(image);
    await station.serve();
    const found = await live(station);
    findings.point('as it was baked', found !== '1' && `live is ${found}`);
    const other = [versionOf('other', 1, SIZE), versionOf('other', 2, SIZE)];
    for (const version of other) {
      const wrong = refusal(await station.install(version));
      const is = await judge(station.root, 'other', other);
      const isIt = is.kind === 'version' && is.number === version.number;
      findings.point(`another plugin, ${version.number}`, wrong, !isIt && JSON.stringify(is));
    }
    findings.point('the image', await touched(image));
    promisesHeld(ctx, 'f', findings.tried, findings.broken);
  });

  it('is updated, once and again, out of the image', async (ctx) => {
    needMounts(ctx, 'overlay');
    const findings = new Violations();
    const image = await bake();
    const { station } = await start(image);
    await station.serve();
    for (const version of [NEXT, LAST]) {
      const wrong = refusal(await station.install(version));
      const found = await live(station);
      await station.settled();
      const litter = await litterIn(station.root, 'lint', ALL);
      const isIt = found === String(version.number);
      findings.point(`version ${version.number}`, wrong, !isIt && `live is ${found}`, ...litter);
    }
    findings.point('the image', await touched(image));
    promisesHeld(ctx, 'f', findings.tried, findings.broken);
  });

  it('is old or new after the agent was killed at any moment of its update', async (ctx) => {
    needMounts(ctx, 'overlay');
    const findings = new Violations();
    const chance = chanceOf(KILLS);
    const image = await bake();
    const seen: Record<string, number> = {};
    let [millis, swap] = [0, 0];
    for (let n = 0; n <= KILLS; n += 1) {
      const { mount, station } = await start(image);
      const wire = await station.serve();
      const begun = performance.now();
      const staged = wire.event('install.staged').then(
        () => performance.now(),
        () => performance.now(),
      );
      let answered = false;
      const installing = station.install(NEXT).then(
        (outcome) => (answered = 'answer' in outcome),
        () => false,
      );
      if (n === 0) {
        // The first one is let go on, to know how long it takes.
        await installing;
        [millis, swap] = [performance.now() - begun, performance.now() - (await staged)];
      } else if (n % 3 === 0) {
        await sleep(logUniform(chance, 1, millis * 1.2));
      } else {
        await staged;
        await sleep(logUniform(chance, 0.5, swap * 1.2));
      }
      const acknowledged = answered;
      await station.program.kill();
      await installing;
      const first = await live(station);
      await station.serve();
      const found = await live(station);
      const isAllowed = found === '2' || (found === '1' && !acknowledged);
      const litter = await litterIn(station.root, 'lint', ALL);
      const wrong = refusal(await station.install(LAST));
      const key = `${/^\d/.test(first) ? first : 'away'}, then ${found}`;
      seen[key] = (seen[key] ?? 0) + 1;
      findings.point(
        `kill ${n}${acknowledged ? ', answered' : ''}, before recovery ${first}`,
        acknowledged && first !== '2' && 'what was answered is not live',
        !isAllowed && `live is ${found}`,
        ...litter,
        wrong,
        await touched(image),
      );
      await station.program.kill();
      await mount.close();
    }
    process.stdout.write(`overlay: ${KILLS} kills, found were ${JSON.stringify(seen)}\n`);
    promisesHeld(ctx, 'f', findings.tried, findings.broken);
  });

  it('comes back by a rollback, and goes by a removal', async (ctx) => {
    needMounts(ctx, 'overlay');
    const findings = new Violations();
    const image = await bake();
    const { station } = await start(image);
    await station.serve();
    await station.put(NEXT);
    await station.settled();
    await station.program.stop();
    const back = await command(station, 'rollback', 'lint');
    const rolled = await live(station);
    findings.point('a rollback', back, rolled !== '1' && `live is ${rolled}`, await touched(image));
    const fresh = await start(image);
    for (const [where, one] of [
      ['after a rollback', station],
      ['as it was baked', fresh.station],
    ] as const) {
      const gone = await command(one, 'uninstall', 'lint');
      const found = await live(one);
      findings.point(`a removal ${where}`, gone, found !== 'absent' && `live is ${found}`);
      findings.point(`the image, ${where}`, await touched(image));
    }
    promisesHeld(ctx, 'f', findings.tried, findings.broken);
  });
});
