/** Reads a live plugin from one directory, also while it is swapped. */
import { join } from 'node:path';

import { type FileReading, MARKER } from '../../shared/format/layout.ts';
import type { Found } from '../../shared/rule/admission.ts';
import { isSwapInProgress } from '../../shared/rule/swap-in-progress.ts';
import { INTENT_MAX_BYTES } from '../../shared/format/intent.ts';
import {
  MANIFEST_FILES,
  MANIFEST_MAX_BYTES,
  type ManifestFile,
  isManifest,
} from '../../shared/format/manifest.ts';
import { MARKER_MAX_BYTES } from '../../shared/format/marker.ts';
import { parseSlotName } from '../../shared/format/name.ts';
import { isDenied } from '../disk/disk-fault.ts';
import type { Stat } from '../disk/port.ts';
import { listAllowed, readText } from '../disk/record.ts';
import type { StoreContext } from './context.ts';
import { isUnsyncedElsewhere } from './records.ts';

/** The time between two renames is short. A reader in that moment pauses so many milliseconds, at most so often. */
const PAUSE_MILLIS = 5;
const TRIES = 100;

/** At most so often if this user cannot see whether a swap is in progress. */
const BLIND_TRIES = 20;

/** Reads until the parts belong to one directory, for at most half a second; then the last reading counts. */
export function readLive(context: StoreContext, name: string, disabled: boolean): Found {
  let found = look(context, name, disabled);
  for (let i = 1; i < TRIES; i += 1) {
    const { before, after, reading } = found;
    const isBetween = reading.entry === 'absent' && (isBeingSwapped(context, name) ?? i < BLIND_TRIES);
    if (before === after && !isBetween) {
      break;
    }
    pause(PAUSE_MILLIS);
    found = look(context, name, disabled);
  }
  return found.reading;
}

function look(
  context: StoreContext,
  name: string,
  disabled: boolean,
): { before: string; after: string; reading: Found } {
  const before = identityOf(context, name);
  const reading = lookOnce(context, name, disabled);
  return { before, after: identityOf(context, name), reading };
}

function identityOf(context: StoreContext, name: string): string {
  const stat = statLive(context, name);
  return typeof stat === 'object' ? `${stat.dev} ${stat.ino}` : '';
}

function statLive({ disk, layout }: StoreContext, name: string): Stat | 'denied' | undefined {
  try {
    return disk.stat(layout.live(name));
  } catch (error) {
    if (isDenied(error)) {
      return 'denied';
    }
    throw error;
  }
}

function lookOnce(context: StoreContext, name: string, disabled: boolean): Found {
  const { disk, layout } = context;
  const live = layout.live(name);
  const nothing: FileReading = { kind: 'absent' };
  const found = { name, marker: nothing, manifest: undefined, disabled, unsynced: false };
  const stat = statLive(context, name);
  if (typeof stat !== 'object') {
    return { ...found, entry: stat === 'denied' ? 'unreadable' : 'absent' };
  }
  if (stat.kind !== 'directory') {
    return { ...found, entry: stat.kind === 'symlink' ? 'symlink' : 'other' };
  }
  const marker = readText(disk, join(live, MARKER), MARKER_MAX_BYTES);
  const isEmpty = marker.kind === 'text' && marker.text === '';
  const unsynced = isEmpty && isUnsyncedElsewhere(context);
  return { ...found, entry: 'directory', marker, unsynced, manifest: manifestOf(context, live) };
}

/** The manifest of a tree, the first of those that are there, as it can be read; undefined if there is none. */
export function manifestOf(
  { disk }: Pick<StoreContext, 'disk'>,
  tree: string,
): { file: ManifestFile; reading: FileReading } | undefined {
  for (const file of MANIFEST_FILES) {
    const reading = readText(disk, join(tree, file), MANIFEST_MAX_BYTES);
    if (isManifest(file, reading)) return { file, reading };
  }
  return undefined;
}

/**
 * Whether a version was live when an operation began, so that its swap leaves the name empty for a moment; undefined if
 * this user cannot see that.
 */
function isBeingSwapped({ disk, layout }: StoreContext, name: string): boolean | undefined {
  return listAllowed(disk, layout.staging)
    ?.filter((entry) => parseSlotName(entry.name.replace(/\.json$/, ''))?.plugin === name)
    .some((entry) => {
      const reading = readText(disk, join(layout.staging, entry.name), INTENT_MAX_BYTES);
      return reading.kind === 'text' && isSwapInProgress(reading.text, name);
    });
}

/** Engine threads work synchronously, so they also wait synchronously. */
function pause(millis: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, millis);
}
