/** `.volatile`: what lies in a root was written without syncs, during the boot of the machine that is named there. */
import * as z from 'zod';

import type { FileReading } from './layout.ts';

/** A note of more bytes than this is none that an agent has written. */
export const UNSYNCED_MAX_BYTES = 4096;

const noteSchema = z.object({ version: z.literal(1), bootId: z.string() });

/** `elsewhere`: the note names another boot, so files may be empty although their marker is there, or it cannot be read. */
export type Unsynced = 'none' | 'here' | 'elsewhere';

/** Reads the note. @param bootId of this boot; '' where the system does not say it, which is never the one of the note. */
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

/** What is written there. */
export const unsyncedNote = (bootId: string): z.infer<typeof noteSchema> => ({ version: 1, bootId });
