/** Verifies the plugin at its live path after the swap: marker, manifest, files, sizes, modes. */
import { join } from 'node:path';

import { Fault } from '../../shared/api/fault.ts';
import { MARKER } from '../../shared/format/layout.ts';
import { MARKER_MAX_BYTES, type Marker, readMarker } from '../../shared/format/marker.ts';
import { type FileEntry, modeOf } from '../../shared/format/tree.ts';
import { readText } from '../disk/record.ts';
import type { StoreContext } from '../store/context.ts';
import { walkCounted } from '../store/tree.ts';

/** @throws Fault SWAP_FAILED if the live tree is not, entry by entry, the sealed one. */
export function verifyLive(context: StoreContext, marker: Marker, files: readonly FileEntry[]): void {
  const { disk, layout } = context;
  const live = layout.live(marker.plugin);
  const reading = readText(disk, join(live, MARKER), MARKER_MAX_BYTES);
  const found = reading.kind === 'text' ? readMarker(reading.text) : undefined;
  if (
    found?.kind !== 'full' ||
    found.marker.installId !== marker.installId ||
    found.marker.tree !== marker.tree
  ) {
    throw wrong(marker, 'its marker is not the one that was written');
  }
  for (const file of files) {
    const stat = disk.stat(`${live}/${file.path}`);
    if (stat === undefined || stat.kind !== 'file') {
      throw wrong(marker, `"${file.path}" is not there`);
    }
    if (stat.size !== file.size) {
      throw wrong(marker, `"${file.path}" has ${stat.size} bytes instead of ${file.size}`);
    }
    if (modeOf(stat.mode) !== file.mode) {
      throw wrong(marker, `"${file.path}" has the mode ${stat.mode.toString(8)} instead of ${file.mode}`);
    }
  }
  // A file that a hook has written since, such as a .pyc, is not part of the tree.
  let count = 0;
  walkCounted(context, live, () => {
    count += 1;
  });
  if (count !== files.length) {
    throw wrong(marker, `it holds ${count} files instead of ${files.length}`);
  }
}

function wrong({ plugin }: Marker, why: string): Fault {
  return new Fault('SWAP_FAILED', `Reading back "${plugin}" at its live path found that ${why}`, {
    hint: 'Look for another process that writes below the root, then install again',
  });
}
