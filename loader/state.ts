/** Which plugins are disabled on purpose. */
import { readdir } from 'node:fs/promises';

import * as z from 'zod';

import type { Layout } from '../shared/format/layout.ts';
import { readSmall } from './probe/file.ts';
import { isAbsence, troubleOf } from './probe/trouble.ts';

const STATE_MAX_BYTES = 1024 * 1024;

/** No more than this is asked of a state file, so that one written by hand or by a newer agent counts, too. */
const disabledSchema = z.looseObject({ disabled: z.literal(true) });

/** Says whether a plugin is disabled in a root. */
export type IsDisabled = (name: string, layout: Layout) => Promise<boolean>;

/** Reads `.state/<name>.json`; one that is there and cannot be read may say that the plugin is disabled: in doubt it is. */
export const isDisabled: IsDisabled = async (name, layout) => {
  const { reading } = await readSmall(layout.stateOf(name), STATE_MAX_BYTES);
  if (reading.kind !== 'text') {
    // Below a root that is no directory there is no state either.
    return reading.kind === 'unreadable' && !reading.why.includes('ENOTDIR');
  }
  try {
    return disabledSchema.safeParse(JSON.parse(reading.text)).success;
  } catch {
    return true;
  }
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
