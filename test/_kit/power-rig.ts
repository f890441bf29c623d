/** The real agent on a real file system whose power is cut while it works; then the gate, recovery, the gate again. */
import { statSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

import { type TestContext, onTestFinished } from 'vitest';

import { mutilate } from './mutilated.ts';
import { beginOf, push } from './bundle.ts';
import { promisesHeld } from './family.ts';
import { type LoopKind, type Mount, loopMount, needMounts } from './mounts.ts';
import { cutPower } from './power.ts';
import { Program } from './program.ts';
import { chanceOf, logUniform, pick } from './chance.ts';
import { type Found, type Known, type Version, judge, litterIn, versionOf } from './versions.ts';
import { Refusal, Wire } from './wire.ts';

/** How the agent swaps: by an exchange after one syncfs; without koffi by renames, each file synced on its own. */
export type Way = 'exchange' | 'renames';

/** From which moment on the time to the cut is counted, one after the other. */
type Moment = 'begin' | 'staged' | 'swap' | 'answer';
const MOMENTS: readonly Moment[] = ['begin', 'begin', 'staged', 'swap', 'swap', 'answer'];
/** The swap is seen by looking at live all the time, for so long. */
const LOOK_MILLIS = 500;
/** A cut comes so soon after it. */
const SWAPPED_MILLIS = 3;
/** One cut in so many hits a first install. */
const FIRST = 4;

type Env = Record<string, string>;

const told = (found: Found): string =>
  found.kind === 'version' ? `version ${found.number}` : found.kind === 'broken' ? found.why : found.kind;

class Rig {
  readonly broken: string[] = [];
  /** Cuts before and after the answer, and what was live then, before recovery. */
  readonly seen = { unanswered: 0, answered: 0, old: 0, new: 0, absent: 0, gap: 0 };
  readonly #mount: Mount;
  readonly #root: string;
  readonly #program: Program;
  readonly #way: Way;
  readonly #env: Env;
  readonly #chance: () => number;
  /** What is live of each plugin, by all that was found. */
  readonly #live = new Map<string, number>();
  /** Every version of each plugin that was ever sent. */
  readonly #versions = new Map<string, Known[]>();
  #wire: Wire | undefined;
  #number = 0;
  #plugins = 0;
  /** How long an install takes in a fresh agent, from begin and from the end of its staging to its answer. */
  readonly millis = { whole: 0, swap: 0 };

  constructor(mount: Mount, program: Program, way: Way, seed: number, env: Env) {
    this.#root = `${mount.point}/plugins`;
    this.#env = { AIRLOCK_ROOT: this.#root, ...env };
    this.#mount = mount;
    this.#program = program;
    this.#way = way;
    this.#chance = chanceOf(seed);
  }

  get cuts(): number {
    return this.seen.answered + this.seen.unanswered;
  }

  /** Starts an agent, which recovers what the last one left, and connects to it. */
  async #serve(): Promise<Wire> {
    await this.#program.serve(this.#env);
    const { hostname: host, port } = new URL(this.#program.url);
    return Wire.start({ host, port: Number(port) }, { token: this.#program.token });
  }

  /** Installs without a cut, to know how long that takes. */
  async measure(): Promise<void> {
    const [whole, swap]: [number[], number[]] = [[], []];
    for (let i = 0; i < 4; i += 1) {
      const wire = await this.#serve();
      const version = this.#next('measured');
      const params = beginOf('measured', version.bundle);
      const start = performance.now();
      const staged = wire
        .event('install.staged', { operationId: params.operationId })
        .then(() => performance.now());
      await push(wire, params, version.bundle);
      const end = performance.now();
      whole.push(end - start);
      swap.push(end - (await staged));
      this.#live.set('measured', version.number);
      await this.#program.stop();
    }
    this.millis.whole = Math.min(...whole);
    this.millis.swap = Math.min(...swap);
  }

  /** One install, and a cut somewhere in it or shortly after it. */
  async truncate(moments = MOMENTS): Promise<void> {
    const wire = this.#wire ?? (await this.#serve());
    const plugin = this.#choose();
    const version = this.#next(plugin);
    const params = beginOf(plugin, version.bundle);
    let answered = false;
    let refused: Refusal | undefined;
    const pushing = push(wire, params, version.bundle).then(
      () => (answered = true),
      (error: unknown) => {
        if (error instanceof Refusal) refused = error;
      },
    );
    // In turns: by chance one of them would not come up in a short row of cuts.
    const moment = moments[this.cuts % moments.length];
    const placed = this.#inode(plugin);
    if (moment === 'staged' || moment === 'swap') {
      const { operationId } = params;
      const staged = wire.event('install.staged', { operationId }).catch(() => undefined);
      await Promise.race([staged, pushing]);
    } else if (moment === 'answer') {
      await pushing;
    }
    const { whole, swap } = this.millis;
    if (moment === 'begin') await this.#wait(whole / 30, whole * 1.3);
    else if (moment !== 'swap') await this.#wait(swap / 8, swap * 1.3);
    else if (!answered) this.#lookForSwap(plugin, placed);
    const why = refused?.message;
    cutPower(this.#mount.point);
    const acknowledged = answered;
    await this.#program.kill();
    await pushing;
    await this.#mount.unmount();
    await this.#mount.mount();
    this.seen[acknowledged ? 'answered' : 'unanswered'] += 1;
    if (why !== undefined) this.#blame(plugin, `refused before the cut: ${why}`);
    await this.#check(plugin, version.number, acknowledged);
  }

  /** Everything that was ever live still is what it was. */
  async checkAll(): Promise<void> {
    for (const [plugin, number] of this.#live) {
      const found = await judge(this.#root, plugin, this.#versions.get(plugin) ?? []);
      if (told(found) !== `version ${number}`) this.#blame(plugin, `at the end it is ${told(found)}`);
    }
  }

  async #check(plugin: string, number: number, acknowledged: boolean): Promise<void> {
    const before = this.#live.get(plugin);
    const versions = this.#versions.get(plugin) ?? [];
    const old = before === undefined ? 'absent' : `version ${before}`;
    const allowed = new Set([`version ${number}`, ...(acknowledged ? [] : [old])]);
    const first = told(await judge(this.#root, plugin, versions));
    const isGap = first === 'absent' && this.#way === 'renames' && !acknowledged && before !== undefined;
    this.seen[isGap ? 'gap' : first === 'absent' ? 'absent' : first === old ? 'old' : 'new'] += 1;
    const said = `${acknowledged ? 'answered' : 'unanswered'}, from ${old} to version ${number}`;
    if (!allowed.has(first) && !isGap) this.#blame(plugin, `${said}: before recovery ${first}`);

    this.#wire = await this.#serve();
    const found = await judge(this.#root, plugin, versions);
    if (!allowed.has(told(found))) this.#blame(plugin, `${said}: after recovery ${told(found)}`);
    const litter = await litterIn(this.#root, plugin, versions);
    if (litter.length > 0) this.#blame(plugin, `${said}: ${litter.join(', ')}`);
    const held = this.#program.log.filter(
      (line) => line['msg'] === 'recovered' && line['held'] !== undefined,
    );
    if (held.length > 0) this.#blame(plugin, `${said}: held: ${JSON.stringify(held)}`);
    this.#program.log.length = 0;
    if (found.kind === 'version') this.#live.set(plugin, found.number);
    else this.#live.delete(plugin);
  }

  /** A cut counts once, whatever it broke. */
  #blame(plugin: string, what: string): void {
    const truncate = `cut ${this.cuts}, ${plugin}: `;
    const last = this.broken.at(-1);
    if (last?.startsWith(truncate) === true) this.broken[this.broken.length - 1] = `${last}; ${what}`;
    else this.broken.push(`${truncate}${what}`);
  }

  /** A plugin that is there, or a fresh name now and then. */
  #choose(): string {
    const names = [...this.#live.keys()];
    const name = names[pick(this.#chance, names.length)];
    if (name !== undefined && pick(this.#chance, FIRST) > 0) return name;
    this.#plugins += 1;
    return `plugin-${this.#plugins}`;
  }

  #next(plugin: string): Version {
    this.#number += 1;
    const version = versionOf(plugin, this.#number);
    const sent = { number: version.number, print: version.print };
    this.#versions.set(plugin, [...(this.#versions.get(plugin) ?? []), sent]);
    return version;
  }

  #inode(plugin: string): number | undefined {
    return statSync(`${this.#root}/${plugin}`, { throwIfNoEntry: false })?.ino;
  }

  /** Returns within the barriers that follow the rename or exchange which makes another directory live, or none. */
  #lookForSwap(plugin: string, before: number | undefined): void {
    const end = performance.now() + LOOK_MILLIS;
    while (this.#inode(plugin) === before && performance.now() < end);
    const until = performance.now() + logUniform(this.#chance, SWAPPED_MILLIS / 100, SWAPPED_MILLIS);
    while (performance.now() < until);
  }

  /** Log-uniform between two times in milliseconds; the last part is spun, for timers are coarse. */
  async #wait(from: number, to: number): Promise<void> {
    const until = performance.now() + logUniform(this.#chance, from, to);
    const coarse = Math.floor(until - performance.now() - 1);
    if (coarse > 0) await sleep(coarse);
    while (performance.now() < until);
  }
}

export async function makeRig(kind: LoopKind, way: Way, seed: number, env: Env = {}): Promise<Rig> {
  const mount = loopMount(kind);
  const running = await Program.open();
  onTestFinished(() => running.close());
  if (way === 'renames') {
    const { file, close } = await mutilate({}, false);
    onTestFinished(close);
    running.program = file;
  }
  return new Rig(mount, running, way, seed, env);
}

/** So many cuts at moments of all kinds: each leaves the old version or the new one. */
export async function cutPowers(ctx: TestContext, kind: LoopKind, way: Way, cuts: number): Promise<void> {
  needMounts(ctx, kind);
  const rig = await makeRig(kind, way, cuts);
  await rig.measure();
  for (let i = 0; i < cuts; i += 1) await rig.truncate();
  await rig.checkAll();
  const { answered, unanswered, old, absent, gap } = rig.seen;
  process.stdout.write(
    `${kind}, ${way}: ${cuts} cuts, ${unanswered} before the answer and ${answered} after it; found were ` +
      `${old} old, ${rig.seen.new} new, ${absent} absent, ${gap} between two renames; ` +
      `an install takes ${rig.millis.whole.toFixed(0)} ms, ${rig.millis.swap.toFixed(0)} of them after its staging\n`,
  );
  promisesHeld(ctx, 'd', rig.cuts, rig.broken);
  ctx.expect(unanswered).toBeGreaterThan(cuts / 10);
  ctx.expect(answered).toBeGreaterThan(0);
}

/** Time for a cut on a machine with much else to do. */
export const CUT_MILLIS = 5000;
