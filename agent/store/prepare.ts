/** Prepares the root before the first install: makes the directories that Airlock keeps beside the plugins. */
import { dirname } from 'node:path';

import { Fault, errorCode } from '../../shared/api/fault.ts';
import type { Layout } from '../../shared/format/layout.ts';
import { diskFault } from '../disk/disk-fault.ts';
import type { Disk } from '../disk/port.ts';
import { syncDirectory } from '../disk/record.ts';

/**
 * Makes the missing directories. Only the agent may read staging and snapshots; the others may be read by all.
 *
 * @throws Fault READ_ONLY, NO_SPACE, INTERNAL if the root cannot be used.
 */
export function prepareRoot(disk: Disk, layout: Layout): void {
  try {
    makeAll(disk, layout.root);
    const closed = [layout.staging, layout.previous].map((path) => makeDirectory(disk, path, 0o700));
    const readable = [layout.receipts, layout.state, layout.operations, layout.boot, layout.locks];
    const open = readable.map((path) => makeDirectory(disk, path, 0o755));
    if ([...closed, ...open].some(Boolean)) {
      syncDirectory(disk, layout.root);
    }
  } catch (error) {
    const fault = diskFault(error, `Preparing the root "${layout.root}"`);
    throw new Fault(fault.code, fault.message, {
      cause: error,
      hint: fault.hint ?? 'Set AIRLOCK_ROOT to a directory that the agent can write to',
    });
  }
}

/** Makes a directory if it is missing. @returns whether it was. Throws the errors of the disk. */
export function makeDirectory(disk: Disk, path: string, mode: number): boolean {
  const stat = disk.stat(path);
  if (stat !== undefined && stat.kind !== 'directory') {
    throw new Fault('INTERNAL', `"${path}" is not a directory`, {
      hint: 'Move it away: the name is reserved for Airlock',
    });
  }
  if (stat === undefined) {
    makeOne(disk, path, mode);
  }
  return stat === undefined;
}

/** Another process may prepare the same root at this moment. */
function makeOne(disk: Disk, path: string, mode: number): void {
  try {
    disk.mkdir(path, mode);
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') {
      throw error;
    }
  }
}

function makeAll(disk: Disk, path: string): void {
  const stat = disk.stat(path);
  if (stat?.kind === 'directory' || (stat?.kind === 'symlink' && isDirectoryBehind(disk, path))) {
    return;
  }
  if (stat !== undefined) {
    throw new Fault('INTERNAL', `"${path}" is not a directory`);
  }
  makeAll(disk, dirname(path));
  makeOne(disk, path, 0o755);
  // Nothing below a root is durable if the root itself is not.
  syncDirectory(disk, dirname(path));
}

/** The owner may have put the root, or a directory above it, behind a link. Below the root no link is followed. */
function isDirectoryBehind(disk: Disk, path: string): boolean {
  return disk.stat(`${path}/.`)?.kind === 'directory';
}
