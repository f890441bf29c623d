/** A real agent that watches, with a plugin that is installed, edited, swapped and removed under its eyes. */
import { rmSync, writeFileSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect } from 'vitest';

import type { Installed, PluginInfo } from '../../shared/api/plugin.ts';
import type { Status } from '../../shared/api/maintenance.ts';
import { type TestAgent, startTestAgent } from './agent.ts';
import { type Bundle, beginOf, pack, push } from './bundle.ts';
import { until } from './until.ts';
import { Wire } from './wire.ts';

export const SKILL = 'skills/one/SKILL.md';
export const HOOK = 'hooks/run.sh';

/** The plugin "lint" with this hook and this skill. */
export const version = (hook: string, skill: string): Promise<Bundle> =>
  pack({
    'plugin.yaml': 'name: lint\nversion: 1.0.0\n',
    [HOOK]: hook,
    [SKILL]: `---\nname: one\ndescription: Does one\n---\n${skill}\n`,
  });

export const put = async (wire: Wire, bundle: Bundle, restart?: boolean): Promise<Installed> =>
  push(wire, beginOf('lint', bundle, restart === undefined ? {} : { restart }), bundle);
export const get = (wire: Wire): Promise<PluginInfo> => wire.request('plugin.get', { plugin: 'lint' });

/** An agent that watches, a client that hears its events, and the plugin "lint", installed. */
export class Place {
  readonly agent: TestAgent;
  readonly wire: Wire;
  #read = 0;

  private constructor(agent: TestAgent, wire: Wire) {
    this.agent = agent;
    this.wire = wire;
  }

  static async open(env: Record<string, string> = {}, root?: string): Promise<Place> {
    const agent = await startTestAgent({ env, ...(root === undefined ? {} : { root }) });
    const wire = await Wire.start(agent);
    const place = new Place(agent, wire);
    await place.until(async () =>
      expect((await place.status()).watch?.mode).toBe(env['AIRLOCK_WATCH'] ?? 'on'),
    );
    return place;
  }

  status = (): Promise<Status> => this.wire.request('status', {});

  until = until;

  async put(hook: string, skill: string, more: Parameters<typeof beginOf>[2] = {}): Promise<Installed> {
    const bundle = await version(hook, skill);
    return push(this.wire, beginOf('lint', bundle, more), bundle);
  }

  at = (path: string): string => join(this.agent.layout.live('lint'), path);
  /** In one go, as all that is done here: the watcher lives in this process, and never sees it half done. */
  write = (path: string, text: string): void => writeFileSync(this.at(path), text);

  remove = (): void => rmSync(this.agent.layout.live('lint'), { recursive: true });

  /** The changes that were told and not asked for yet. */
  changes(): unknown[] {
    const all = this.wire.events.filter(({ type }) => type === 'plugin.changed').map(({ data }) => data);
    const since = all.slice(this.#read);
    this.#read = all.length;
    return since;
  }

  /** The next change; it must be the only one. */
  async next(): Promise<unknown> {
    let seen: unknown[] = [];
    await this.until(() => {
      seen = this.changes();
      expect(seen.length).toBeGreaterThan(0);
    });
    expect(seen).toHaveLength(1);
    return seen[0];
  }

  /** Edits something else, whose event says that all before it were told: one plugin's are told in order. */
  async settled(): Promise<unknown[]> {
    const { layout } = this.agent;
    const isSentinel = (data: unknown): boolean => (data as { plugin: string }).plugin === 'sentinel';
    const seen: unknown[] = [];
    const isTold = (): Promise<void> =>
      this.until(() => {
        const more = this.changes();
        seen.push(...more);
        expect(more.some(isSentinel)).toBe(true);
      });
    // It comes whole and goes whole, so each is one change; each settles for as long as what was before it.
    const aside = join(layout.staging, 'sentinel');
    await mkdir(aside);
    await writeFile(join(aside, 'plugin.yaml'), 'name: sentinel\nversion: 1.0.0\n');
    await writeFile(join(aside, '.complete'), '');
    await rename(aside, layout.live('sentinel'));
    await isTold();
    await rename(layout.live('sentinel'), aside);
    await isTold();
    await rm(aside, { recursive: true });
    return seen.filter((data) => !isSentinel(data));
  }
}
