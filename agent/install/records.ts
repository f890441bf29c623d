/** What is written down of a plugin: its state and its receipts. */
import { type Receipt, receiptSchema } from '../../shared/receipt.ts';
import { NO_STATE, type PluginState, readState } from '../../shared/state.ts';
import { readText } from '../disk/record.ts';
import type { Sight } from './ground.ts';

const RECORD_MAX_BYTES = 64 * 1024 * 1024;

/** What is remembered of a plugin; undefined if something is, and cannot be read. */
export function stateOf({ disk, layout }: Sight, name: string): PluginState | undefined {
  const reading = readText(disk, layout.stateOf(name), RECORD_MAX_BYTES);
  if (reading.kind === 'absent') {
    return NO_STATE;
  }
  return reading.kind === 'text' ? readState(reading.text) : undefined;
}

/** The receipt of an install; undefined if there is none that can be read. */
export function receiptOf({ disk, layout }: Sight, name: string, installId: string): Receipt | undefined {
  const reading = readText(disk, layout.receipt(name, installId), RECORD_MAX_BYTES);
  if (reading.kind !== 'text') {
    return undefined;
  }
  try {
    return receiptSchema.parse(JSON.parse(reading.text));
  } catch {
    return undefined;
  }
}
