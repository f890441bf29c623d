/** Hears what runtimes report as loaded, as far as the file system tells of it: the reports count without being heard. */
import { type FSWatcher, watch } from 'node:fs';
import { type FileHandle, mkdir, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import type { EventBody } from '../../shared/api/events.ts';
import { toFault, type Fault } from '../../shared/api/fault.ts';
import { type Loaded, readLoaded } from '../../shared/format/loaded.ts';
import { isPluginName } from '../../shared/format/name.ts';
import { Lanes } from '../../shared/lanes.ts';
import { OPEN_CAUTIOUSLY } from '../../watch/files.ts';
import { LOADED_MAX_BYTES } from '../store/runtime-state.ts';

/** Who stands in the events as the cause. */
const CAUSE = 'runtime';

export type LoadedReports = { close: () => void };

/**
 * Tells `plugin.loaded` when a report names another generation than the one before. What the agent writes itself is told by
 * whoever writes it. Never rejects; where nothing can be heard, that is complained of once.
 *
 * @param reported is called after every report, also of the same generation again.
 */
export async function watchLoadedReports(
  directory: string,
  tell: (event: EventBody) => void,
  complain: (fault: Fault) => void,
  reported: (plugin: string) => void,
): Promise<LoadedReports> {
  const known = new Map<string, string>();
  // Of two looks at one report the later one counts.
  const lanes = new Lanes();
  const look = async (plugin: string): Promise<void> => {
    const report = await readReport(join(directory, `${plugin}.json`));
    reported(plugin);
    const before = known.get(plugin);
    if (report === undefined) {
      known.delete(plugin);
      return;
    }
    known.set(plugin, report.generation);
    if (before === report.generation) {
      return;
    }
    if (report.by === undefined) {
      tell({ type: 'plugin.loaded', data: { plugin, generation: report.generation, cause: CAUSE } });
    }
  };
  const hear = (entry: string): void => {
    const plugin = entry.replace(/\.json$/, '');
    if (plugin !== entry && isPluginName(plugin)) {
      lanes
        .run(plugin, () => look(plugin))
        .catch((error: unknown) => complain(toFault(error, 'Hearing what the runtime has loaded')));
    }
  };
  let watcher: FSWatcher | undefined;
  try {
    await mkdir(directory, { recursive: true });
    for (const entry of await readdir(directory)) {
      known.set(entry.replace(/\.json$/, ''), (await readReport(join(directory, entry)))?.generation ?? '');
    }
    watcher = watch(directory, { persistent: false }, (_, entry) => hear(entry ?? ''));
    watcher.on('error', (error) => complain(toFault(error, 'Watching what the runtime has loaded')));
  } catch (error) {
    complain(toFault(error, 'Watching what the runtime has loaded'));
  }
  return { close: () => watcher?.close() };
}

/** The directory is the runtime's: what lies there may be anything, also endless. Undefined for what is no report. */
async function readReport(path: string): Promise<Loaded | undefined> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, OPEN_CAUTIOUSLY);
    const stats = await file.stat();
    if (!stats.isFile() || stats.size > LOADED_MAX_BYTES) {
      return undefined;
    }
    const { buffer, bytesRead } = await file.read(Buffer.alloc(LOADED_MAX_BYTES), 0, LOADED_MAX_BYTES, 0);
    return readLoaded(buffer.toString('utf8', 0, bytesRead));
  } catch {
    return undefined;
  } finally {
    await file?.close().catch(() => undefined);
  }
}
