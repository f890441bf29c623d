/** Reads which plugins are disabled. */
import { readdir } from 'node:fs/promises';

import type { Layout } from '../shared/format/layout.ts';
import { STATE_MAX_BYTES, disablementOf } from '../shared/rule/disabled.ts';
import { readSmall } from './disk/file.ts';
import { isMissing, systemErrorOf } from './disk/system-error.ts';
import type { Memory } from './memory.ts';

/** Whether a plugin is disabled in a root. The memory knows files that were read before. `now`: milliseconds since the epoch. */
export type IsDisabled = (
  name: string,
  layout: Layout,
  memory: Pick<Memory, 'isEnabled' | 'rememberEnabled'>,
  now: number,
) => Promise<boolean>;

/**
 * Reads `.state/<name>.json`. A file that cannot be read may say that the plugin is disabled, so the plugin counts as
 * disabled.
 */
export const isDisabled: IsDisabled = async (name, layout, memory, now) => {
  const path = layout.stateOf(name);
  if (await memory.isEnabled(path)) {
    return false;
  }
  const { reading, stats } = await readSmall(path, STATE_MAX_BYTES);
  // Below a root that is not a directory there is no state.
  const isNowhere = reading.kind === 'unreadable' && reading.why.includes('ENOTDIR');
  if (isNowhere) {
    return false;
  }
  const isEnabled = disablementOf(reading) === 'enabled';
  if (isEnabled && stats !== undefined) {
    memory.rememberEnabled(path, stats, now);
  }
  return !isEnabled;
};

/**
 * The same for many plugins. It lists the directory of states once, so a plugin without a state costs no access to the
 * disk.
 */
export async function listDisabled(layouts: readonly Layout[]): Promise<IsDisabled> {
  const listed = new Map(
    await Promise.all(layouts.map(async (layout) => [layout, await stateFiles(layout)] as const)),
  );
  return async (name, layout, memory, now) => {
    const files = listed.get(layout);
    return (
      (files === undefined || files.has(`${name}.json`)) && (await isDisabled(name, layout, memory, now))
    );
  };
}

/** Undefined if they cannot be listed: then each is read by its name. */
async function stateFiles(layout: Layout): Promise<Set<string> | undefined> {
  try {
    return new Set(await readdir(layout.state));
  } catch (error) {
    return isMissing(systemErrorOf(error)) ? new Set() : undefined;
  }
}
