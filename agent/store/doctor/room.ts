/** What every check of a root gets, and the looks at it that several checks share. */
import { join } from 'node:path';

import type { CheckFound } from '../../../shared/api/doctor.ts';
import { attempt } from '../../../shared/attempt.ts';
import { isPluginName } from '../../../shared/format/name.ts';
import { type System, type SystemMount, mountOf, mountsBelow } from '../../disk/system.ts';
import { listAllowed } from '../../disk/record.ts';
import type { Durability, StoreContext } from '../context.ts';

export type CheckContext = { context: StoreContext; system: System; durability: Durability };

/** A check of a root. It changes nothing but files of its own, which it removes. Throws the errors of the disk. */
export type Check = (about: CheckContext) => CheckFound[];

/** The root without links. */
export const realRoot = ({ context, system }: CheckContext): string => system.real(context.layout.root);

/** The mount that holds the root; undefined if that is not known. */
export const rootMount = (about: CheckContext): SystemMount | undefined =>
  mountOf(about.system.mounts(), realRoot(about));

/** What is mounted below the root, by paths relative to it. */
export const mountedBelow = (about: CheckContext): string[] =>
  mountsBelow(about.system.mounts(), realRoot(about));

/** The directories in the root that may be plugins, by name. */
export const liveDirectories = ({ context: { disk, layout } }: CheckContext): string[] =>
  disk
    .list(layout.root)
    .filter(({ name, kind }) => kind === 'directory' && isPluginName(name))
    .map(({ name }) => name)
    .toSorted();

/** The directories of Airlock, by name. Those that nobody has needed yet are not there. */
export const ownDirectories = ({ context: { layout } }: CheckContext): [name: string, path: string][] =>
  (['staging', 'previous', 'receipts', 'state', 'operations', 'boot', 'history', 'locks'] as const).map(
    (part) => [layout[part].slice(layout.root.length + 1), layout[part]],
  );

/** Where files can be tried out: in staging, or in a root that nobody has worked on yet in the root itself. */
export const trialPlace = ({ context: { disk, layout } }: CheckContext): string =>
  disk.stat(layout.staging)?.kind === 'directory' ? layout.staging : layout.root;

/** The kind of file system of the root, in words. */
export const kindOf = (about: CheckContext): string =>
  attempt(() => rootMount(about)?.kind) ?? 'its file system';

/** The names in a directory; none if it is not there or may not be listed. */
export const namesIn = ({ context: { disk } }: CheckContext, path: string): string[] =>
  (listAllowed(disk, path) ?? []).map(({ name }) => name).toSorted();

export const inRoot = ({ context: { layout } }: CheckContext, name: string): string =>
  join(layout.root, name);

/** The hint that several checks end with. */
export const VOLUME = 'Mount one volume of a local file system (ext4, xfs, btrfs) for the whole root';
