/** Whether a root was written without syncs before the machine was restarted. */
import type { Layout } from '../shared/layout.ts';
import { VOLATILE_MAX_BYTES, readVolatile } from '../shared/volatile.ts';
import { readSmall } from './probe/file.ts';

const BOOT_ID = '/proc/sys/kernel/random/boot_id';
const BOOT_ID_MAX_BYTES = 256;

/** In doubt it was: where the note cannot be read, or the system does not say which boot this is. */
export async function isVolatileElsewhere(layout: Layout): Promise<boolean> {
  const note = await readSmall(layout.volatile, VOLATILE_MAX_BYTES);
  if (note.reading.kind === 'absent') {
    return false;
  }
  const boot = await readSmall(BOOT_ID, BOOT_ID_MAX_BYTES);
  const bootId = boot.reading.kind === 'text' ? boot.reading.text.trim() : '';
  return readVolatile(note.reading, bootId) === 'elsewhere';
}
