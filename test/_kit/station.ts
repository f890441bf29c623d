/** An agent process on a root of the test's choice, and a client that talks to it. */
import { expect, onTestFinished, vi } from 'vitest';

import type { BeginParams } from '../../shared/api/methods.ts';
import type { Installed } from '../../shared/api/plugin.ts';
import { workIn } from './at-work.ts';
import { type Opened, beginOf, push, sendUpTo } from './bundle.ts';
import { Program } from './program.ts';
import type { Version } from './versions.ts';
import { Refusal, Wire } from './wire.ts';

/** Either the answer, or with what it was refused. */
export type Outcome = { answer: Installed } | { refusal: Refusal['data'] };

export class Station {
  readonly program: Program;
  readonly root: string;
  #wire: Wire | undefined;

  private constructor(program: Program, root: string) {
    this.program = program;
    this.root = root;
  }

  /** Nothing runs yet; what will run ends with the test. */
  static async at(root: string, changes: Partial<Pick<Program, 'program' | 'as'>> = {}): Promise<Station> {
    const program = Object.assign(await Program.open(), changes);
    onTestFinished(() => program.close());
    return new Station(program, root);
  }

  /** Starts an agent, and connects to it. */
  async serve(env: Record<string, string> = {}): Promise<Wire> {
    await this.program.serve({ AIRLOCK_ROOT: this.root, ...env });
    const { hostname: host, port } = new URL(this.program.url);
    this.#wire = await Wire.start({ host, port: Number(port) }, { token: this.program.token });
    return this.#wire;
  }

  /** Installs a version; the agent must run. `during` is called when the upload is open, before its first byte. */
  async install(version: Version, during: () => void = () => undefined): Promise<Outcome> {
    const wire = this.#wire;
    if (wire === undefined) throw new Error('No agent runs');
    const params: BeginParams = beginOf(version.plugin, version.bundle);
    try {
      const begun: Installed | (Opened & { status: 'open' }) = await wire.request('install.begin', params);
      if (begun.status !== 'open') return { answer: begun };
      during();
      await sendUpTo(wire, begun, version.bundle.bytes);
      const { operationId } = params;
      return { answer: await wire.request<Installed>('install.commit', { operationId }) };
    } catch (error) {
      if (error instanceof Refusal) return { refusal: error.data };
      throw error;
    }
  }

  /** Resolves when every operation is over: house-keeping goes on after an answer, and clearing away after a refusal. */
  async settled(timeout = 30_000): Promise<void> {
    await vi.waitFor(() => expect(workIn(this.root)).toEqual([]), { timeout, interval: 20 });
  }

  /** Installs a version that must go in. */
  async put(version: Version): Promise<Installed> {
    const wire = this.#wire;
    if (wire === undefined) throw new Error('No agent runs');
    return push(wire, beginOf(version.plugin, version.bundle), version.bundle);
  }
}

/** Lines about what is not as it should be. */
export class Violations {
  readonly broken: string[] = [];
  tried = 0;

  /** Counts a point, of which nothing may be said. */
  point(where: string, ...wrongs: (string | false | undefined)[]): void {
    this.tried += 1;
    const said = wrongs.filter((wrong) => typeof wrong === 'string');
    if (said.length > 0) this.broken.push(`${where}: ${said.join('; ')}`);
  }
}
