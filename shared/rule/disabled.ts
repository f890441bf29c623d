/** Whether the owner has disabled a plugin, by its state file. Agent and loader share the rule. */
import * as z from 'zod';

import type { FileReading } from '../format/layout.ts';

/** A larger state file was not written by an agent. */
export const STATE_MAX_BYTES = 1024 * 1024;

/** Only this is checked in a state file, so one that was written by hand or by a newer agent counts too. */
const disabledSchema = z.looseObject({ disabled: z.literal(true) });

/** `unknown`: the file exists and cannot be read, so it may say that the plugin is disabled. */
export function disablementOf(reading: FileReading): 'enabled' | 'disabled' | 'unknown' {
  if (reading.kind !== 'text') {
    return reading.kind === 'absent' ? 'enabled' : 'unknown';
  }
  try {
    return disabledSchema.safeParse(JSON.parse(reading.text)).success ? 'disabled' : 'enabled';
  } catch {
    return 'unknown';
  }
}
