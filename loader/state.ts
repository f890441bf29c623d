/** Reads which plugins are disabled. */
import { readdir } from 'node:fs/promises';

import type { Layout } from '../shared/format/layout.ts';
import { STATE_MAX_BYTES, disablementOf } from '../shared/rule/disabled.ts';
import { readSmall } from './disk/file.ts';
import { isMissing, systemErrorOf } from './disk/system-error.ts';

/** Whether a plugin is disabled in a root. */
export type IsDisabled = (name: string, layout: Layout) => Promise<boolean>;

/**
 * Reads `.state/<name>.json`. A file that cannot be read may say that the plugin is disabled, so the plugin counts as
 * disabled.
 */
export const isDisabled: IsDisabled = async (name, layout) => {
  const { reading } = await readSmall(layout.stateOf(name), STATE_MAX_BYTES);
  // Below a root that is not a directory there is no state.
  const isNowhere = reading.kind === 'unreadable' && reading.why.includes('ENOTDIR');
  return !isNowhere && disablementOf(reading) !== 'enabled';
};

/**
 * The same for many plugins. It lists the directory of states once, so a plugin without a state costs no access to the
 * disk.
 */
export async function listDisabled(layouts: readonly Layout[]): Promise<IsDisabled> {
  const listed = new Map(
    await Promise.all(layouts.map(async (layout) => [layout, await stateFiles(layout)] as const)),
  );
  return async (name, layout) => {
    const files = listed.get(layout);
    return (files === undefined || files.has(`${name}.json`)) && (await isDisabled(name, layout));
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
