/** Tests with real calls whether a root is suitable, because what a file system says about itself is not enough. */
import { join } from 'node:path';

import { Fault, errorCode } from '../../shared/api/fault.ts';
import { attempt } from '../../shared/attempt.ts';
import type { Layout } from '../../shared/format/layout.ts';
import { diskFault } from '../disk/disk-fault.ts';
import type { Disk } from '../disk/port.ts';
import { removeTree } from '../disk/record.ts';

/** What a root can do beyond what it must. */
export type RootProbe = {
  /** Two directories can be exchanged, so that a plugin is never absent during an update. */
  exchange: boolean;
  /** One call makes everything durable. */
  syncAll: boolean;
};

let counter = 0;

/**
 * Tests in the staging directory what Airlock needs (exclusive creation, modes, the rename of a directory that is not
 * empty) and what it would like to have.
 *
 * @throws Fault INTERNAL if the root is not suitable, READ_ONLY, NO_SPACE
 */
export function probeRoot(disk: Disk, layout: Layout): RootProbe {
  counter += 1;
  // The name of a temporary file, so that the files of a crashed test are removed.
  const base = join(layout.staging, `.tmp--${process.pid}-probe-${counter}`);
  try {
    disk.mkdir(base, 0o700);
    const [one, two] = ['one', 'two'].map((name) => join(base, name)) as [string, string];
    makeTree(disk, one);
    mustRefuse(disk, one);
    mustKeepModes(disk, join(one, 'file'));
    disk.rename(one, two);
    if (disk.stat(join(two, 'file')) === undefined || disk.stat(one) !== undefined) {
      throw unusable('renaming a directory does not move its content');
    }
    makeTree(disk, one);
    return { exchange: canExchange(disk, one, two), syncAll: disk.canSyncAll(layout.staging) };
  } catch (error) {
    throw diskFault(error, `Trying out the root "${layout.root}"`);
  } finally {
    // A file that stays has the name of a temporary file, and is removed later.
    attempt(() => removeTree(disk, base));
  }
}

function makeTree(disk: Disk, path: string): void {
  disk.mkdir(path, 0o755);
  disk.close(disk.create(join(path, 'file'), 0o755));
}

function mustRefuse(disk: Disk, path: string): void {
  try {
    disk.mkdir(path, 0o755);
  } catch (error) {
    if (errorCode(error) === 'EEXIST') {
      return;
    }
    throw error;
  }
  throw unusable('a directory can be made twice');
}

function mustKeepModes(disk: Disk, path: string): void {
  const plain = `${path}.plain`;
  disk.close(disk.create(plain, 0o644));
  const executable = ((disk.stat(path)?.mode ?? 0) & 0o100) !== 0;
  const other = ((disk.stat(plain)?.mode ?? 0o100) & 0o100) === 0;
  disk.unlink(plain);
  if (!executable || !other) {
    throw unusable('the modes of files are not kept');
  }
}

function canExchange(disk: Disk, a: string, b: string): boolean {
  const before = disk.stat(a)?.ino;
  try {
    disk.exchange?.(a, b);
  } catch {
    return false;
  }
  return disk.exchange !== undefined && disk.stat(b)?.ino === before;
}

const unusable = (why: string): Fault =>
  new Fault('INTERNAL', `The root is not suitable: ${why} on its file system`, {
    hint: 'Put the root on a local file system of Linux or macOS, such as ext4, xfs, btrfs, tmpfs or APFS',
  });
