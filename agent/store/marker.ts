/** Reads the marker of a tree. A failing disk does not count as a missing marker. */
import { join } from 'node:path';

import { Fault } from '../../shared/api/fault.ts';
import type { Intent } from '../../shared/format/intent.ts';
import { MARKER } from '../../shared/format/layout.ts';
import { MARKER_MAX_BYTES, type Marker, type MarkerReading, readMarker } from '../../shared/format/marker.ts';
import { readText } from '../disk/record.ts';
import type { StoreContext } from './context.ts';

/**
 * The marker of a tree; undefined if there is none, or if it is not a file.
 *
 * @throws Fault INTERNAL if the disk does not let it be read: if it counted as missing, a version would be lost.
 */
export function readMarkerAt(
  { disk }: Pick<StoreContext, 'disk'>,
  directory: string,
): MarkerReading | undefined {
  const reading = readText(disk, join(directory, MARKER), MARKER_MAX_BYTES);
  if (reading.kind === 'unreadable' && reading.code !== undefined) {
    throw new Fault('INTERNAL', `The marker in "${directory}" cannot be read: ${reading.why}`, {
      hint: `Check owner and permissions of ${directory}, or move it away`,
    });
  }
  return reading.kind === 'text' ? readMarker(reading.text) : undefined;
}

/** The full marker of a tree; undefined if it has none. Throws as {@link readMarkerAt}. */
export function markerAt(context: Pick<StoreContext, 'disk'>, directory: string): Marker | undefined {
  const reading = readMarkerAt(context, directory);
  return reading?.kind === 'full' ? reading.marker : undefined;
}

/**
 * The installId of a tree, also from a marker of a newer format; undefined if no marker has one. Throws as {@link
 * readMarkerAt}.
 */
export function installIdAt(context: Pick<StoreContext, 'disk'>, directory: string): string | undefined {
  const reading = readMarkerAt(context, directory);
  switch (reading?.kind) {
    case 'full':
      return reading.marker.installId;
    case 'newer':
      return reading.installId;
    case 'empty':
    case 'invalid':
    case undefined:
      return undefined;
    default:
      return reading satisfies never;
  }
}

/** The live version, as {@link versionOfTree} gives it. */
export const liveVersionOf = (context: StoreContext, plugin: string): Intent['from'] =>
  versionOfTree(context, context.layout.live(plugin));

/**
 * The version of a tree, as an intent names it; null if there is no tree.
 *
 * @throws Fault INTERNAL as {@link readMarkerAt}: if the marker counted as missing, the chain of versions would break.
 */
export function versionOfTree(context: StoreContext, tree: string): Intent['from'] {
  const stat = context.disk.stat(tree);
  if (stat === undefined) {
    return null;
  }
  const marker = stat.kind === 'directory' ? readMarkerAt(context, tree) : undefined;
  switch (marker?.kind) {
    case 'full':
      return { installId: marker.marker.installId, kind: 'marked' };
    case 'newer':
      return { installId: marker.installId, kind: 'marked' };
    case 'empty':
      return { installId: null, kind: 'empty-marker' };
    case 'invalid':
    case undefined:
      return { installId: null, kind: 'unmarked' };
    default:
      return marker satisfies never;
  }
}
