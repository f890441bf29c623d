/** Which version lies in a directory. */
import type { BigIntStats } from 'node:fs';
import { join } from 'node:path';

import { MARKER } from '../shared/format/layout.ts';
import { MARKER_MAX_BYTES, readMarker } from '../shared/format/marker.ts';
import { generationOf } from '../shared/rule/generation.ts';
import { readSmall } from './probe/file.ts';

/** The generation of a directory, as the gate would name it. Of one that is no plugin, one that the gate never names. */
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
