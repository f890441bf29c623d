/** Which version lies in a directory. */
import type { BigIntStats } from 'node:fs';
import { join } from 'node:path';

import { MARKER } from '../shared/format/layout.ts';
import { MARKER_MAX_BYTES, readMarker } from '../shared/format/marker.ts';
import { readSmall } from './probe/file.ts';

/**
 * The installId, or, of a version without one, the directory's identity and a time: the marker's where there is one,
 * for the directory's own changes with a `__pycache__`, too.
 */
export const generationOf = (
  installId: string | undefined,
  { dev, ino, ctimeNs }: BigIntStats,
  marker: BigIntStats | undefined,
): string => installId ?? `dir-${dev}-${ino}-${marker?.ctimeNs ?? ctimeNs}`;

/** The generation of a directory, as the gate would name it. Of one that is no plugin, one that the gate never names. */
export async function readGeneration(path: string, directory: BigIntStats): Promise<string> {
  const { reading, stats } = await readSmall(join(path, MARKER), MARKER_MAX_BYTES);
  if (reading.kind === 'unreadable') {
    return '';
  }
  const marker = reading.kind === 'text' ? readMarker(reading.text) : undefined;
  switch (marker?.kind) {
    case 'full':
      return generationOf(marker.marker.installId, directory, stats);
    case 'newer':
      return generationOf(marker.installId, directory, stats);
    case 'empty':
    case undefined:
      return generationOf(undefined, directory, stats);
    case 'invalid':
      return '';
    default:
      return marker satisfies never;
  }
}
