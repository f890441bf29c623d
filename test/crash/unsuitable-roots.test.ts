/** Roots that cannot be written, that are mounts, or below which something is mounted. */
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';

import { describe, it, onTestFinished } from 'vitest';

import { createLoader } from '../../loader/index.ts';
import { mutilate } from '../_kit/mutilated.ts';
import { promisesHeld } from '../_kit/family.ts';
import { type Mount, loopMount, mountOver, needMounts, tmpfsMount } from '../_kit/mounts.ts';
import { mountOf } from '../_kit/power.ts';
import { Violations, type Outcome, Station } from '../_kit/station.ts';
import { changedIn, snapshotRoot, snapshotTree } from '../_kit/tree-snapshot.ts';
import { type Version, judge, litterIn, versionOf } from '../_kit/versions.ts';

const NOBODY = { uid: 65_534, gid: 65_534 };
const SMALL = { files: 12, large: 40_000 };
const [ONE, TWO] = [versionOf('lint', 1, SMALL), versionOf('lint', 2, SMALL)];

const wrongUnless = (outcome: Outcome, code: string): string | undefined => {
  if ('answer' in outcome) return `answered, not ${code}`;
  const { refusal } = outcome;
  if (refusal.code !== code) return `refused with ${refusal.code}, not ${code}: ${refusal.detail}`;
  return refusal.hint === undefined ? `${code} without a hint` : undefined;
};

async function wrongUnlessLive(root: string, version: Version): Promise<string | undefined> {
  const found = await judge(root, 'lint', [ONE, TWO]);
  return found.kind === 'version' && found.number === version.number
    ? undefined
    : `live is ${JSON.stringify(found)}`;
}

const wrongUnlessIn = (outcome: Outcome): string | undefined =>
  'answer' in outcome ? undefined : `refused with ${outcome.refusal.code}: ${outcome.refusal.detail}`;

/** How a start ends that is refused: its exit code and what is said of it, on whatever stream. */
async function refusedStart(station: Station): Promise<string | undefined> {
  const { code, stdout, stderr } = await station.program.run(['agent'], {
    AIRLOCK_ROOT: station.root,
    AIRLOCK_LISTEN: '127.0.0.1:0',
  });
  const said = `${stdout}${stderr}`;
  if (code === 0) return 'it ended well';
  return said.includes(station.root) && !said.includes('    at ')
    ? undefined
    : `it ended with ${code} and says "${said}"`;
}

/** An agent on a root with version 1, on a mount. */
async function withOne(mount: Mount, root = join(mount.point, 'plugins')): Promise<Station> {
  const station = await Station.at(root);
  await station.serve();
  await station.put(ONE);
  await station.settled();
  return station;
}

describe('a file system that is read-only', () => {
  it('refuses installs with READ_ONLY while it is, and takes them again afterwards', async (ctx) => {
    needMounts(ctx, 'ext4');
    const findings = new Violations();
    const mount = loopMount('ext4');
    const station = await withOne(mount);
    await mount.remount('ro');
    findings.point(
      'becomes read-only while the agent runs',
      wrongUnless(await station.install(TWO), 'READ_ONLY'),
      await wrongUnlessLive(station.root, ONE),
    );
    await station.program.stop();
    await station.serve();
    findings.point(
      'is read-only when an agent starts on a root that is there',
      wrongUnless(await station.install(TWO), 'READ_ONLY'),
      await wrongUnlessLive(station.root, ONE),
    );
    const fresh = await Station.at(join(mount.point, 'other'));
    findings.point('is read-only when an agent is to make a root', await refusedStart(fresh));
    await mount.remount('rw');
    findings.point(
      'can be written again',
      wrongUnlessIn(await station.install(TWO)),
      await wrongUnlessLive(station.root, TWO),
      ...(await station.settled().then(() => litterIn(station.root, 'lint', [ONE, TWO]))),
    );
    promisesHeld(ctx, 'f', findings.tried, findings.broken);
  });

  it('keeps what is live when an error makes it so in the middle of an upload', async (ctx) => {
    needMounts(ctx, 'ext4');
    const mount = loopMount('ext4', { options: ['errors=remount-ro'] });
    const trigger = `/sys/fs/ext4/${basename(mountOf(mount.point).device)}/trigger_fs_error`;
    if (!existsSync(trigger)) ctx.skip('this kernel has no trigger_fs_error for ext4');
    const findings = new Violations();
    const station = await withOne(mount);
    const outcome = await station.install(TWO, () => writeFileSync(trigger, 'the test says so'));
    findings.point(
      'in the middle of an upload',
      wrongUnless(outcome, 'READ_ONLY'),
      await wrongUnlessLive(station.root, ONE),
    );
    await station.program.kill();
    await mount.unmount();
    await mount.mount();
    await station.serve();
    findings.point(
      'mounted again after it',
      await wrongUnlessLive(station.root, ONE),
      ...(await litterIn(station.root, 'lint', [ONE, TWO])),
      wrongUnlessIn(await station.install(TWO)),
      await wrongUnlessLive(station.root, TWO),
    );
    promisesHeld(ctx, 'f', findings.tried, findings.broken);
  });
});

describe('a root that the agent may not write', () => {
  it('refuses the start, or each install, says why, and changes nothing', async (ctx) => {
    needMounts(ctx, 'tmpfs');
    const findings = new Violations();
    const mount = tmpfsMount(16);
    chmodSync(mount.point, 0o755);
    const { file: program, close } = await mutilate({}, false);
    onTestFinished(close);
    const root = join(mount.point, 'plugins');
    const owner = await withOne(mount, root);
    await owner.program.stop();
    const before = await snapshotTree(mount.point);

    const station = await Station.at(root, { program, as: NOBODY });
    chmodSync(station.program.folder, 0o755);
    chmodSync(mount.folder, 0o755);
    const started = await station.serve().then(
      () => true,
      () => false,
    );
    const wrong = started ? wrongUnless(await station.install(TWO), 'INTERNAL') : await refusedStart(station);
    findings.point('belongs to somebody else', wrong, await wrongUnlessLive(root, ONE));

    const fresh = await Station.at(join(mount.point, 'other'), { program, as: NOBODY });
    chmodSync(fresh.program.folder, 0o755);
    findings.point('is to be made where only somebody else may', await refusedStart(fresh));
    const unchanged = JSON.stringify(await snapshotTree(mount.point)) === JSON.stringify(before);
    findings.point('afterwards', !unchanged && 'something has changed');
    promisesHeld(ctx, 'f', findings.tried, findings.broken);
  });
});

describe('a root that is a mount point itself', () => {
  it('installs, updates and recovers, and sees no plugin in lost+found', async (ctx) => {
    needMounts(ctx, 'ext4');
    const findings = new Violations();
    const mount = loopMount('ext4');
    const station = await withOne(mount, mount.point);
    findings.point('a first install', await wrongUnlessLive(mount.point, ONE));
    findings.point(
      'an update',
      wrongUnlessIn(await station.install(TWO)),
      await wrongUnlessLive(mount.point, TWO),
    );
    await station.settled();
    // In the middle of an upload.
    await station.install(ONE, () => station.program.agent?.kill('SIGKILL')).catch(() => undefined);
    await station.program.kill();
    await station.serve();
    findings.point(
      'killed and started again',
      await wrongUnlessLive(mount.point, TWO),
      ...(await litterIn(mount.point, 'lint', [ONE, TWO])),
    );
    const { admitted, refused } = await createLoader({ roots: [mount.point] }).scan();
    const names = [...admitted, ...refused].map(({ name }) => name);
    const hasLost = (await readdir(mount.point)).includes('lost+found');
    findings.point(
      'a scan',
      !hasLost && 'there is no lost+found',
      names.join() !== 'lint' && `seen are ${names.join()}`,
    );
    promisesHeld(ctx, 'f', findings.tried, findings.broken);
  });
});

describe('a plugin on whose directory something is mounted', () => {
  it.for(['tmpfs', 'itself'] as const)('is not updated while that is %s', async (what, ctx) => {
    needMounts(ctx, 'tmpfs');
    const findings = new Violations();
    const station = await withOne(tmpfsMount(16));
    const live = join(station.root, 'lint');
    const take = mountOver(live, what);
    if (what === 'tmpfs') {
      mkdirSync(join(live, 'rules'));
      writeFileSync(join(live, 'rules/mine.md'), 'not Airlock’s');
    }
    const before = await snapshotRoot(station.root);
    const outcome = await station.install(TWO);
    const changed = changedIn(before, await snapshotRoot(station.root));
    findings.point(
      'while it is mounted',
      wrongUnless(outcome, 'SWAP_FAILED'),
      changed.length > 0 && `changed: ${changed.slice(0, 5).join(', ')}`,
    );
    await take();
    findings.point(
      'after it was unmounted',
      await wrongUnlessLive(station.root, ONE),
      wrongUnlessIn(await station.install(TWO)),
      await wrongUnlessLive(station.root, TWO),
      ...(await station.settled().then(() => litterIn(station.root, 'lint', [ONE, TWO]))),
    );
    promisesHeld(ctx, 'f', findings.tried, findings.broken);
  });
});
