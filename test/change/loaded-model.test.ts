/**
 * Plays by chance against a runtime of which is known what it may be running: no answer leaves it with something else
 * than was pushed. AIRLOCK_MODEL_SEED and AIRLOCK_MODEL_RUNS play others, and more.
 */
import { describe, expect, it } from 'vitest';

import { removeTree } from '../../agent/disk/record.ts';
import { forgetPending } from '../../agent/change/recover.ts';
import { foresee } from '../../agent/change/reload.ts';
import { liveVersionOf } from '../../agent/store/marker.ts';
import type { Reload } from '../../shared/rule/classify.ts';
import type { FileEntry } from '../../shared/format/tree.ts';
import { chanceOf } from '../_kit/chance.ts';
import { SKILL, version } from '../_kit/hot-and-cold.ts';
import { type Room, deliver, makeRoom, remove, rollBack, sha256 } from '../_kit/install-room.ts';
import { type Content, type Hand, Play, WAYS, type Way } from '../_kit/loaded-model.ts';
import { createMemoryDisk } from '../_kit/memory-disk.ts';

const SEED = process.env['AIRLOCK_MODEL_SEED'] ?? '1';
const RUNS = Number(process.env['AIRLOCK_MODEL_RUNS'] ?? '240');
const STEPS = 12;
const HOOK = 'hooks/run.sh';

const put = ({ context }: Room, path: string, text: string, mode: number): void => {
  removeTree(context.disk, path);
  const fd = context.disk.create(path, mode);
  context.disk.write(fd, Buffer.from(text));
  context.disk.close(fd);
};

const reporter = (room: Room) => (generation: string, at: number | undefined) => {
  const { disk, layout } = room.context;
  if (disk.stat(layout.loaded) === undefined) {
    disk.mkdir(layout.loaded, 0o755);
  }
  const record = { version: 1, generation, ...(at === undefined ? {} : { at: new Date(at).toISOString() }) };
  put(room, layout.loadedOf('lint'), JSON.stringify(record), 0o644);
};

const textOf = (skill: string): string => `---\nname: a\ndescription: it is a\n---\n${skill}\n`;

function editIn(room: Room, { hook, skill }: NonNullable<Content>): void {
  const live = room.layout.live('lint');
  put(room, `${live}/${HOOK}`, hook, 0o755);
  put(room, `${live}/${SKILL}`, textOf(skill), 0o644);
}

/** Judged and noted as in every change; what is sealed, swapped and collected is written as it lies there afterwards. */
function quickHand(room: Room): Hand {
  const { context, layout, clock } = room;
  const live = layout.live('lint');
  let operations = 0;
  const change: Hand['change'] = async (to, restart, end, meanwhile) => {
    operations += 1;
    const operationId = `operation-${operations}`;
    const from = liveVersionOf(context, 'lint');
    const stamp = new Date(clock.now).toISOString().replace(/[-:.]/g, '');
    const installId = `${stamp}-${String(operations).padStart(8, '0')}`;
    const fileOf = (path: string, text: string, mode: FileEntry['mode']): FileEntry => ({
      path,
      size: Buffer.byteLength(text),
      mode,
      sha256: sha256(text),
    });
    const files = to && [fileOf(HOOK, to.hook, '755'), fileOf(SKILL, textOf(to.skill), '644')];
    const next = files === null ? undefined : { installId, files, directory: live };
    const planned = foresee(context, { plugin: 'lint', operationId, restart, from, next });
    meanwhile();
    if (end === 'taken back') {
      planned.takeBack();
      return undefined;
    }
    if (end === 'killed before') {
      forgetPending(context, {
        op: to === null ? 'remove' : 'install',
        plugin: 'lint',
        stamp: installId,
        operationId,
      });
      return undefined;
    }
    removeTree(context.disk, live);
    if (files !== null && to !== null) {
      const marker = {
        version: 1,
        plugin: 'lint',
        pluginVersion: '1.0.0',
        installId,
        bundle: `sha256:${'0'.repeat(64)}`,
        tree: `sha256:${'0'.repeat(64)}`,
        files: files.length,
        bytes: 2,
        installedAt: new Date(clock.now).toISOString(),
        by: 'tester',
        replaced: from?.installId ?? null,
      };
      const receipt = { ...marker, list: files, skipped: [] };
      put(room, layout.receipt('lint', installId), JSON.stringify(receipt), 0o644);
      for (const path of ['', '/hooks', '/skills', '/skills/a']) {
        context.disk.mkdir(`${live}${path}`, 0o755);
      }
      put(room, `${live}/.complete`, JSON.stringify(marker), 0o644);
      editIn(room, to);
    }
    planned.settle();
    return planned.reload;
  };
  return { room, change, edit: (to) => editIn(room, to), report: reporter(room) };
}

/** Installs, rolls back and removes. */
function realHand(room: Room, chance: () => number): Hand {
  const before: Content[] = [];
  const change = async (to: Content, restart: boolean): Promise<Reload> => {
    room.clock.now += 1000;
    const was = before.at(-2);
    const gone = before.at(-1) === null;
    before.push(to);
    if (to === null) {
      return remove(room, { restart }).reload;
    }
    if (!gone && was?.hook === to.hook && was.skill === to.skill && chance() < 0.7) {
      return rollBack(room, { restart }).reload;
    }
    return (await deliver(room, version(to.hook, to.skill), { restart, force: true })).reload;
  };
  const edit = (to: NonNullable<Content>): void => {
    // A rollback brings back what was edited.
    before.splice(-1, 1, to);
    editIn(room, to);
  };
  return { room, change, edit, report: reporter(room) };
}

function makePlay(way: Way, seed: string, isReal: boolean): Play {
  const restarts = way === 'command' ? 'command' : 'caller';
  const made = makeRoom({ restarts, keep: 9 }, createMemoryDisk(), '/plugins');
  const runs = { now: false };
  const room = { ...made, context: { ...made.context, restartRuns: () => runs.now } };
  const chance = chanceOf(seed, way);
  return new Play(isReal ? realHand(room, chance) : quickHand(room), way, chance, runs);
}

describe('whatever is pushed, restarted, reported and edited', () => {
  it.each(WAYS)('leaves no runtime with something else than was pushed (%s)', async (way) => {
    const total = { answers: 0, cold: 0, needless: 0, plain: 0 };
    for (let n = 0; n < RUNS / WAYS.length; n += 1) {
      const seed = `${SEED}-${n}`;
      const play = makePlay(way, seed, n % 20 === 19);
      const wrong = await play.run(STEPS);
      expect([seed, wrong, wrong === undefined ? [] : play.said]).toEqual([seed, undefined, []]);
      for (const key of ['answers', 'cold', 'needless', 'plain'] as const) {
        total[key] += play.tally[key];
      }
    }
    process.stdout.write(`${way}: ${JSON.stringify(total)}\n`);
    expect(total.answers).toBeGreaterThan(RUNS);
    // To call everything cold would be safe as well.
    expect(total.needless).toBeLessThan(total.answers / 3);
    expect(total.cold).toBeLessThan(total.answers);
  });
});
