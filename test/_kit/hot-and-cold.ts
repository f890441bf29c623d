/** Versions that differ in a hook, which is cold, or in a skill, which is hot; and what a runtime reports of them. */
import { mkdirSync, writeFileSync } from 'node:fs';

import { getPlugin } from '../../agent/store/inspect.ts';
import type { Installed, PluginInfo } from '../../shared/api/plugin.ts';
import { type Room, bundleOf, deliver } from './install-room.ts';

export const SKILL = 'skills/a/SKILL.md';
const skillOf = (text: string): string => `---\nname: a\ndescription: it is a\n---\n${text}\n`;
/** A version by its hook and its skill: of two with the same hook only a skill differs. */
export const version = (hook: string, skill: string, more = ''): Buffer =>
  bundleOf({
    'hooks/run.sh': hook,
    [SKILL]: skillOf(skill),
    'plugin.yaml': `name: lint\nversion: 1.0.0\n${more}`,
  });

/** The runtime's own report. */
export function report({ layout, clock }: Room, generation: string): void {
  mkdirSync(layout.loaded, { recursive: true });
  const at = new Date(clock.now).toISOString();
  writeFileSync(layout.loadedOf('lint'), JSON.stringify({ version: 1, generation, at }));
}

/** Makes room for another stamp, and moves the clock so that moments differ. */
export async function put(room: Room, bytes: Buffer, restart = true): Promise<Installed> {
  room.clock.now += 10_000;
  return deliver(room, bytes, { restart });
}

export const pendingOf = (room: Room): PluginInfo['pending'] => getPlugin(room.context, 'lint')?.pending;
