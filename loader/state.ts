/** Which plugins are disabled on purpose. */
import { readdir } from 'node:fs/promises';

import type { Layout } from '../shared/format/layout.ts';
import { STATE_MAX_BYTES, disablementOf } from '../shared/rule/disabled.ts';
import { readSmall } from './probe/file.ts';
import { isAbsence, troubleOf } from './probe/trouble.ts';

/** Says whether a plugin is disabled in a root. */
export type IsDisabled = (name: string, layout: Layout) => Promise<boolean>;

/** Reads `.state/<name>.json`; one that is there and cannot be read may say that the plugin is disabled: in doubt it is. */
export const isDisabled: IsDisabled = async (name, layout) => {
  const { reading } = await readSmall(layout.stateOf(name), STATE_MAX_BYTES);
  // Below a root that is no directory there is no state either.
  const isNowhere = reading.kind === 'unreadable' && reading.why.includes('ENOTDIR');
  return !isNowhere && disablementOf(reading) !== 'enabled';
};

/** The same for many plugins: lists the state once, so that a plugin without any costs no look at the disk. */
export async function listDisabled(layouts: readonly Layout[]): Promise<IsDisabled> {
  const listed = new Map(
    await Promise.all(layouts.map(async (layout) => [layout, await stateFiles(layout)] as const)),
  );
  return async (name, layout) => {
    const files = listed.get(layout);
    return (files === undefined || files.has(`${name}.json`)) && (await isDisabled(name, layout));
  };
}

/** Undefined where they cannot be listed: each has to be asked for by its name then. */
async function stateFiles(layout: Layout): Promise<Set<string> | undefined> {
  try {
    return new Set(await readdir(layout.state));
  } catch (error) {
    return isAbsence(troubleOf(error)) ? new Set() : undefined;
  }
}
