/** `.volatile`: the root was written without syncs during the boot of the machine that the file names. */
import * as z from 'zod';

import type { FileReading } from './layout.ts';

/** A larger note was not written by an agent. */
export const UNSYNCED_MAX_BYTES = 4096;

const noteSchema = z.object({ version: z.literal(1), bootId: z.string() });

/** `elsewhere`: the note names another boot, so files may be empty although there is a marker; or the note cannot be read. */
export type Unsynced = 'none' | 'here' | 'elsewhere';

/**
 * Reads the note. @param bootId the id of this boot; '' if the system does not give one, which never equals that of the
 * note.
 */
export function readUnsynced(reading: FileReading, bootId: string): Unsynced {
  if (reading.kind === 'absent') {
    return 'none';
  }
  try {
    const note = noteSchema.parse(JSON.parse(reading.kind === 'text' ? reading.text : ''));
    return bootId !== '' && note.bootId === bootId ? 'here' : 'elsewhere';
  } catch {
    return 'elsewhere';
  }
}

/** The content of the note. */
export const unsyncedNote = (bootId: string): z.infer<typeof noteSchema> => ({ version: 1, bootId });
