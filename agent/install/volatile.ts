/**
 * Where nothing is synced, a note says so and names the boot of the machine. After a restart of the machine files may be
 * empty although their marker is there: then every plugin is compared with its receipt before anything is believed.
 */
import { join } from 'node:path';

import { z } from 'zod';

import { toFault } from '../../shared/fault.ts';
import { MARKER } from '../../shared/layout.ts';
import { isPluginName, parseSlotName } from '../../shared/name.ts';
import { putRecord, readText, removeTree, syncDirectory } from '../disk/record.ts';
import type { Durability, Ground } from './ground.ts';
import { verifyPlugin } from './inspect.ts';
import { noteTrouble } from './notes.ts';
import { isAsInstalled } from './snapshots.ts';
import { syncTree } from './sync-tree.ts';

const noteSchema = z.object({ version: z.literal(1), bootId: z.string() });
const NOTE_MAX_BYTES = 4096;

/** `elsewhere`: the note names another boot, or cannot be read. */
type Note = 'none' | 'here' | 'elsewhere';

function noteOf({ disk, layout, owner }: Ground): Note {
  const reading = readText(disk, layout.volatile, NOTE_MAX_BYTES);
  if (reading.kind === 'absent') {
    return 'none';
  }
  try {
    const { bootId } = noteSchema.parse(JSON.parse(reading.kind === 'text' ? reading.text : ''));
    return bootId !== '' && bootId === owner.bootId ? 'here' : 'elsewhere';
  } catch {
    return 'elsewhere';
  }
}

/** Whether what lies here was written without syncs and the machine has been restarted since. */
export const isVolatileElsewhere = (ground: Ground): boolean => noteOf(ground) === 'elsewhere';

/**
 * Before anything else is done at a start: compares what may have been lost, then notes durably how this agent writes.
 *
 * @param ground with a disk that syncs.
 * @returns the plugins that are not as they were installed; they have lost their marker, so that the gate refuses them.
 * @throws what the disk throws.
 */
export function settleVolatile(ground: Ground, durability: Durability): string[] {
  const note = noteOf(ground);
  const lost = note === 'elsewhere' ? pluginsIn(ground).filter((plugin) => hasLost(ground, plugin)) : [];
  const { disk, layout } = ground;
  if (note === 'elsewhere') {
    doubtSnapshots(ground);
  }
  if (durability === 'none') {
    noteVolatile(ground);
  } else if (note !== 'none') {
    // What was written without syncs is made durable now, so that it can be relied on from here on.
    syncTree(ground, layout.root);
    removeTree(disk, layout.volatile);
    syncDirectory(disk, layout.root);
  }
  return lost;
}

/** A snapshot that is not as it was installed loses its marker: then it comes back only with force. */
function doubtSnapshots(ground: Ground): void {
  const { disk, layout } = ground;
  for (const { name } of disk.list(layout.previous)) {
    const plugin = parseSlotName(name)?.plugin;
    const snapshot = join(layout.previous, name);
    try {
      const marker = join(snapshot, MARKER);
      if (
        plugin !== undefined &&
        disk.stat(marker) !== undefined &&
        !isAsInstalled(ground, plugin, snapshot)
      ) {
        disk.unlink(marker);
        syncDirectory(disk, snapshot);
      }
    } catch (error) {
      ground.complain(toFault(error, `Comparing "${name}" with its receipt`));
    }
  }
}

/** Notes durably that what is written from now on may be lost with this boot of the machine. */
export const noteVolatile = ({ disk, layout, owner }: Ground): void =>
  putRecord(disk, layout.staging, '', layout.volatile, { version: 1, bootId: owner.bootId });

const pluginsIn = ({ disk, layout }: Ground): string[] =>
  disk
    .list(layout.root)
    .filter(({ name, kind }) => kind === 'directory' && isPluginName(name))
    .map(({ name }) => name);

function hasLost(ground: Ground, plugin: string): boolean {
  const { disk, layout } = ground;
  try {
    // Whether it is admitted, too, is another question: one that is disabled may be intact.
    if (
      isAsInstalled(ground, plugin, layout.live(plugin)) ||
      verifyPlugin(ground, plugin).verdict === 'intact'
    ) {
      return false;
    }
    // Without a marker the gate refuses it anyway.
    const marker = join(layout.live(plugin), MARKER);
    if (disk.stat(marker) === undefined) {
      return false;
    }
    disk.unlink(marker);
    syncDirectory(disk, layout.live(plugin));
    noteTrouble(ground, plugin, {
      operationId: 'volatile',
      what: `"${plugin}" is not as it was installed: it was written without syncs, and the machine was restarted`,
      todo: `Install "${plugin}" again`,
      hold: undefined,
    });
    return true;
  } catch (error) {
    ground.complain(toFault(error, `Comparing "${plugin}" with its receipt`));
    return true;
  }
}
