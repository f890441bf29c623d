/** Writes the report of the runtime: which version of a plugin it has loaded. The loader writes nothing else. */
import { randomUUID } from 'node:crypto';
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { Fault } from '../shared/api/fault.ts';
import { type Loaded, loadedDraft, loadedSchema } from '../shared/format/loaded.ts';
import { pluginNameSchema } from '../shared/format/name.ts';
import type { Settings } from './settings.ts';

/** The last time that a Date can represent. */
const TIME_MAX = 8.64e15;

/**
 * Writes `.loaded/<name>.json`. A reader finds the old report or the new one, complete, also after a power cut.
 *
 * @param asked when the plugin was read, at the earliest (milliseconds since the epoch): later edits do not count as
 *   loaded.
 */
export async function writeLoaded(
  settings: Settings,
  name: string,
  generation: string,
  asked: number,
): Promise<void> {
  const [layout] = settings.layouts;
  const directory = layout.loaded;
  if (!(Math.abs(asked) <= TIME_MAX)) {
    throw new Fault('INVALID_PARAMS', `The time ${asked} for "${name}" is not valid`, {
      hint: 'Pass milliseconds since the epoch, as Date.now() returns them',
    });
  }
  const at = new Date(asked).toISOString();
  const record = loadedSchema.safeParse({ version: 1, generation, at } satisfies Loaded);
  if (!pluginNameSchema.safeParse(name).success || !record.success) {
    throw new Fault('INVALID_PARAMS', `The name "${name}" or the generation "${generation}" is not valid`, {
      hint: 'Report the name and the generation of an admitted plugin',
    });
  }
  const temporary = join(directory, loadedDraft(name, randomUUID()));
  try {
    await mkdir(directory, { recursive: true });
    await durably(await open(temporary, 'wx', 0o644), (file) =>
      file.writeFile(`${JSON.stringify(record.data)}\n`),
    );
    await rename(temporary, layout.loadedOf(name));
    await durably(await open(directory, 'r'), async () => undefined);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw new Fault('INTERNAL', `Reporting that "${name}" is loaded failed: ${(error as Error).message}`, {
      cause: error,
      hint: `Let the runtime write to ${directory}, or move it (loadedDir, and AIRLOCK_LOADED_DIR of the agent)`,
    });
  }
}

async function durably(file: FileHandle, write: (file: FileHandle) => Promise<void>): Promise<void> {
  try {
    await write(file);
    await file.sync();
  } finally {
    await file.close();
  }
}
