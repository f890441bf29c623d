/** Each of these is a promise that was seen broken: of what stands beside an install. */
import { existsSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, inject, test } from 'vitest';
import { nodeDisk } from '../../agent/disk/node-disk.ts';
import { removeTree, putRecord } from '../../agent/disk/record.ts';
import { verifyPlugin } from '../../agent/store/inspect.ts';
import { recover } from '../../agent/change/recover.ts';
import { snapshotsOf } from '../../agent/store/snapshots.ts';
import { settleUnsynced, sweepPlugin } from '../../agent/change/sweep.ts';
import { type Service, openService } from '../../agent/service/service.ts';
import { PluginLocks } from '../../agent/service/plugin-locks.ts';
import { createLocks } from '../../agent/disk/lock.ts';
import { systemClock } from '../../shared/clock.ts';
import { readWorkConfig } from '../../agent/config.ts';
import { bootInstall } from '../../agent/service/boot-install.ts';
import { NO_STATE } from '../../shared/format/state.ts';
import { FaultyDisk } from '../_kit/faulty-disk.ts';
import { deliver, faultOf, makeRoom, namesIn, rollBack, through } from '../_kit/install-room.ts';
import { room, stuck, v } from '../_kit/broken-promises.ts';

test('volatile: an agent that writes without syncs compares after a restart of the machine', async () => {
  const here = room();
  await deliver(here, v(1));
  // The machine was restarted, and a file came back empty.
  putRecord(nodeDisk, here.layout.staging, '', here.layout.unsynced, { version: 1, bootId: 'another-boot' });
  writeFileSync(join(here.layout.live('lint'), 'rules/a.md'), '');
  const service = openService(readWorkConfig({ root: here.layout.root, durability: 'none' }, {}), {
    workerFile: new URL(inject('workerFile')),
    clock: systemClock,
    about: () => ({}),
    tell: () => undefined,
    complain: () => undefined,
  });
  await service.prepare();
  const served = await service.serve();
  await served?.release();
  await service.close();
  expect(served?.damaged).toEqual(['lint']);
});

test('volatile: a plugin that is disabled and intact keeps its marker', async () => {
  const here = room();
  await deliver(here, v(1));
  putRecord(nodeDisk, here.layout.staging, 'lint', here.layout.stateOf('lint'), {
    ...NO_STATE,
    disabled: true,
  });
  putRecord(nodeDisk, here.layout.staging, '', here.layout.unsynced, { version: 1, bootId: 'another-boot' });
  settleUnsynced(here.context, 'full');
  expect(existsSync(join(here.layout.live('lint'), '.complete'))).toBe(true);
});

test('volatile: a snapshot that a restart has damaged does not come back as verified', async () => {
  const here = room();
  await deliver(here, v(1));
  await deliver(here, v(2));
  const [kept = ''] = snapshotsOf(here.context, 'lint');
  writeFileSync(join(here.layout.snapshot('lint', kept), 'rules/a.md'), '');
  putRecord(nodeDisk, here.layout.staging, '', here.layout.unsynced, { version: 1, bootId: 'another-boot' });
  settleUnsynced(here.context, 'full');
  const fault = await faultOf(() => rollBack(here)).catch(() => undefined);
  expect([
    fault?.code,
    verifyPlugin(here.context, 'lint').verdict,
    readFileSync(join(here.layout.live('lint'), 'rules/a.md'), 'utf8'),
  ]).not.toEqual([undefined, 'intact', '']);
});

test('who comes while a plugin is swept waits until that is over', async () => {
  const here = room();
  const pluginLocks = new PluginLocks({
    locks: await createLocks(here.layout.locks, here.context.owner),
    clock: systemClock,
    wait: 1000,
    recover: () => Promise.resolve(),
  });
  const release = await pluginLocks.tryHold('lint');
  let got = false;
  const upload = pluginLocks.hold('lint').then((give) => {
    got = true;
    return give;
  });
  await new Promise((resolve) => setImmediate(resolve));
  const early = got;
  await release?.();
  await (
    await upload
  )();
  expect(early).toBe(false);
});

test('removing a tree does not follow a directory that becomes a link', () => {
  const here = room();
  const outside = join(here.layout.root, '..', 'outside');
  const data = here.layout.data('lint');
  for (const kind of ['open', 'list'] as const) {
    mkdirSync(outside, { recursive: true });
    writeFileSync(join(outside, 'precious'), 'x');
    mkdirSync(join(data, 'sub'), { recursive: true });
    writeFileSync(join(data, 'sub/a'), 'x');
    const faulty = new FaultyDisk(nodeDisk);
    let looked = 0;
    faulty.arm((call) => {
      looked += call.kind === kind ? 1 : 0;
      // The first is of what is removed, the second of the directory in it.
      if (looked === 2 && call.kind === kind) {
        renameSync(join(data, 'sub'), join(data, '..', `moved-${kind}`));
        symlinkSync(outside, join(data, 'sub'));
      }
      return undefined;
    });
    expect(() => removeTree(faulty.disk, data)).toThrow(/^(?:ELOOP|ENOTDIR)/);
    expect(existsSync(join(outside, 'precious'))).toBe(true);
    removeTree(nodeDisk, data);
  }
});

test('a downgraded agent keeps the receipt of a snapshot whose marker is newer, or cannot be read now', async () => {
  const here = room();
  const first = await deliver(here, v(1));
  here.clock.now += 1000;
  await deliver(here, v(2));
  const faulty = new FaultyDisk(nodeDisk);
  faulty.arm((call) =>
    call.kind === 'read' && call.path.includes('/.previous/') && call.path.endsWith('.complete')
      ? 'EIO'
      : undefined,
  );
  sweepPlugin({ ...here.context, disk: faulty.disk }, 'lint');
  expect(existsSync(here.layout.receipt('lint', first.installId))).toBe(true);
});

test('what the runtime has loaded is not collected when .loaded cannot be read just now', async () => {
  const here = room();
  const first = await deliver(here, v(1));
  mkdirSync(join(here.layout.root, '.loaded'));
  writeFileSync(
    here.layout.loadedOf('lint'),
    JSON.stringify({ version: 1, plugin: 'lint', generation: first.installId, at: new Date().toISOString() }),
  );
  here.clock.now += 1000;
  await deliver(here, v(2));
  here.clock.now += 1000;
  const faulty = new FaultyDisk(nodeDisk);
  faulty.arm((call) => (call.path.includes('/.loaded/') ? 'EACCES' : undefined));
  await deliver(through(here, faulty.disk), v(3));
  expect(namesIn(here, here.layout.previous)).toHaveLength(2);
});

test('volatile: a root behind a link is settled', async () => {
  const here = room();
  await deliver(here, v(1));
  const link = `${here.layout.root}-link`;
  symlinkSync(here.layout.root, link);
  putRecord(nodeDisk, here.layout.staging, '', here.layout.unsynced, { version: 1, bootId: 'boot' });
  const linked = makeRoom({}, nodeDisk, link);
  expect(settleUnsynced(linked.context, 'full')).toEqual([]);
});

test('boot-install: a plugin that is absent and in trouble is not taken for live', async () => {
  const here = room();
  await deliver(here, v(1));
  await stuck(here);
  recover(here.context, 'lint');
  const from = join(here.layout.root, '..', 'from');
  mkdirSync(from);
  writeFileSync(join(from, 'lint.tgz'), v(3));
  let asked = 0;
  const service = {
    install: () => {
      asked += 1;
      return Promise.resolve({ status: 'installed', installId: 'x' });
    },
    hold: () => Promise.resolve(() => Promise.resolve()),
    worker: { call: () => Promise.resolve() },
  } as unknown as Service;
  const results = await bootInstall(service, here.layout.root, from);
  expect([asked, results.map(({ status }) => status)]).toEqual([1, ['installed']]);
});
