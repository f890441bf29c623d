/** Rollbacks, removals, recoveries and copies on a disk that fails: what is there before, what is done, what must be true. */
import type { Disk } from '../../agent/disk/port.ts';
import { inspect, verifyPlugin } from '../../agent/store/inspect.ts';
import { installIdAt } from '../../agent/store/marker.ts';
import { recover } from '../../agent/change/recover.ts';
import { Fault } from '../../shared/api/fault.ts';
import { FaultyDisk, type Rule } from './faulty-disk.ts';
import { deliverDelta, treeOf } from './delta.ts';
import { BUNDLES, NEW, type OnDisk, general, part, without } from './fault-scenes.ts';
import { brokenHistory } from './history.ts';
import {
  type Room,
  deliver,
  makeRoom,
  namesIn,
  photograph,
  remove,
  rollBack,
  through,
} from './install-room.ts';

/** What lies in the live place when this is made comes from a lower overlay layer: it cannot be renamed. */
export function layered(disk: Disk, live: string): Disk {
  let lower = disk.stat(live)?.ino;
  const refuse = (...paths: string[]): void => {
    if (lower !== undefined && paths.some((path) => disk.stat(path)?.ino === lower)) {
      throw Object.assign(new Error('EXDEV: it lies in a lower layer'), { code: 'EXDEV' });
    }
  };
  const { exchange } = disk;
  return {
    ...disk,
    sameOverlay: () => true,
    rename: (from, to) => {
      refuse(from);
      disk.rename(from, to);
    },
    exchange:
      exchange &&
      ((a, b) => {
        refuse(a, b);
        exchange(a, b);
      }),
    rmdir: (path) => {
      const { ino } = disk.stat(path) ?? {};
      disk.rmdir(path);
      // A number that is free may be given to the next directory.
      lower = ino === lower ? undefined : lower;
    },
  };
}

type Change = {
  /** What is there before. @returns whether the platform was told that the new version is live. */
  set: (room: Room) => Promise<boolean>;
  act: (room: Room) => Promise<unknown>;
  layered?: true;
};

const twoVersions = async (room: Room): Promise<boolean> => {
  await deliver(room, BUNDLES[0]);
  await deliver(room, BUNDLES[1]);
  return false;
};

/** Kills what is done as soon as a move into or out of the live place has been made so often. */
const killed =
  (moves: number, act: (room: Room) => unknown, before: (room: Room) => Promise<boolean> = twoVersions) =>
  async (room: Room): Promise<boolean> => {
    await before(room);
    let seen = 0;
    const live = room.layout.live('lint');
    const faulty = new FaultyDisk(room.context.disk);
    faulty.arm(({ kind, path, to }) => {
      const isDead = seen >= moves;
      seen += ['rename', 'exchange'].includes(kind) && [path, to].includes(live) ? 1 : 0;
      return isDead ? 'ECRASHED' : undefined;
    });
    try {
      await act(through(room, faulty.disk));
    } catch {
      // It is killed.
    }
    return false;
  };

const recoverAll = async (room: Room): Promise<unknown> => Promise.resolve(recover(room.context, undefined));
const removed = async (room: Room): Promise<boolean> => {
  await twoVersions(room);
  remove(room);
  return false;
};

/** Installed and answered, and killed before the house-keeping had begun. */
async function killedAfterAnswer(room: Room): Promise<boolean> {
  await twoVersions(room);
  const faulty = new FaultyDisk(room.context.disk);
  let isAnswered = false;
  faulty.arm(() => (isAnswered ? 'ECRASHED' : undefined));
  const dying = through(room, faulty.disk);
  const tell = dying.context.tell;
  const context = {
    ...dying.context,
    tell: (event: Parameters<typeof tell>[0]) => {
      isAnswered ||= event.type === 'install.complete';
      tell(event);
    },
  };
  await deliver({ ...dying, context }, NEW);
  return true;
}

const MANIFEST = 'name: lint\nversion: 3\n';
const MANIFEST_ONLY = { list: { without: ['plugin.yaml'] }, sent: { 'plugin.yaml': MANIFEST } };
/** The version that is live before a delta, and the tree that it makes. */
let underDelta = { base: '', tree: '' };

export const CHANGES: Record<string, Change> = {
  'an update by a delta': {
    set: async (room) => {
      await twoVersions(room);
      const base = installIdAt(room.context, room.layout.live('lint')) ?? '';
      const { list, sent } = MANIFEST_ONLY;
      underDelta = { base, tree: treeOf(room, base, list, sent) };
      return false;
    },
    act: (room) => deliverDelta(room, underDelta.base, { ...MANIFEST_ONLY, tree: underDelta.tree }),
  },
  'a rollback': { set: twoVersions, act: async (room) => Promise.resolve(rollBack(room)) },
  'a rollback after a removal': { set: removed, act: async (room) => Promise.resolve(rollBack(room)) },
  'a removal': { set: twoVersions, act: async (room) => Promise.resolve(remove(room)) },
  'an update of what lies in an image layer': {
    set: twoVersions,
    act: (room) => deliver(room, NEW),
    layered: true,
  },
  'a rollback of what lies in an image layer': {
    set: twoVersions,
    act: async (room) => Promise.resolve(rollBack(room)),
    layered: true,
  },
  'a removal of what lies in an image layer': {
    set: twoVersions,
    act: async (room) => Promise.resolve(remove(room)),
    layered: true,
  },
  'a recovery after the first move of an update': {
    set: killed(1, (room) => deliver(room, NEW)),
    act: recoverAll,
  },
  'a recovery after the second move of an update': {
    set: killed(2, (room) => deliver(room, NEW)),
    act: recoverAll,
  },
  'a recovery after an answer': { set: killedAfterAnswer, act: recoverAll },
  'a recovery after the first move of a rollback': {
    set: killed(1, (room) => rollBack(room)),
    act: recoverAll,
  },
  'a recovery after a rollback of a removal': {
    set: killed(1, (room) => rollBack(room), removed),
    act: recoverAll,
  },
  'a recovery after the move of a removal': { set: killed(1, (room) => remove(room)), act: recoverAll },
};

export type ChangeRun = {
  room: Room;
  faulty: FaultyDisk;
  answer: unknown;
  error: unknown;
  before: Record<string, string>;
  after: Record<string, string>;
  acknowledged: boolean;
};

export async function runChange(name: string, disk: Disk, root: string, rule: Rule): Promise<ChangeRun> {
  const change = CHANGES[name];
  if (change === undefined) throw new Error(`There is no scene "${name}"`);
  const first = makeRoom({ keep: 2 }, disk, root);
  const acknowledged = await change.set(first);
  const room = change.layered ? through(first, layered(disk, first.layout.live('lint'))) : first;
  room.complaints.length = 0;
  const before = photograph(disk, root);
  const faulty = new FaultyDisk(room.context.disk);
  faulty.arm(rule);
  let answer: unknown;
  let error: unknown;
  try {
    answer = await change.act(through(room, faulty.disk));
  } catch (thrown) {
    error = thrown;
  }
  return { room, faulty, answer, error, before, after: photograph(disk, root), acknowledged };
}

/** What is live, without what tells one install of a version from another. */
export const liveOf = (picture: Record<string, string>): string =>
  JSON.stringify(Object.entries(part(picture, 'lint')).filter(([path]) => !path.endsWith('.complete')));

/** Every version that is kept or live, without the ids. */
const treesOf = (picture: Record<string, string>): string[] =>
  [
    ...new Set(
      Object.entries(picture)
        .filter(([path]) => /^\/(?:lint|\.previous\/lint\.[^/.]+)\/plugin\.yaml$/.test(path))
        .map(([, text]) => text),
    ),
  ].toSorted();

/** Throws what is not as it must be, at once and after a recovery. @param good the same without a failure. */
export function checkChange(
  { room, faulty, error, before, after, ...run }: ChangeRun,
  good: ChangeRun,
): void {
  const { context, layout } = room;
  const isRecovery = Array.isArray(good.answer);
  const must = (pluginLocks: boolean, what: string): void => {
    if (!pluginLocks) throw new Error(what);
  };
  must(faulty.leaked.length === 0, `descriptors stay open: ${faulty.leaked.join(', ')}`);
  const [old, now, wanted] = [liveOf(before), liveOf(after), liveOf(good.after)];
  if (error !== undefined) {
    if (!(error instanceof Fault)) throw new Error('what it threw is no fault', { cause: error });
    must(error.executed === 'no', `it says that something was done: ${error.message}`);
    must(now === old, `it failed, and what is live has changed: ${now}`);
    const left = difference(without(before, '.staging'), without(after, '.staging'));
    must(left === '' || room.complaints.length > 0, `it failed, and left something: ${left}`);
  } else if (!isRecovery) {
    must(now === wanted, `it was answered, and live is ${now}`);
  }
  const held = recover(context, undefined).find((one) => one.held !== undefined);
  must(held === undefined, `recovery holds it: ${held?.held ?? ''}`);
  const end = photograph(context.disk, layout.root);
  if (isRecovery) {
    const versions = run.acknowledged ? [wanted] : [wanted, ...treesThat(before)];
    must(versions.includes(liveOf(end)), `after recovery live is ${liveOf(end)}`);
  } else {
    must(liveOf(end) === now, `recovery has changed what is live: ${liveOf(end)}`);
  }
  const litter = [
    ...namesIn(room, layout.staging),
    ...namesIn(room, layout.previous).filter((name) => /\.(?:trash|old)$/.test(name)),
  ];
  must(litter.length === 0, `recovery leaves ${litter.join(', ')}`);
  const lost = treesOf(before).filter((tree) => !treesOf(end).includes(tree));
  must(lost.length === 0, `a version is lost: ${lost.join(', ')}`);
  const isNoted = room.complaints.every(({ message }) => !message.includes('history'));
  const wrong = isNoted ? brokenHistory(room) : [];
  must(wrong.length === 0, `its history is broken: ${wrong.join(', ')}`);
  if (liveOf(end) !== '[]') {
    must(inspect(context, 'lint')?.admitted === true, 'the gate refuses what is live');
    must(verifyPlugin(context, 'lint').verdict === 'intact', 'what is live is not as its receipt says');
  }
}

/** The trees that lie somewhere, as they would look in the live place. */
function treesThat(picture: Record<string, string>): string[] {
  const places = Object.keys(picture).flatMap(
    (path) => /^\/((?:\.previous|\.staging)\/lint\.[^/.]+|lint)$/.exec(path)?.[1] ?? [],
  );
  return places.map((place) =>
    liveOf(
      Object.fromEntries(
        Object.entries(part(picture, place)).map(([path, what]) => [
          path.replace(`/${place}`, '/lint'),
          what,
        ]),
      ),
    ),
  );
}

function difference(before: Record<string, string>, after: Record<string, string>): string {
  const paths = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...paths].filter((path) => before[path] !== after[path]).join(', ');
}

/**
 * Does it once for each n from 1, until a rule makes nothing fail any more.
 *
 * @returns how many calls were made to fail, and what broke, a line each.
 */
export async function sweepChange(
  on: OnDisk,
  name: string,
  ruleOf: (n: number) => Rule,
): Promise<{ tried: number; broken: string[] }> {
  const broken: string[] = [];
  const good = await on((disk, root) => runChange(name, disk, root, () => undefined));
  if (good.error !== undefined) throw new Error('It fails by itself', { cause: good.error });
  for (let n = 1; ; n += 1) {
    const failing = await on(async (disk, root) => {
      const run = await runChange(name, disk, root, ruleOf(n));
      const [failed] = run.faulty.failed;
      try {
        checkChange(run, good);
      } catch (error) {
        const where = `${failed?.kind ?? 'nothing'} ${general(failed?.path ?? '', root)}`;
        broken.push(
          `${name}, call ${n}, ${where}: ${error instanceof Error ? error.message : String(error)}`,
        );
      }
      return failed !== undefined;
    });
    if (!failing) return { tried: n - 1, broken };
  }
}
