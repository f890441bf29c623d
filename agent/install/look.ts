/** What lies under a plugin's name, read from one and the same directory, also while a swap goes on beside it. */
import { join } from 'node:path';

import type { FileReading, Found } from '../../shared/admission.ts';
import { intentSchema } from '../../shared/intent.ts';
import { MARKER } from '../../shared/layout.ts';
import { MANIFEST_FILES, MANIFEST_MAX_BYTES } from '../../shared/manifest.ts';
import { MARKER_MAX_BYTES } from '../../shared/marker.ts';
import { parseSlotName } from '../../shared/name.ts';
import { readText } from '../disk/record.ts';
import type { Ground } from './ground.ts';
import { isVolatileElsewhere } from './volatility.ts';

const INTENT_MAX_BYTES = 1024 * 1024;
/** The moment between two renames is short; whoever asks in it waits so many milliseconds at a time, so often. */
const PAUSE_MILLIS = 5;
const TRIES = 100;

/** Looks until what was read belongs together, or for half a second; the last look counts then. */
export function lookSettled(ground: Ground, name: string, disabled: boolean): Found {
  let found = look(ground, name, disabled);
  for (let i = 1; i < TRIES; i += 1) {
    const { before, after, reading } = found;
    const isBetween = reading.entry === 'absent' && isBeingSwapped(ground, name);
    if (before === after && !isBetween) {
      break;
    }
    pause(PAUSE_MILLIS);
    found = look(ground, name, disabled);
  }
  return found.reading;
}

function look(
  ground: Ground,
  name: string,
  disabled: boolean,
): { before: string; after: string; reading: Found } {
  const before = identityOf(ground, name);
  const reading = lookOnce(ground, name, disabled);
  return { before, after: identityOf(ground, name), reading };
}

function identityOf({ disk, layout }: Ground, name: string): string {
  const stat = disk.stat(layout.live(name));
  return stat === undefined ? '' : `${stat.dev} ${stat.ino}`;
}

function lookOnce(ground: Ground, name: string, disabled: boolean): Found {
  const { disk, layout } = ground;
  const live = layout.live(name);
  const nothing: FileReading = { kind: 'absent' };
  const found = { name, marker: nothing, manifest: undefined, disabled, volatile: false };
  const stat = disk.stat(live);
  if (stat === undefined) {
    return { ...found, entry: 'absent' };
  }
  if (stat.kind !== 'directory') {
    return { ...found, entry: stat.kind === 'symlink' ? 'symlink' : 'other' };
  }
  const marker = readText(disk, join(live, MARKER), MARKER_MAX_BYTES);
  const isEmpty = marker.kind === 'text' && marker.text === '';
  const volatile = isEmpty && isVolatileElsewhere(ground);
  for (const file of MANIFEST_FILES) {
    const reading = readText(disk, join(live, file), MANIFEST_MAX_BYTES);
    if (reading.kind !== 'absent') {
      return { ...found, entry: 'directory', marker, volatile, manifest: { file, reading } };
    }
  }
  return { ...found, entry: 'directory', marker, volatile };
}

/** Something was live when an operation began, and its swap leaves the name empty for a moment. */
function isBeingSwapped({ disk, layout }: Ground, name: string): boolean {
  return disk
    .list(layout.staging)
    .filter((entry) => parseSlotName(entry.name.replace(/\.json$/, ''))?.plugin === name)
    .some((entry) => {
      const reading = readText(disk, join(layout.staging, entry.name), INTENT_MAX_BYTES);
      if (reading.kind !== 'text') {
        return false;
      }
      try {
        const { from, path } = intentSchema.parse(JSON.parse(reading.text));
        return from !== null && path !== 'exchange';
      } catch {
        return false;
      }
    });
}

/** Engine threads work synchronously, and wait so too. */
function pause(millis: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, millis);
}
