/** Whether a root was written without syncs before the machine was restarted. */
import type { Layout } from '../shared/format/layout.ts';
import { UNSYNCED_MAX_BYTES, readUnsynced } from '../shared/format/unsynced.ts';
import { readSmall } from './disk/file.ts';

const BOOT_ID = '/proc/sys/kernel/random/boot_id';
const BOOT_ID_MAX_BYTES = 256;

/** Also true if the note cannot be read, or if the system does not say which boot this is. */
export async function isUnsyncedElsewhere(layout: Layout): Promise<boolean> {
  const note = await readSmall(layout.unsynced, UNSYNCED_MAX_BYTES);
  if (note.reading.kind === 'absent') {
    return false;
  }
  const boot = await readSmall(BOOT_ID, BOOT_ID_MAX_BYTES);
  const bootId = boot.reading.kind === 'text' ? boot.reading.text.trim() : '';
  return readUnsynced(note.reading, bootId) === 'elsewhere';
}
