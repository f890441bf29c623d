/** Reads which version a directory holds. */
import type { BigIntStats } from 'node:fs';
import { join } from 'node:path';

import { MARKER } from '../shared/format/layout.ts';
import { MARKER_MAX_BYTES, readMarker } from '../shared/format/marker.ts';
import { generationOf } from '../shared/rule/generation.ts';
import { readSmall } from './disk/file.ts';

/**
 * The generation of a directory, as the gate names it. For a directory that is not a plugin, a value that the gate never
 * gives.
 */
export async function readGeneration(path: string, directory: BigIntStats): Promise<string> {
  const { reading, stats } = await readSmall(join(path, MARKER), MARKER_MAX_BYTES);
  if (reading.kind === 'unreadable') {
    return '';
  }
  const marker = reading.kind === 'text' ? readMarker(reading.text) : undefined;
  switch (marker?.kind) {
    case 'full':
      return generationOf(marker.marker.installId, directory, stats?.ctimeNs);
    case 'newer':
      return generationOf(marker.installId, directory, stats?.ctimeNs);
    case 'empty':
    case undefined:
      return generationOf(undefined, directory, stats?.ctimeNs);
    case 'invalid':
      return '';
    default:
      return marker satisfies never;
  }
}
