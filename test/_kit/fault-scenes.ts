/** Installs on a disk that fails: what is there before, on which disk, and everything that can be seen afterwards. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { nodeDisk } from '../../agent/disk/node-disk.ts';
import type { Disk } from '../../agent/disk/port.ts';
import { inspect } from '../../agent/store/inspect.ts';
import type { RefusalReason } from '../../shared/rule/admission.ts';
import type { Installed } from '../../shared/api/plugin.ts';
import { FaultyDisk, type Rule } from './faulty-disk.ts';
import { type Room, deliver, makeRoom, namesIn, photograph, plainDisk, through } from './install-room.ts';
import { LosingDisk } from './losing-disk.ts';
import { file, gzip, symlink, tar } from './tar-builder.ts';

/** Without real syncs: what counts is whether the call fails, and thousands of them would take minutes. */
const quickDisk: Disk = { ...plainDisk, sync: (fd) => void nodeDisk.statOpen(fd) };

export type OnDisk = <T>(run: (disk: Disk, root: string) => Promise<T>) => Promise<T>;

/** Each runs something with a disk and a root that is not there yet. */
export const DISKS: Record<string, OnDisk> = {
  'the real disk': async (run) => {
    const parent = mkdtempSync(join(tmpdir(), 'airlock-faults-'));
    try {
      return await run(quickDisk, join(parent, 'plugins'));
    } finally {
      rmSync(parent, { recursive: true, force: true });
    }
  },
  'the memory disk': (run) => run(new LosingDisk().disk, '/plugins'),
  'the memory disk with an exchange': (run) => run(new LosingDisk({ exchange: true }).disk, '/plugins'),
};

/** A top directory, directories in directories, an executable, a link and an ignored file: all that staging does. */
const bundle = (version: string): Buffer =>
  gzip(
    tar(
      file('package/plugin.yaml', `name: lint\nversion: ${version}\n`),
      file('package/hooks/deep/run.sh', version.repeat(700), { mode: 0o755 }),
      file('package/hooks/run.pyc', 'x'),
      symlink('package/link', 'plugin.yaml'),
      file('package/skills/a/SKILL.md', '---\nname: a\ndescription: b\n---\n'),
    ),
  );

/** What is live before, oldest first. */
export const BUNDLES = [bundle('1'), bundle('2')] as const;

/** What every scene installs. */
export const NEW = bundle('3');

/** What is there before the install that suffers. */
export const SCENES: Record<string, (room: Room) => Promise<void>> = {
  'a first install': async () => {},
  // After two versions, so that the house-keeping has one to remove.
  'an update': async (room) => {
    await deliver(room, BUNDLES[0]);
    await deliver(room, BUNDLES[1]);
  },
  'the replacing of what was half-copied': async ({ context: { disk, layout } }) => {
    disk.mkdir(layout.live('lint'), 0o755);
    disk.close(disk.create(`${layout.live('lint')}/plugin.yaml`, 0o644));
  },
};

export type Run = {
  /** The room through the healthy disk. */
  room: Room;
  faulty: FaultyDisk;
  answer: Installed | undefined;
  error: unknown;
  before: Record<string, string>;
  after: Record<string, string>;
  /** How the gate judges the plugin; a reason if it refuses it. */
  judged: { before: Verdict; after: Verdict };
  /** Names that are left in staging, and half-removed snapshots. */
  litter: string[];
};
export type Verdict = 'absent' | 'admitted' | RefusalReason;

/** Sets a scene, then installs on a disk that fails by the rule. */
export async function runScene(
  scene: string,
  disk: Disk,
  root: string,
  rule: Rule,
  bytes: Buffer = NEW,
): Promise<Run> {
  const room = makeRoom({}, disk, root);
  await SCENES[scene]?.(room);
  const [before, judgedBefore] = [photograph(disk, root), judge(room)];
  const faulty = new FaultyDisk(disk);
  faulty.arm(rule);
  let answer: Installed | undefined;
  let error: unknown;
  try {
    answer = await deliver(through(room, faulty.disk), bytes);
  } catch (thrown) {
    error = thrown;
  }
  return {
    room,
    faulty,
    answer,
    error,
    before,
    after: photograph(disk, root),
    judged: { before: judgedBefore, after: judge(room) },
    litter: [
      ...namesIn(room, room.layout.staging),
      ...namesIn(room, room.layout.previous).filter((name) => name.endsWith('.trash')),
    ],
  };
}

function judge({ context }: Room): Verdict {
  if (context.disk.stat(context.layout.live('lint')) === undefined) {
    return 'absent';
  }
  const judgement = inspect(context, 'lint');
  if (judgement === undefined) {
    return 'absent';
  }
  return judgement.admitted ? 'admitted' : judgement.reason;
}

/** Of a picture of the root, what lies below one of its names. */
export const part = (picture: Record<string, string>, name: string): Record<string, string> =>
  Object.fromEntries(Object.entries(picture).filter(([path]) => `${path}/`.startsWith(`/${name}/`)));

/** Of a picture of the root, all but what lies below some of its names. */
export const without = (picture: Record<string, string>, ...names: string[]): Record<string, string> =>
  Object.fromEntries(
    Object.entries(picture).filter(([path]) => !names.some((name) => `${path}/`.startsWith(`/${name}/`))),
  );

/** A path of the disk without what differs from run to run. */
export const general = (path: string, root: string): string =>
  path
    .replace(`${root}/`, '')
    .replace(/\/\.$/, '')
    .replace(/\d{8}T\d{9}Z-[0-9a-f]{8}/, 'S')
    .replace(/\.tmp-.*/, 'tmp')
    .replace(/operation-\d+/, 'operation');

/**
 * Runs a scene once for each n from 1, until a rule makes nothing fail any more.
 *
 * @param check is told which call failed first, in general words; what it throws is thrown with them.
 * @returns how many calls were made to fail.
 */
export async function sweep(
  on: OnDisk,
  scene: string,
  ruleOf: (n: number) => Rule,
  check: (run: Run, what: string) => void | Promise<void>,
  bytes?: Buffer,
): Promise<number> {
  for (let n = 1; ; n += 1) {
    const failing = await on(async (disk, root) => {
      const run = await runScene(scene, disk, root, ruleOf(n), bytes);
      const [failed] = run.faulty.failed;
      const what = `${failed?.kind ?? 'nothing'} ${general(failed?.path ?? '', root)}`;
      try {
        await check(run, what);
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        throw new Error(`Where call ${n} fails first, ${what}: ${why}`, { cause: error });
      }
      return failed !== undefined;
    });
    if (!failing) {
      return n - 1;
    }
  }
}
