/** The real agent, hit at one of its system calls while it works; and what it has left behind, before and after a restart. */
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { workIn } from './at-work.ts';
import { type Bundle, beginOf, push, sha256Of } from './bundle.ts';
import { type Versions, brokenSnapshots, litterIn, treeLive, versionLive } from './on-disk.ts';
import { brokenHistory } from './history.ts';
import { memoryFolder } from './in-memory.ts';
import { bundleOf, makeRoom } from './install-room.ts';
import { nodeDisk } from '../../agent/disk/node-disk.ts';
import { Program, addressOf } from './program.ts';
import { type Call, type Point, Tracer, killedAt } from './strace.ts';
import { Refusal, Wire } from './wire.ts';

const PLUGIN = 'lint';
const PATIENCE_MILLIS = 20_000;

function bundle(version: number): Bundle {
  const text = Array.from({ length: 3200 }, (_, i) => sha256Of(Buffer.from(`${version} ${i}`))).join('\n');
  const bytes = bundleOf(
    {
      'data/big.txt': text,
      'hooks/run.sh': `echo ${version}\n`,
      'rules/a.md': `Rule ${version}\n`,
      [`rules/only-${version}.md`]: 'only here\n',
      'skills/one/SKILL.md': `---\nname: one\ndescription: Version ${version}\n---\n\nDo ${version}.\n`,
      'skills/two/SKILL.md': '---\nname: two\ndescription: Always the same\n---\n\nDo.\n',
    },
    `${version}.0.0`,
  );
  return { bytes, sha256: sha256Of(bytes), size: bytes.length };
}

const bundles = [0, 1, 2, 3].map(bundle);

async function deliver(wire: Wire, version: number): Promise<void> {
  await push(wire, beginOf(PLUGIN, bundles[version] as Bundle), bundles[version] as Bundle);
}

async function change(wire: Wire, method: 'plugin.rollback' | 'plugin.uninstall'): Promise<void> {
  await wire.request(method, { operationId: `change-${randomUUID()}`, plugin: PLUGIN });
}

/** What is done to a prepared root: the versions that are delivered before, and then the one thing that is hit. */
type Flow = { before: number[]; act: (wire: Wire) => Promise<void> };

export const FLOWS: Readonly<Record<string, Flow>> = {
  'an update': { before: [0, 1], act: (wire) => deliver(wire, 2) },
  'a first install': { before: [], act: (wire) => deliver(wire, 2) },
  'a rollback': { before: [0, 1, 2], act: (wire) => change(wire, 'plugin.rollback') },
  'a removal': { before: [0, 1], act: (wire) => change(wire, 'plugin.uninstall') },
};

/** A root that is copied for every point, and the trees that may be live in the copies. */
export type Stage = {
  flow: Flow;
  root: string;
  versions: Versions;
  calls: Call[];
  /** The program, if it is not the built one. */
  file: string | undefined;
  close: () => Promise<void>;
};

const connect = (agent: Program): Promise<Wire> => Wire.start(addressOf(agent), { token: agent.token });

/**
 * Waits until nothing is under way, or nobody is left to do it, or there is nothing more to wait for. A killed process has
 * not given its lock back.
 */
async function untilIdle(agent: Program, enough = (): boolean => false): Promise<void> {
  const end = Date.now() + PATIENCE_MILLIS;
  while (agent.agent?.exitCode === null && agent.agent.signalCode === null) {
    if (workIn(agent.root).length === 0 || enough() || Date.now() > end) break;
    await sleep(5);
  }
}

/** Lets the threads come up and go through their code once, so that only the flow itself is traced. */
async function warmUp(agent: Program, wire: Wire): Promise<void> {
  const params = beginOf('warm', bundles[0] as Bundle);
  await wire.request('install.begin', params);
  await wire.request('install.abort', { operationId: params.operationId });
  await wire.request('plugin.list', {});
  await untilIdle(agent);
}

/** Prepares a root for a flow, and learns from one run which calls there are to hit. */
export async function prepareStage(flow: Flow, file?: string): Promise<Stage> {
  const agent = await Program.open(file, memoryFolder());
  await agent.serve();
  const wire = await connect(agent);
  for (const version of flow.before) {
    await deliver(wire, version);
    await untilIdle(agent);
  }
  const root = join(agent.folder, 'prepared');
  execFileSync('cp', ['-a', agent.root, root]);
  const old = await treeLive(root, PLUGIN);
  await warmUp(agent, wire);
  const tracer = await Tracer.attach(agent.agent?.pid ?? 0, join(agent.folder, 'calls'));
  await flow.act(wire);
  await untilIdle(agent);
  await tracer.detach();
  const calls = tracer.calls().filter((call) => changesDisk(call, agent.root));
  const versions = { old, new: await treeLive(agent.root, PLUGIN) };
  await wire.vanish();
  await agent.stop();
  return { flow, root, versions, calls, file, close: () => agent.close() };
}

/** Calls on the root; of those that open, only those that make a file. Threads also wake each other by writing. */
const changesDisk = ({ call, text }: Call, root: string): boolean =>
  (call.startsWith('open') ? text.includes('O_CREAT') : true) &&
  (text.includes(root) || call === 'renameat2');

/** Calls before which nothing is live where a swap is two renames: after the first of them, up to the second. */
export function inGap({ calls }: Stage): Call[] {
  const paths = calls.map(({ call, text }) => (call.startsWith('rename') ? text.split('"') : []));
  const live = (path = ''): boolean => path.endsWith(`/root/${PLUGIN}`);
  const first = paths.findIndex(([, from]) => live(from));
  const second = paths.findIndex(([, , , to]) => live(to));
  return calls.slice(first + 1, second + 1);
}

/** What came of a point; `hit` is false where the run never came to that call. */
type Outcome = { hit: boolean; broken: string[] };

/**
 * Runs a flow on a copy of the prepared root, hits the agent at a call, and asks the gate; then restarts it without
 * harm and asks again.
 *
 * @param what `signal=SIGKILL`, or `error=EIO` and the like: then the agent must live on.
 * @param again a call of the next start, at which recovery is killed in its turn.
 */
async function hitAt(
  { flow, root, versions, file }: Stage,
  at: Point,
  what: string,
  again?: Point,
): Promise<Outcome> {
  const agent = await Program.open(file, memoryFolder());
  try {
    execFileSync('cp', ['-a', root, agent.root]);
    const run = await runUntilHit(agent, flow, at, what);
    if (run === undefined) return { hit: false, broken: [] };
    if (again !== undefined && !(await killRecovery(agent, again))) return { hit: false, broken: [] };
    const broken = await judge(agent, versions, run);
    const twice = again === undefined ? '' : `, then ${again.call} ${again.nth}`;
    const where = `${at.call} ${at.nth}, ${what}${twice}: ${run.text.replaceAll(agent.root, '')}`;
    return { hit: true, broken: broken.map((line) => `${where}: ${line}`) };
  } finally {
    await agent.close();
  }
}

/** @returns whether it was killed before it listened. */
async function killRecovery(agent: Program, at: Point): Promise<boolean> {
  try {
    await agent.serve({}, killedAt(join(agent.folder, 'again'), at));
  } catch {
    return agent.agent?.signalCode === 'SIGKILL';
  }
  await agent.stop();
  return false;
}

type Run = {
  text: string;
  died: string | undefined;
  /** What the flow ended with: nothing if it was answered. */
  error: unknown;
};

async function runUntilHit(agent: Program, flow: Flow, at: Point, what: string): Promise<Run | undefined> {
  const kills = what.startsWith('signal');
  await agent.serve();
  const child = agent.agent;
  if (child?.pid === undefined) throw new Error('There is no agent');
  const exit = once(child, 'exit');
  const wire = await connect(agent);
  await warmUp(agent, wire);
  const tracer = await Tracer.attach(child.pid, join(agent.folder, 'calls'), at, what);
  const error: unknown = await flow.act(wire).catch((thrown: unknown) => thrown ?? 'failed');
  // The house-keeping after the answer is hit as well.
  const idle = untilIdle(agent, () => !kills && tracer.hits().length > 0);
  await Promise.race([exit, idle]);
  const died = child.signalCode ?? (child.exitCode === null ? undefined : `code ${child.exitCode}`);
  await tracer.detach();
  await wire.vanish();
  const hits = tracer.hits();
  const [hit] = hits;
  // Threads wake each other by writing as well; a process survives no error there, and none ever happens.
  const isMeant = kills ? died === 'SIGKILL' : hits.every((one) => changesDisk(one, agent.root));
  if (hit === undefined || !isMeant) return undefined;
  return { text: hit.text, died, error };
}

/** What of the promises does not hold, a line each. */
async function judge(agent: Program, versions: Versions, { died, error }: Run): Promise<string[]> {
  const broken: string[] = [];
  const refused = error instanceof Refusal && error.data.executed === 'no';
  const ask = async (when: string): Promise<void> => {
    try {
      const found = await versionLive(agent.root, PLUGIN, versions);
      if (error === undefined && found !== 'new') broken.push(`${when}: answered, and not live`);
      if (refused && found !== 'old') broken.push(`${when}: refused, and live`);
    } catch (wrong) {
      broken.push(`${when}: ${whyOf(wrong)}`);
    }
  };
  await ask('before the restart');
  if (died === undefined) {
    const isAnswered = error === undefined || error instanceof Refusal;
    if (!isAnswered) broken.push(`it was not answered: ${whyOf(error)}`);
    const ended = await agent.stop();
    if (ended !== 0) broken.push(`the agent ended with ${ended}`);
  } else if (died !== 'SIGKILL') {
    broken.push(`the agent died: ${died}`);
  }
  await agent.serve();
  await ask('after the restart');
  for (const name of litterIn(agent.root)) broken.push(`after the restart: ${name} is left`);
  for (const name of brokenSnapshots(agent.root)) broken.push(`the snapshot ${name} is not whole`);
  const room = makeRoom({}, nodeDisk, agent.root);
  // Where the line of the change could not be written, the sweep of the start has noted what is live.
  broken.push(...brokenHistory(room, PLUGIN).map((wrong) => `its history: ${wrong}`));
  const wire = await connect(agent);
  try {
    await deliver(wire, 3);
    await versionLive(agent.root, PLUGIN, { next: await treeLive(agent.root, PLUGIN) });
  } catch (wrong) {
    broken.push(`the next install: ${whyOf(wrong)}`);
  }
  await wire.vanish();
  return broken;
}

const whyOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** A call, what happens to it, and the call of recovery that is hit after that. */
type Hit = Point & { what: string; again?: Point };
/** A call is not the same in every run: threads share out their work, and wake each other by calls, as it comes. */
const TRIES = 3;
type Seen = { tried: number; missed: number; broken: string[] };

/**
 * Runs through points, two at a time, for as long as is allowed; in an order in which those that were reached lie evenly
 * among all of them, whenever it ends.
 */
export async function hitAll(stage: Stage, points: readonly Hit[], millis: number): Promise<Seen> {
  const seen: Seen = { tried: 0, missed: 0, broken: [] };
  const end = Date.now() + millis;
  const left = spread(points).values();
  const work = async (): Promise<void> => {
    for (const { what, again, ...at } of left) {
      if (Date.now() > end) return;
      let { hit, broken } = await hitAt(stage, at, what, again);
      for (let i = 1; !hit && i < TRIES && Date.now() <= end; i += 1) {
        ({ hit, broken } = await hitAt(stage, at, what, again));
      }
      if (hit) seen.tried += 1;
      else seen.missed += 1;
      if (broken.length > 0) seen.broken.push(broken.join('; '));
    }
  };
  await Promise.all([work(), work()]);
  return seen;
}

/** The same things in strides of about the golden section, which meet each of them once. */
function spread<T>(things: readonly T[]): T[] {
  const common = (a: number, b: number): number => (b === 0 ? a : common(b, a % b));
  let stride = Math.max(1, Math.round(things.length * 0.618));
  while (common(things.length, stride) > 1) stride += 1;
  return things.flatMap((_, i) => things[(i * stride) % things.length] ?? []);
}
