/** One agent for a file of tests, with an installed version that no refused archive may touch, and a canary outside. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, expect } from 'vitest';

import type { FaultCode, FaultData } from '../../shared/api/fault.ts';
import type { BeginParams } from '../../shared/api/methods.ts';
import type { Installed } from '../../shared/api/plugin.ts';
import { type AgentOptions, type TestAgent, startTestAgent } from './agent.ts';
import { type Opened, beginOf, limitOf, sha256Of, treeOf } from './bundle.ts';
import { yamlOf } from './install-room.ts';
import { file, tar } from './tar-builder.ts';
import { until } from './until.ts';
import { Refusal, Wire } from './wire.ts';

/** What every refusal must name beside what is tested: one violation more. */
export const ALSO = file('also\\bad', 'x');
const ALSO_RULE = 'also\\\\bad 10';
export const MANIFEST = file('plugin.yaml', yamlOf());

/** One numbered case: `build` puts its entries after those that it is given. */
export type Case = {
  n: number;
  what: string;
  code: FaultCode;
  /** All that is named, as `path rule`. */
  rules: string[];
  build: (...before: Buffer[]) => Buffer;
  params?: Partial<BeginParams>;
  /** What it is refused for hides what came before it. */
  hides?: boolean;
};

/** Tests are listed by their numbers. */
export const titled = (cases: Case[]): [title: string, one: Case][] =>
  cases.map((one) => [`${one.n} ${one.what}`, one]);

export const rulesIn = ({ violations = [] }: FaultData): string[] =>
  violations.map(({ path, rule }) => `${path} ${rule}`);

export class Fortress {
  readonly folder = mkdtempSync(join(tmpdir(), 'airlock-test-'));
  readonly root: string;
  agent: TestAgent | undefined;
  #end: () => Promise<void> = async () => undefined;

  constructor(root?: string) {
    this.root = root ?? join(this.folder, 'plugins');
  }

  /** For the file: an agent before its tests, none after them. */
  static forAll(options: AgentOptions = {}): Fortress {
    const fortress = new Fortress();
    beforeAll(() => fortress.open(options));
    afterAll(() => fortress.close());
    return fortress;
  }

  async open(options: AgentOptions = {}): Promise<void> {
    mkdirSync(join(this.folder, 'outside'));
    writeFileSync(join(this.folder, 'outside', 'canary'), 'nobody may touch this');
    const whenDone = (end: () => Promise<void>): void => {
      this.#end = end;
    };
    this.agent = await startTestAgent({ root: this.root, whenDone, ...options });
  }

  async close(): Promise<void> {
    await this.#end();
    rmSync(this.folder, { recursive: true, force: true });
  }

  async wire(): Promise<Wire> {
    if (this.agent === undefined) throw new Error('The agent was not started');
    return Wire.start(this.agent);
  }

  /** Sends a bundle as "lint", and commits it even where the stream was reset. */
  async send(bytes: Buffer, params: Partial<BeginParams> = {}, wire?: Wire): Promise<Installed> {
    const line = wire ?? (await this.wire());
    const bundle = { bytes, sha256: sha256Of(bytes), size: bytes.length };
    const begin = beginOf('lint', bundle, params);
    const open = await line.request<Installed | (Opened & { status: 'open' })>('install.begin', begin);
    if (open.status !== 'open') return open;
    // A small one goes in one frame, also beyond the credit.
    const small = bytes.length < 60_000;
    if (small) line.frame(open.stream, 0, bytes, true);
    for (let at = small ? bytes.length : open.offset; at < bytes.length;) {
      const limit = await line.until(
        () => line.notifications('reset').length > 0 || (limitOf(line, open) > at && limitOf(line, open)),
      );
      if (limit === true) break;
      const next = Math.min(bytes.length, limit, at + 60_000);
      line.frame(open.stream, at, bytes.subarray(at, next), next === bytes.length);
      at = next;
    }
    return line.request('install.commit', { operationId: begin.operationId });
  }

  /** What a bundle is refused with; everything must be as before, and staging empty. */
  async refusal(bytes: Buffer, params: Partial<BeginParams> = {}): Promise<FaultData> {
    if (!readdirSync(this.root).includes('lint')) await this.send(tar(MANIFEST, file('rules/old.md', 'old')));
    const before = await this.quiet();
    const wire = await this.wire();
    const thrown: unknown = await this.send(bytes, params, wire).then(
      () => new Error('It was not refused'),
      (error: unknown) => error,
    );
    wire.socket.terminate();
    if (!(thrown instanceof Refusal)) throw thrown;
    expect(await this.quiet()).toEqual(before);
    return thrown.data;
  }

  /** Checks one case: alone, and with another violation before it. */
  async check({ code, rules, build, params, hides = false }: Case): Promise<void> {
    const alone = await this.refusal(build(), params);
    expect([alone.code, rulesIn(alone)]).toEqual([code, rules]);
    expect(alone.violations?.every(({ what }) => what.length > 3)).not.toBe(false);
    expect(alone.hint).toBeDefined();
    if (!hides) {
      const both = await this.refusal(build(ALSO), params);
      expect(rulesIn(both).toSorted()).toEqual([ALSO_RULE, ...rules].toSorted());
    }
  }

  /** Installs a bundle. @returns the answer, and the files that are live then. */
  async accepted(bytes: Buffer, params: Partial<BeginParams> = {}): Promise<Installed & { live: string[] }> {
    const answer = await this.send(bytes, { force: true, ...params });
    const tree = await treeOf(join(this.root, 'lint'));
    const live = Object.keys(tree).filter(
      (path) => path !== '.complete' && !tree[path]?.endsWith('directory'),
    );
    return { ...answer, live };
  }

  /**
   * The house-keeping after an answer is over: nothing is left in staging but what the test has put there.
   *
   * @returns how everything is then, as {@link look} says it.
   */
  async quiet(own: string[] = []): Promise<Record<string, string>> {
    const left = (): string[] =>
      readdirSync(join(this.root, '.staging')).filter((name) => !own.includes(name));
    await until(() => expect(left()).toEqual([]));
    // Its lock is held until the house-keeping is over, and a record says so.
    const held = (): string[] =>
      readdirSync(join(this.root, '.locks')).filter((name) => /^lint\..*\.(?:flock|record)$/.test(name));
    await until(() => expect(held()).toEqual([]));
    // Old versions are collected after the intent is gone: until two looks are the same.
    for (let before = ''; ;) {
      const now = await this.look().catch(() => undefined);
      const text = JSON.stringify(now ?? '');
      if (now !== undefined && text === before) return now;
      before = text;
      await sleep(30);
    }
  }

  /** The whole tree around the root and in it, but for locks, the history of refusals, and directories that come and go in it. */
  async look(): Promise<Record<string, string>> {
    // What comes and goes may be gone before it is looked at.
    const all = await treeOf(this.folder, ['plugins/.locks', 'plugins/.staging', 'plugins/.history']);
    const own = /^plugins(?:\/(?:\.staging|\.locks|\.history)(?:\/|$)|$)/;
    return Object.fromEntries(Object.entries(all).filter(([path]) => !own.test(path)));
  }
}
