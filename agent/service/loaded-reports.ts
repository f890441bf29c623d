/** Hears what runtimes report as loaded, as far as the file system tells of it: the reports count without being heard. */
import { type FSWatcher, watch } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import type { EventBody } from '../../shared/api/events.ts';
import { toFault, type Fault } from '../../shared/api/fault.ts';
import { type Loaded, readLoaded } from '../../shared/format/loaded.ts';
import { isPluginName } from '../../shared/format/name.ts';
import { nodeDisk } from '../disk/node-disk.ts';
import { readText } from '../disk/record.ts';
import { LOADED_MAX_BYTES } from '../store/loaded.ts';

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
  // The directory is the runtime's: what lies there may be anything, also endless.
  const read = (entry: string): Loaded | undefined => {
    const reading = readText(nodeDisk, join(directory, entry), LOADED_MAX_BYTES);
    return reading.kind === 'text' ? readLoaded(reading.text) : undefined;
  };
  const look = (entry: string): void => {
    const plugin = entry.replace(/\.json$/, '');
    if (plugin === entry || !isPluginName(plugin)) {
      return;
    }
    const report = read(entry);
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
  let watcher: FSWatcher | undefined;
  try {
    await mkdir(directory, { recursive: true });
    for (const entry of await readdir(directory)) {
      known.set(entry.replace(/\.json$/, ''), read(entry)?.generation ?? '');
    }
    watcher = watch(directory, { persistent: false }, (_, entry) => look(entry ?? ''));
    watcher.on('error', (error) => complain(toFault(error, 'Watching what the runtime has loaded')));
  } catch (error) {
    complain(toFault(error, 'Watching what the runtime has loaded'));
  }
  return { close: () => watcher?.close() };
}
