/** Finds plugins that are mounted by themselves. */
import { readFile, realpath } from 'node:fs/promises';

import { MOUNTS_FILE, mountsBelow } from '../../shared/format/mounts.ts';
import { isPluginName } from '../../shared/format/name.ts';
import { systemErrorOf } from './system-error.ts';

/**
 * The plugins of a root that are mount points, sorted. An install puts another directory in the place of a plugin, and a
 * mount goes on showing the old one. Where the system has no list of mounts, none is found.
 */
export async function mountedPlugins(root: string): Promise<string[]> {
  try {
    const [text, real] = await Promise.all([readFile(MOUNTS_FILE, 'utf8'), realpath(root)]);
    return mountsBelow(text, real).filter(isPluginName).toSorted();
  } catch (error) {
    systemErrorOf(error);
    return [];
  }
}
