/** The agent ends while clients push and change plugins, and is started again: each operation ends once, with one answer. */
import { setTimeout as sleep } from 'node:timers/promises';

import { newOperationId, type PushOptions } from '../../client/push.ts';
import type { Session } from '../../client/session.ts';
import { Fault } from '../../shared/api/fault.ts';
import { Cable, type CableOptions, type Passage, type Way } from './cable.ts';
import { chanceOf, pick } from './chance.ts';
import { Lane, type LaneOptions, type Length } from './cut-pushes.ts';
import { type Program, addressOf } from './program.ts';
import { type Said, lookAt, saidBy, untruths } from './truth.ts';

/** An agent that is killed and comes back, behind a cable that leads to wherever it is. */
export class Phoenix {
  readonly agent: Program;
  readonly cable: Cable;
  #watch: ((passage: Passage, way: Way) => void) | undefined;
  /** Resolves when the agent listens again. */
  #back: Promise<void> = Promise.resolve();

  private constructor(agent: Program, cable: Cable) {
    this.agent = agent;
    this.cable = cable;
  }

  static async of(agent: Program, options: CableOptions = {}): Promise<Phoenix> {
    const hear = (passage: Passage, way: Way): void => phoenix.#watch?.(passage, way);
    const cable = await Cable.lay(addressOf(agent).port, {
      ...options,
      tap: (passage, way) => hear(passage, way),
    });
    const phoenix: Phoenix = new Phoenix(agent, cable);
    return phoenix;
  }

  get back(): Promise<void> {
    return this.#back;
  }

  /** Kills it a moment after so many bytes have come through to it over the next connection. */
  killBehind(bytes: number, millis: number): void {
    const next = this.cable.passages.length;
    this.#watch = (passage, way) => {
      const isDue = way === 'up' && passage === this.cable.passages[next] && passage.up >= bytes;
      if (isDue) this.kill(millis);
    };
  }

  /** Kills it after a moment, and starts it again. */
  kill(millis: number): void {
    this.#watch = undefined;
    this.#back = sleep(millis).then(() => this.#again(() => this.agent.kill()));
  }

  /** Ends it in order, and starts it again. */
  stop(): void {
    this.#back = this.#again(() => this.agent.stop());
  }

  /** Nothing was killed, because it was over before. */
  spare(): boolean {
    const isSpared = this.#watch !== undefined;
    this.#watch = undefined;
    return isSpared;
  }

  async #again(end: () => Promise<unknown>): Promise<void> {
    await end();
    this.cable.lead(undefined);
    await this.agent.serve();
    this.cable.lead(addressOf(this.agent).port);
  }
}

const LITTLE: LaneOptions = { files: 12, large: 400_000 };

/** Kills an agent at a moment of a push by chance. @returns what broke, a line each; undefined if it was not hit. */
async function killPush(
  phoenix: Phoenix,
  lane: Lane,
  length: Length,
  chance: () => number,
): Promise<string[] | undefined> {
  const { agent, cable } = phoenix;
  const { plugin } = lane;
  const bundle = await lane.next();
  const operationId = newOperationId();
  const before = await lookAt(agent.root, plugin);
  const isAtCommit = chance() < 0.6;
  // At the commit the moments are what counts: validate, seal, swap, collect.
  phoenix.killBehind(
    isAtCommit ? length.up - 400 : pick(chance, length.up),
    isAtCommit ? pick(chance, 120) : 0,
  );
  let sent = 0;
  const onProgress = (progress: { sent: number }): void => {
    sent = progress.sent;
  };
  const first = await saidBy(lane.push(cable, bundle, { operationId, tries: 0, onProgress }));
  const isSpared = phoenix.spare();
  await phoenix.back;
  const broken: string[] = [];
  if ('fault' in first) {
    const now = await lookAt(agent.root, plugin);
    broken.push(...untruths(before, now, first, sent === bundle.size));
  }
  const answer = await lane.push(cable, bundle, { operationId });
  broken.push(...untruths(before, await lookAt(agent.root, plugin), { answer }));
  if ('answer' in first && JSON.stringify(first.answer) !== JSON.stringify(answer)) {
    broken.push('after the restart the answer is another');
  }
  const later = await lane.push(cable, bundle, { operationId });
  if (JSON.stringify(later) !== JSON.stringify(answer)) broken.push('asked again, the answer is another');
  await lane.nothingLeft();
  return isSpared && broken.length === 0 ? undefined : broken;
}

type Change = 'plugin.rollback' | 'plugin.uninstall' | 'plugin.hold';

/** Kills an agent a moment after it was asked for a change. */
async function killChange(
  phoenix: Phoenix,
  lane: Lane,
  method: Change,
  chance: () => number,
): Promise<string[]> {
  const { agent, cable } = phoenix;
  const { plugin } = lane;
  const params = {
    operationId: newOperationId(),
    plugin,
    ...(method === 'plugin.hold' ? { why: 'later' } : {}),
  };
  const ask = async (during: () => void = () => undefined): Promise<Said> => {
    const session: Session = await lane.opens(cable)(undefined);
    const asked = saidBy(session.call(method, params));
    during();
    const said = await asked;
    await session.close();
    return said;
  };
  const before = await lookAt(agent.root, plugin);
  const first = await ask(() => phoenix.kill(pick(chance, 40)));
  await phoenix.back;
  const again = await ask();
  const now = await lookAt(agent.root, plugin);
  const broken = untruths(before, now, again);
  if ('answer' in first) broken.push(...untruths(before, now, first));
  else if (first.fault.code !== 'UNREACHABLE') broken.push(`it said ${first.fault.code}`);
  // Once, and not there and back again.
  if (method === 'plugin.rollback' && now.replaced !== before.installId) {
    broken.push('it was rolled back twice');
  }
  const third = await ask();
  for (const other of [first, third]) {
    if ('answer' in other && JSON.stringify(other) !== JSON.stringify(again)) {
      broken.push('the answer is another');
    }
  }
  if (method === 'plugin.hold') {
    const session = await lane.opens(cable)(undefined);
    await session.call('plugin.hold', { operationId: newOperationId(), plugin, release: true });
    await session.close();
  }
  return broken.map((line) => `${method}: ${line}`);
}

/** Kills the agent again and again, in turns in the middle of a push and of other changes. */
export async function killMany(
  agent: Program,
  seed: string,
  count: number,
): Promise<{ broken: string[]; done: number }> {
  const chance = chanceOf(seed);
  const phoenix = await Phoenix.of(agent);
  const lane = new Lane(agent, 'phoenix', LITTLE);
  const length = await lane.measure();
  const broken: string[] = [];
  const changes: readonly Change[] = ['plugin.rollback', 'plugin.hold', 'plugin.uninstall'];
  let done = 0;
  try {
    for (let i = 0; done < count; i += 1) {
      const change = i % 3 === 2 ? changes[Math.floor(i / 3) % changes.length] : undefined;
      const found =
        change === undefined
          ? await killPush(phoenix, lane, length, chance)
          : await killChange(phoenix, lane, change, chance);
      if (found === undefined) continue;
      done += 1;
      broken.push(...found.map((line) => `kill ${i}: ${line}`));
    }
  } catch (error) {
    const code = error instanceof Fault ? `${error.code}: ` : '';
    broken.push(`after ${done} kills: ${code}${error instanceof Error ? error.message : String(error)}`);
  } finally {
    phoenix.cable.close();
  }
  return { broken, done };
}

/** Ends an agent in order while many push. @returns what broke, and how many were told that it drains. */
export async function drainBelow(
  agent: Program,
  count: number,
): Promise<{ broken: string[]; drained: number }> {
  const phoenix = await Phoenix.of(agent, { delayMillis: 2, pieceBytes: 32 * 1024 });
  const { cable } = phoenix;
  const lanes = Array.from({ length: count }, (_, i) => new Lane(agent, `drain-${i}`, { files: 6 }));
  const broken: string[] = [];
  let drained = 0;
  let isStopped = false;
  const work = async (lane: Lane, n: number): Promise<void> => {
    const bundle = await lane.next();
    const operationId = newOperationId();
    const before = await lookAt(agent.root, lane.plugin);
    const options: PushOptions = {
      operationId,
      // How long an agent takes to come back depends on the machine.
      sleep: async () => {
        await phoenix.back;
        await sleep(20);
      },
      onReconnect: ({ code }) => {
        if (code === 'DRAINING') drained += 1;
      },
      // Each comes half a bundle after the one before it, so that they are everywhere when the agent ends.
      onProgress: ({ sent, total }) => {
        if (isStopped || n < count / 2 || sent < total / 2) return;
        isStopped = true;
        phoenix.stop();
      },
    };
    const said = await saidBy(lane.push(cable, bundle, options));
    await phoenix.back;
    broken.push(...untruths(before, await lookAt(agent.root, lane.plugin), said));
    if ('fault' in said) broken.push(`${lane.plugin}: ${said.fault.code}: ${said.fault.message}`);
    else if (
      JSON.stringify(await lane.push(cable, bundle, { operationId })) !== JSON.stringify(said.answer)
    ) {
      broken.push(`${lane.plugin}: asked again, the answer is another`);
    }
    await lane.nothingLeft();
  };
  await Promise.all(lanes.map(work));
  cable.close();
  if (!isStopped) broken.push('the agent was never stopped');
  return { broken, drained };
}
