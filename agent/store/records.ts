/** Reads the records of a plugin: its state and its receipts. */
import { type Receipt, receiptSchema } from '../../shared/format/receipt.ts';
import { NO_STATE, type PluginState, readState } from '../../shared/format/state.ts';
import { readUnsynced, UNSYNCED_MAX_BYTES, type Unsynced } from '../../shared/format/unsynced.ts';
import { readText } from '../disk/record.ts';
import type { StoreContext, ReadContext } from './context.ts';

const RECORD_MAX_BYTES = 64 * 1024 * 1024;

/** The state of a plugin; undefined if there is one that cannot be read. */
export function stateOf({ disk, layout }: ReadContext, name: string): PluginState | undefined {
  const reading = readText(disk, layout.stateOf(name), RECORD_MAX_BYTES);
  if (reading.kind === 'absent') {
    return NO_STATE;
  }
  return reading.kind === 'text' ? readState(reading.text) : undefined;
}

/** The receipt of an install; undefined if there is none that can be read. */
export function receiptOf(
  { disk, layout }: ReadContext,
  name: string,
  installId: string,
): Receipt | undefined {
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

/** What the note of the root says about this boot of the machine. */
export const unsyncedOf = ({ disk, layout, owner }: StoreContext): Unsynced =>
  readUnsynced(readText(disk, layout.unsynced, UNSYNCED_MAX_BYTES), owner.bootId);

/** Whether the root was written without syncs before the machine was restarted. */
export const isUnsyncedElsewhere = (context: StoreContext): boolean => unsyncedOf(context) === 'elsewhere';
