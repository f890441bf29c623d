/**
 * Power cuts on a disk that knows what was synced: a flow is run once and recorded; for every step of it the disk comes up
 * again with what was durable by then and some of the rest, recovery runs, is cut itself up to three times, and what it
 * leaves is judged each time.
 */
import { recover } from '../../agent/change/recover.ts';
import type { Recovered } from '../../shared/api/maintenance.ts';
import { chanceOf, pick } from './chance.ts';
import { type Room, makeRoom, namesIn } from './install-room.ts';
import { LosingDisk, type LosingOptions } from './losing-disk.ts';
import { byIndex, inWords, randomFates, stepName, subsets } from './power-fates.ts';
import type { Flow } from './power-flows.ts';
import { type Broken, type Known, judgeOf, textOf } from './power-judge.ts';

export const ROOT = '/plugins';
const LIVE = `${ROOT}/lint`;
const CUTS_IN_RECOVERY = 3;
/** How many of them are kills, after which the next process finds all that was written. */
const KILLS = 0.3;

/** Set it to see other cuts, or once more those of a line that broke. */
const SEED = process.env['AIRLOCK_TEST_SEED'] ?? '1';

export type Plan = {
  options: Partial<LosingOptions>;
  /** How many random subsets are lost at each step, beside those that are always tried. */
  random: number;
  /** Every so many steps. */
  stride: number;
  /** Left out by a canary. */
  recovery: boolean;
};
export type Report = { tried: number; broken: Broken[] };

export type Recording = Known & {
  disk: LosingDisk;
  /** How many steps had been made when the answer came. */
  answeredAt: number;
};

export const roomOn = (disk: LosingDisk, flow: Flow): Room => makeRoom(flow.policy, disk.disk, ROOT);

/** What is live, and the snapshots. */
function treesOn(disk: LosingDisk, flow: Flow): string[] {
  const room = roomOn(disk.fork(), flow);
  const { previous } = room.layout;
  const snapshots = namesIn(room, previous).map((name) => textOf(disk, `${previous}/${name}`));
  return [textOf(disk, LIVE), ...snapshots];
}

/** Runs a flow once, undisturbed. */
export async function record(flow: Flow, options: Partial<LosingOptions>): Promise<Recording> {
  const stage = new LosingDisk(options);
  if (flow.scene === undefined) {
    stage.disk.mkdir(ROOT, 0o755);
  } else {
    await flow.scene(roomOn(stage, flow), stage);
  }
  const whole = new Set(flow.scene === undefined ? [] : treesOn(stage, flow));
  const other = stage.fork();
  await flow.between?.(roomOn(other, flow));
  const between = new Set(flow.between === undefined ? [] : [textOf(other, LIVE)]);
  const disk = stage.fork();
  let answeredAt = Infinity;
  await flow.run(roomOn(disk, flow), () => {
    answeredAt = disk.steps.length;
  });
  for (const tree of [...treesOn(disk, flow), ...between]) {
    whole.add(tree);
  }
  const { operations } = roomOn(disk.fork(), flow).layout;
  const remembered = (on: LosingDisk): string[] =>
    on.picture(operations)[''] === undefined ? [] : namesIn(roomOn(on.fork(), flow), operations);
  const known = new Set(remembered(stage));
  const answers = new Map(
    remembered(disk)
      .filter((name) => !known.has(name))
      .map((name) => [name, textOf(disk, `${operations}/${name}`)]),
  );
  return {
    disk,
    answeredAt,
    answers,
    before: textOf(stage, LIVE),
    after: textOf(disk, LIVE),
    whole,
    between,
  };
}

type Start = { how: string; disk: LosingDisk };

/** What may come up after a power cut at a step. */
function cutsOf(disk: LosingDisk, at: number, chance: () => number, random: number): Start[] {
  const traced = disk.trace(at);
  return subsets(traced, chance, random).map((fates) => ({
    how: `cut, ${inWords(traced, fates)}`,
    disk: disk.truncate(traced, byIndex(fates)),
  }));
}

/**
 * Ends a flow after each of its steps: by a power cut; by a kill, after which nothing is lost yet; and by a kill, with a
 * power cut when recovery is done.
 *
 * @param name of the flow and the disk, for the lines.
 */
export async function cutEverywhere(name: string, flow: Flow, plan: Plan): Promise<Report> {
  const recording = await record(flow, plan.options);
  const { disk, answeredAt } = recording;
  const report: Report = { tried: 0, broken: [] };
  const chain = chainOf(recording, plan);
  for (let at = 0; at <= disk.steps.length; at += plan.stride) {
    const chance = chanceOf(SEED, name, at);
    const last = disk.steps[at - 1];
    const where = `step ${at} of ${disk.steps.length} (${last === undefined ? 'nothing' : stepName(last)})`;
    const recovered = disk.killed(at);
    recoverOn(recovered, plan);
    const starts = [
      ...cutsOf(disk, at, chance, plan.random),
      ...Array.from({ length: plan.random }, () => ({ how: 'killed', disk: disk.killed(at) })),
      ...cutsOf(recovered, recovered.steps.length, chance, plan.random).map((start) => ({
        ...start,
        how: `killed, recovered, ${start.how}`,
      })),
    ];
    for (const start of starts) {
      const { tried, broken } = await chain(start.disk, at >= answeredAt, chance);
      report.tried += tried;
      for (const { promise, line } of broken) {
        report.broken.push({
          promise,
          line: `${name}, seed ${SEED}, after ${where} ${start.how}; ${line}`,
        });
      }
    }
  }
  return report;
}

function recoverOn(disk: LosingDisk, { recovery }: Plan): { room: Room; recovered: Recovered[] } {
  const room = makeRoom({}, disk.disk, ROOT);
  return { room, recovered: recovery ? recover(room.context, undefined) : [] };
}

/** Recovery, and kills and cuts inside it; whenever it has come to its end, what it leaves is judged. */
function chainOf(
  known: Known,
  plan: Plan,
): (disk: LosingDisk, answered: boolean, chance: () => number) => Promise<Report> {
  const judge = judgeOf(known);
  return async (first, answered, chance) => {
    const report: Report = { tried: 0, broken: [] };
    let inside = '';
    let disk = first;
    for (let truncate = 0; truncate <= CUTS_IN_RECOVERY; truncate += 1) {
      const begun = disk.steps.length;
      const { room, recovered } = recoverOn(disk, plan);
      const held = recovered.find((one) => one.held !== undefined)?.held;
      const broken =
        held === undefined ? await judge(disk, room, answered) : { promise: 1, line: `it is held: ${held}` };
      report.tried += 1;
      if (broken !== undefined) {
        const rows = recovered.map((one) => one.rows.join(' ')).join(' and ');
        report.broken.push({ ...broken, line: `${inside}rows ${rows || 'none'}: ${broken.line}` });
      }
      const made = disk.steps.length - begun;
      // What is broken stays so, and is told once.
      if (broken !== undefined || disk.steps.length === 0) break;
      const at = begun + pick(chance, made + 1);
      const where = `step ${at - begun} of ${made}`;
      if (chance() < KILLS) {
        inside += `recovery killed after ${where}; `;
        disk = disk.killed(at);
      } else {
        const traced = disk.trace(at);
        const fates = randomFates(traced, chance);
        inside += `recovery cut after ${where}, ${inWords(traced, fates)}; `;
        disk = disk.truncate(traced, byIndex(fates));
      }
    }
    return report;
  };
}
