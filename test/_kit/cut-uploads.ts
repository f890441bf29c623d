/** Uploads to the real agent that are cut behind a byte of the conversation, go dead, or stall. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';

import { type Bundle, type Opened, beginOf, push, sendUpTo, sha256Of, takenOf, treeOf } from './bundle.ts';
import { Cable, type End } from './cable.ts';
import { type Versions, treeLive, versionLive } from './on-disk.ts';
import { type Program, addressOf } from './program.ts';
import { file, tar } from './tar-builder.ts';
import { Refusal, Wire } from './wire.ts';

/** A cut: behind how many bytes of what the client sends, and how. `stall`: the connection lives, the client is silent. */
export type Cut = { bytes: number; how: End | 'stall' };
/** Where in the conversation its parts end, in bytes that the client has sent. */
export type Marks = { session: number; begun: number; sent: number; committed: number };

/** Not compressed, so that all are equally long, and so are the conversations. */
function bundleOf(plugin: string, version: string): Bundle {
  const files = tar(
    file('plugin.yaml', `name: ${plugin}\nversion: ${version}\n`),
    file('data/big.txt', version.repeat(30_000)),
    file('hooks/run.sh', `echo ${version}\n`, { mode: 0o755 }),
    file('rules/a.md', `Rule of ${version}\n`),
  );
  const bytes = gzipSync(files, { level: 0 });
  return { bytes, sha256: sha256Of(bytes), size: bytes.length };
}

/** The second is told to who commits what was given up a while ago. */
const GIVEN_UP: ReadonlySet<string> = new Set(['DEADLINE', 'NOT_FOUND']);

/**
 * Installs a bundle, as often as it takes: an agent with so little patience gives up an upload, too, whose client or whose
 * machine had something else to do for a moment.
 */
export async function pushUntilIn(wire: Wire, plugin: string, bundle: Bundle): Promise<void> {
  for (;;) {
    try {
      await push(wire, beginOf(plugin, bundle), bundle);
      return;
    } catch (error) {
      if (!(error instanceof Refusal) || !GIVEN_UP.has(error.data.code)) throw error;
    }
  }
}

/** One plugin of an agent, to which two versions are uploaded in turns. */
export class Target {
  readonly #agent: Program;
  readonly #plugin: string;
  readonly #bundles: readonly Bundle[];
  readonly #versions: Versions;
  #live = 0;
  #count = 0;

  private constructor(agent: Program, plugin: string, bundles: readonly Bundle[], versions: Versions) {
    this.#agent = agent;
    this.#plugin = plugin;
    this.#bundles = bundles;
    this.#versions = versions;
  }

  /** Installs both versions once, the first one last. */
  static async prepare(agent: Program, plugin: string): Promise<Target> {
    const bundles = [bundleOf(plugin, '1.0.0'), bundleOf(plugin, '2.0.0')];
    const versions: Record<string, Versions[string]> = {};
    const wire = await Wire.start(addressOf(agent), { token: agent.token });
    for (const version of [1, 0]) {
      const bundle = bundles[version] as Bundle;
      await pushUntilIn(wire, plugin, bundle);
      versions[version] = await treeLive(agent.root, plugin);
    }
    await wire.vanish();
    return new Target(agent, plugin, bundles, versions);
  }

  /** Uploads once without a cut, to learn how long the conversation is. */
  async measure(): Promise<Marks> {
    const cable = await Cable.lay(addressOf(this.#agent).port);
    const marks = { session: 0, begun: 0, sent: 0, committed: 0 };
    await this.#upload(cable, Infinity, (mark) => {
      marks[mark] = cable.sent;
    });
    cable.close();
    this.#live = 1 - this.#live;
    return marks;
  }

  /**
   * Uploads the version that is not live, and is cut.
   *
   * @param patience until nothing may be left of it, in milliseconds.
   * @returns what of the promises does not hold, a line each.
   */
  async truncate({ bytes, how }: Cut, marks: Marks, patience: number): Promise<string[]> {
    const broken: string[] = [];
    const live = join(this.#agent.root, this.#plugin);
    const before = JSON.stringify(await treeOf(live));
    const isStall = how === 'stall';
    const cable = isStall
      ? await Cable.lay(addressOf(this.#agent).port)
      : await Cable.lay(addressOf(this.#agent).port, { cuts: [{ way: 'up', bytes, how }] });
    const over = this.#upload(cable, isStall ? Math.max(0, bytes - marks.begun) : Infinity).catch(
      () => 'cut',
    );
    // A dead cable tells nobody: neither the client nor the test hears anything of it.
    await Promise.race([over, sleep(how === 'dead' ? 1200 : 20_000)]);
    const end = Date.now() + patience;
    while (this.#staged().length > 0 && Date.now() < end) await sleep(20);
    for (const name of this.#staged()) broken.push(`${name} is left`);
    cable.close();
    await over;
    try {
      const now = await versionLive(this.#agent.root, this.#plugin, this.#versions);
      const mayBeNew = bytes >= marks.committed;
      if (!mayBeNew && JSON.stringify(await treeOf(live)) !== before) broken.push('live was touched');
      this.#live = Number(now);
    } catch (error) {
      broken.push(error instanceof Error ? error.message : String(error));
    }
    return broken.map((line) => `${how} behind ${bytes} of ${marks.committed} bytes: ${line}`);
  }

  #staged(): string[] {
    return readdirSync(join(this.#agent.root, '.staging')).filter((name) =>
      name.startsWith(`${this.#plugin}.`),
    );
  }

  /** @param most so many bytes of the bundle; then the client falls silent until the agent has had enough. */
  async #upload(cable: Cable, most: number, note?: (mark: keyof Marks) => void): Promise<void> {
    this.#count += 1;
    const bundle = this.#bundles[1 - this.#live] as Bundle;
    // Ids of one length, so that every conversation is as long as the one that was measured.
    const operationId = `${this.#plugin}-${String(this.#count).padStart(8, '0')}`;
    const wire = await Wire.start(cable, { token: this.#agent.token });
    note?.('session');
    const open: Opened = await wire.request('install.begin', beginOf(this.#plugin, bundle, { operationId }));
    note?.('begun');
    await sendUpTo(wire, open, bundle.bytes, Math.min(most, bundle.size));
    if (most < bundle.size) {
      await wire.notification('reset');
      throw new Error('The agent has had enough');
    }
    await wire.until(() => takenOf(wire, open) === bundle.size);
    note?.('sent');
    await wire.request('install.commit', { operationId });
    note?.('committed');
    await wire.vanish();
  }
}

/** What the client sends for a frame of the most bytes that it sends at once: its data and two headers. */
const FRAME_BYTES = 60_000 + 16 + 8;

/** Cuts at the edges of everything, and between them evenly up to `count`, the ends in turns. */
export function cutsOf({ session, begun, sent, committed }: Marks, count: number): Cut[] {
  const edges = [session, begun, sent, committed];
  for (let edge = begun + FRAME_BYTES; edge < sent; edge += FRAME_BYTES) edges.push(edge);
  const near = edges.flatMap((edge) => [edge - 1, edge, edge + 1]).filter((bytes) => bytes <= committed);
  const special = [0, 1, ...near, begun + 8, begun + 24, committed];
  const rest = Math.max(0, count - special.length);
  const between = Array.from({ length: rest }, (_, i) => Math.round(((i + 0.37) * committed) / rest));
  return [...special, ...between].map((bytes, i) => ({ bytes, how: i % 2 === 0 ? 'closed' : 'reset' }));
}
