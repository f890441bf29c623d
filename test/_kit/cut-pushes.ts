/** Pushes of the real client to the real agent, over a cable that is cut: each must end in one install and one answer. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { Bundle } from '../../client/bundle.ts';
import { openSession } from '../../client/connect.ts';
import { newOperationId, push, type PushOptions } from '../../client/push.ts';
import type { Session } from '../../client/session.ts';
import { Fault } from '../../shared/api/fault.ts';
import type { Installed } from '../../shared/api/plugin.ts';
import { WIRE } from '../../shared/api/rpc.ts';
import { Cable, type Cut, type End, type Passage } from './cable.ts';
import { chanceOf, pick } from './chance.ts';
import { type Program, addressOf } from './program.ts';
import { litterOf, lookAt, untruths } from './truth.ts';
import { until } from './until.ts';
import { versionOf } from './versions.ts';

/** How long the conversation of one push is, and the bundle in it. */
export type Length = { up: number; down: number; size: number };

/** What all clients of an agent are told of installs, by operation id. */
class Witness {
  readonly #told = new Map<string, string[]>();
  readonly session: Session;

  private constructor(session: Session) {
    this.session = session;
    session.onEvent((event) => {
      if (!event.known || event.type !== 'install.complete') return;
      const { operationId, status } = event.data;
      this.#told.set(operationId, [...this.of(operationId), status]);
    });
  }

  static async of(agent: Program): Promise<Witness> {
    const { url, token } = agent;
    return new Witness(await openSession({ url, token, client: 'witness', events: ['install.complete'] }));
  }

  of(operationId: string): string[] {
    return this.#told.get(operationId) ?? [];
  }
}

export type LaneOptions = { files?: number; large?: number };

/** One plugin, of which one version after the other is pushed. */
export class Lane {
  readonly plugin: string;
  readonly #agent: Program;
  readonly #options: LaneOptions;
  #version = 0;

  constructor(agent: Program, plugin: string, options: LaneOptions = {}) {
    this.#agent = agent;
    this.plugin = plugin;
    this.#options = options;
  }

  /** The bundle of the next version. */
  async next(): Promise<Bundle> {
    this.#version += 1;
    const { bundle } = versionOf(this.plugin, this.#version, {
      files: 12,
      large: 2_500_000,
      ...this.#options,
    });
    const file = join(this.#agent.folder, `${this.plugin}.tgz`);
    await writeFile(file, bundle.bytes);
    return { plugin: this.plugin, file, size: bundle.size, sha256: bundle.sha256 };
  }

  /** Connects over a cable, with so little patience that a dead one is noticed soon. */
  opens(cable: Cable): (signal: AbortSignal | undefined) => Promise<Session> {
    const { token } = this.#agent;
    const patience = { timeoutMillis: 4000, deadMillis: 4000 };
    return (signal) => openSession({ url: cable.url, token, client: 'cut', signal, ...patience });
  }

  /** Pushes over a cable, and gives up only after many tries. */
  push(cable: Cable, bundle: Bundle, options: PushOptions): Promise<Installed> {
    const sleep = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, 20));
    return push(this.opens(cable), bundle, { tries: 60, sleep, ...options });
  }

  /** Pushes a version without a cut, as often as is needed to learn how long that is. */
  async measure(): Promise<Length> {
    await this.#whole();
    return this.#whole();
  }

  async #whole(): Promise<Length> {
    const cable = await Cable.lay(addressOf(this.#agent).port);
    const bundle = await this.next();
    await this.push(cable, bundle, { operationId: newOperationId() });
    const [passage] = cable.passages;
    cable.close();
    return { up: passage?.up ?? 0, down: passage?.down ?? 0, size: bundle.size };
  }

  /**
   * Pushes the next version over a cable whose first connection is cut.
   *
   * @returns undefined if it was over before the cut; else what of the promises does not hold, a line each.
   */
  async cut(cut: Cut, length: Length, witness: Witness): Promise<string[] | undefined> {
    const { root } = this.#agent;
    const bundle = await this.next();
    const operationId = newOperationId();
    const acknowledged: number[] = [];
    const cable = await Cable.lay(addressOf(this.#agent).port, {
      cuts: [cut],
      tap: (passage, way, data) => {
        if (way === 'down') {
          acknowledged[cable.passages.indexOf(passage)] = ackIn(data) ?? acknowledged.at(-1) ?? 0;
        }
      },
    });
    /** Where each try goes on. */
    const offsets: { passage: number; at: number }[] = [];
    const broken: string[] = [];
    const before = await lookAt(root, this.plugin);
    const onProgress = ({ sent }: { sent: number }): void => {
      const passage = cable.passages.length - 1;
      if (offsets.at(-1)?.passage !== passage) offsets.push({ passage, at: sent });
    };
    try {
      const answer = await this.push(cable, bundle, { operationId, onProgress });
      const now = await lookAt(root, this.plugin);
      broken.push(...untruths(before, now, { answer }));
      if (answer.status !== 'installed') broken.push(`the answer is "${answer.status}"`);
      const again = await witness.session.call('install.commit', { operationId });
      const later = await this.push(cable, bundle, { operationId });
      for (const other of [again, later]) {
        if (JSON.stringify(other) !== JSON.stringify(answer)) {
          broken.push('asked again, the answer is another');
        }
      }
      await until(() => {
        if (witness.of(operationId).length === 0) throw new Error('no event has told of the install');
      });
      if (witness.of(operationId).join() !== 'installed') {
        broken.push(`events: ${witness.of(operationId).join()}`);
      }
      await this.nothingLeft();
    } catch (error) {
      const code = error instanceof Fault ? `${error.code}: ` : '';
      broken.push(code + (error instanceof Error ? error.message : String(error)));
    }
    const { passages } = cable;
    cable.close();
    broken.push(...tooMuch(passages, offsets, length, bundle.size));
    for (const { passage, at } of offsets.slice(1)) {
      const acked = acknowledged.slice(0, passage).reduce((most, one) => Math.max(most, one ?? 0), 0);
      if (at < acked) broken.push(`goes on at ${at}, and ${acked} bytes were acknowledged`);
    }
    if (passages[0]?.ended !== 'cut') return broken.length > 0 ? broken : undefined;
    const where = `${cut.how} behind ${cut.bytes} bytes ${cut.way} of ${length[cut.way]}`;
    return broken.map((line) => `${where}: ${line}`);
  }

  /** Waits until nothing is left behind of this plugin. */
  async nothingLeft(): Promise<void> {
    await until(() => {
      const left = litterOf(this.#agent.root, this.plugin);
      if (left.length > 0) throw new Error(`${left.join(', ')} is left`);
    });
  }
}

/** The last acknowledged byte in what an agent says; its frames are not masked, so its words can be read. */
function ackIn(data: Buffer): number | undefined {
  const all = [
    ...data.toString('latin1').matchAll(/"method":"window","params":\{"stream":\d+,"offset":(\d+)/g),
  ];
  return all.length === 0 ? undefined : Number(all.at(-1)?.[1]);
}

/** No try sends more than the rest of the bundle, and what a whole conversation says beside it. */
function tooMuch(
  passages: readonly Passage[],
  offsets: readonly { passage: number; at: number }[],
  length: Length,
  size: number,
): string[] {
  const beside = length.up - length.size + WIRE.frameBytes / 64;
  return passages.flatMap(({ up }, n) => {
    const at = offsets.find(({ passage }) => passage === n)?.at ?? size;
    return up > size - at + beside ? [`try ${n} sends ${up} bytes, and only ${size - at} were missing`] : [];
  });
}

/** Cuts by chance that can be had again: in the head, in the frames, at the end of both directions. */
function* cutsBy(seed: string, length: Length, ends: readonly End[]): Generator<Cut, never, undefined> {
  const chance = chanceOf(seed);
  for (let i = 0; ; i += 1) {
    const how = ends[i % ends.length] ?? 'closed';
    const kind = chance();
    if (kind < 0.4) {
      yield { way: 'down', bytes: pick(chance, length.down), how };
    } else if (kind < 0.5) {
      yield { way: 'up', bytes: pick(chance, 1200), how };
    } else if (kind < 0.7) {
      yield { way: 'up', bytes: length.up - pick(chance, 400), how };
    } else {
      yield { way: 'up', bytes: pick(chance, length.up), how };
    }
  }
}

/** How many cuts by which chance, in how many lanes. A dead end takes seconds, until somebody notices it. */
export type Cuts = LaneOptions & { seed: string; count: number; lanes: number; ends: readonly End[] };

/** Cuts pushes in lanes side by side until so many were cut. @returns what broke, and how many were cut in which way. */
export async function cutMany(
  agent: Program,
  { seed, count, lanes, ends, ...options }: Cuts,
): Promise<{ broken: string[]; done: Record<string, number> }> {
  const witness = await Witness.of(agent);
  const made = Array.from({ length: lanes }, (_, i) => new Lane(agent, `cut-${i}`, options));
  const broken: string[] = [];
  const done: Record<string, number> = {};
  let left = count;
  await Promise.all(
    made.map(async (lane, i) => {
      const length = await lane.measure();
      for (const cut of cutsBy(`${seed} ${i}`, length, ends)) {
        left -= 1;
        if (left < 0) return;
        const found = await lane.cut(cut, length, witness);
        if (found === undefined) {
          left += 1;
          continue;
        }
        broken.push(...found);
        const kind = `${cut.way} ${cut.how}`;
        done[kind] = (done[kind] ?? 0) + 1;
      }
    }),
  );
  await witness.session.close();
  return { broken, done };
}
