/** All checks of a root, each on its own, so that one that fails or hangs says nothing about the others. */
import { type CheckFound, type RootCheck, wrong } from '../../../shared/api/doctor.ts';
import { diskFault } from '../../disk/disk-fault.ts';
import {
  checkClock,
  checkDurability,
  checkExchange,
  checkKoffi,
  checkNode,
  checkSpace,
  checkSync,
  checkWatches,
  checkWritable,
} from './ability.ts';
import { checkLeftovers, checkLoaded, checkPlugins, checkTroubles } from './content.ts';
import { checkFileSystem, checkMounts, checkOverlay, checkOwner, checkRoot } from './place.ts';
import type { CheckContext } from './room.ts';

type RootChecks = Record<RootCheck, (about: CheckContext, busy: readonly string[]) => CheckFound[]>;

/** The order, and what each is about, is in the table of `shared/api/doctor.ts`. */
const rootChecks: RootChecks = {
  node: checkNode,
  koffi: checkKoffi,
  root: checkRoot,
  owner: checkOwner,
  mounts: checkMounts,
  'file-system': checkFileSystem,
  writable: checkWritable,
  exchange: checkExchange,
  overlay: checkOverlay,
  sync: checkSync,
  durability: checkDurability,
  space: checkSpace,
  clock: checkClock,
  watches: checkWatches,
  loaded: checkLoaded,
  plugins: checkPlugins,
  troubles: checkTroubles,
  leftovers: checkLeftovers,
};

/**
 * Makes a check. Never throws: a disk that fails is a finding.
 *
 * @param busy the plugins that somebody works on at this moment.
 */
export function checkOfRoot(name: RootCheck, about: CheckContext, busy: readonly string[]): CheckFound[] {
  try {
    return rootChecks[name](about, busy);
  } catch (error) {
    const { root } = about.context.layout;
    const { message, hint } = diskFault(error, 'The check');
    return [
      wrong(
        message,
        'What it was to say is not known',
        hint ?? `Look whether the disk of "${root}" works (dmesg), and whether its user may read it`,
      ),
    ];
  }
}
