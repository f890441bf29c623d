/** Checks of what can be done with the root, tried out with real calls on files of their own. */
import { join } from 'node:path';

import { type CheckFound, note, ok, someOf, warning, wrong } from '../../../shared/api/doctor.ts';
import { type Fault, errorCode } from '../../../shared/api/fault.ts';
import { attempt } from '../../../shared/attempt.ts';
import { diskFault } from '../../disk/disk-fault.ts';
import type { Disk } from '../../disk/port.ts';
import { markerAt } from '../marker.ts';
import { type RootProbe, probeRoot } from '../probe.ts';
import { unsyncedOf } from '../records.ts';
import { userText } from './place.ts';
import {
  type Check,
  type CheckContext,
  VOLUME,
  inRoot,
  kindOf,
  liveDirectories,
  ownDirectories,
  trialPlace,
} from './room.ts';

const INSTALL_KOFFI =
  'Install koffi beside airlock.mjs (npm install koffi), or use the image, which brings it';

/** The oldest Node that Airlock runs on; it is that of `engines`. */
const NODE_OLDEST = [20, 19] as const;

export const checkNode: Check = ({ system: { node } }) => {
  const [major = 0, minor = 0] = node.replace(/^v/, '').split('.').map(Number);
  const isOld = major < NODE_OLDEST[0] || (major === NODE_OLDEST[0] && minor < NODE_OLDEST[1]);
  return isOld
    ? [
        wrong(
          `Node ${node} runs this`,
          `Airlock is tested with ${NODE_OLDEST.join('.')} and newer only`,
          `Run it with Node ${NODE_OLDEST.join('.')} or newer`,
        ),
      ]
    : [ok(`Node ${node}`)];
};

export const checkKoffi: Check = ({ system }) => {
  const why = system.callsMissing();
  if (why === undefined) {
    return [ok('koffi is there, and with it renameat2, syncfs and flock')];
  }
  const follows =
    'A plugin is absent for a moment during an update, files are synced one by one, and locks are records';
  return system.platform === 'linux'
    ? [warning(why, follows, INSTALL_KOFFI)]
    : [note(`The calls of Linux are not there: ${why}`, follows)];
};

/** What the root can do, or why it cannot be tried out. */
function tryOut(about: CheckContext): RootProbe | Fault {
  const { disk, layout } = about.context;
  const probe = (): RootProbe => probeRoot(disk, { ...layout, staging: trialPlace(about) });
  try {
    // An agent that starts at this moment removes temporary files, also those of a probe.
    return attempt(probe) ?? probe();
  } catch (error) {
    return diskFault(error, `Trying out the root "${layout.root}"`);
  }
}

const isFault = (tried: RootProbe | Fault): tried is Fault => tried instanceof Error;

const CANNOT_INSTALL =
  'Nothing can be installed, rolled back or removed; what is live can be loaded. That is right for a runtime, and wrong for an agent';

export const checkWritable: Check = (about) => {
  const tried = tryOut(about);
  if (isFault(tried)) {
    const { code, hint } = tried;
    const words = { READ_ONLY: 'The root is read-only', NO_SPACE: 'The root is full' };
    const what = code === 'READ_ONLY' || code === 'NO_SPACE' ? words[code] : 'The root cannot be written';
    const { root } = about.context.layout;
    return [
      wrong(
        `${what}: ${tried.message}`,
        CANNOT_INSTALL,
        hint ?? `Let ${userText(about)} write to "${root}" and everything below it`,
      ),
    ];
  }
  const { disk } = about.context;
  const closed = ownDirectories(about)
    .filter(([, path]) => disk.stat(path)?.kind === 'directory' && !about.system.mayWrite(path))
    .map(([name]) => name);
  return closed.length === 0
    ? [ok('Files and directories can be made, renamed and removed, and modes are kept')]
    : [
        wrong(
          `${userText(about)} may not write to ${someOf(closed)}`,
          'Changes of plugins fail half-way and are undone',
          `Give ${closed.map((name) => `"${inRoot(about, name)}"`).join(', ')} to the user of the agent, and run all commands as that user`,
        ),
      ];
};

const UNTRIED = 'It cannot be tried out, because the root cannot be written';

export const checkExchange: Check = (about) => {
  const tried = tryOut(about);
  if (isFault(tried)) {
    return [note(UNTRIED)];
  }
  if (tried.exchange) {
    return [ok('Two directories can change places: a plugin is never absent during an update')];
  }
  const { system } = about;
  const isMissing = system.callsMissing() !== undefined;
  const why =
    'A plugin is absent for a moment during an update; a loader waits meanwhile, and recovery closes a gap that a crash leaves';
  if (system.platform !== 'linux') {
    return [note('Directories cannot be exchanged on this system', why)];
  }
  return [
    warning(
      isMissing
        ? 'Directories cannot be exchanged: koffi is not there'
        : `Directories cannot be exchanged on ${kindOf(about)}`,
      why,
      isMissing ? INSTALL_KOFFI : VOLUME,
    ),
  ];
};

export const checkSync: Check = (about) => {
  if (about.durability === 'none') {
    return [note('Nothing is synced, as the setting "durability" says')];
  }
  const tried = tryOut(about);
  if (isFault(tried)) {
    return [note(UNTRIED)];
  }
  return tried.syncAll && about.context.disk.syncAll !== undefined
    ? [ok('One syncfs makes an install durable')]
    : [
        note(
          `Each file is synced by itself, because syncfs is not there or is not trusted on ${kindOf(about)}`,
          'Installs are as safe, and take longer',
          about.system.callsMissing() === undefined ? VOLUME : INSTALL_KOFFI,
        ),
      ];
};

export const checkDurability: Check = ({ context, durability }) => {
  if (durability === 'none') {
    return [
      warning(
        'AIRLOCK_DURABILITY is "none"',
        'A power cut may destroy installs that were acknowledged; after a restart of the machine the gate refuses them',
        'Leave AIRLOCK_DURABILITY out and start the agent again, unless the root is in memory or this is a test',
      ),
    ];
  }
  const unsynced = unsyncedOf(context);
  return unsynced === 'none'
    ? [ok('What is acknowledged is synced')]
    : [
        warning(
          `An agent or a command has written here without syncs${unsynced === 'here' ? '' : ' before the machine was restarted'}`,
          unsynced === 'here'
            ? 'A power cut may destroy what it has installed'
            : 'Files may be empty although there is a marker',
          'Start an agent without AIRLOCK_DURABILITY: it compares every plugin with its receipt, and syncs them',
        ),
      ];
};

const MIB = 1024 * 1024;
/** With less nothing can be done: records, locks and histories need a little. */
const ROOM_LEAST = MIB;
const INODES_LEAST = 64;

const sizeText = (bytes: number): string =>
  bytes < 10 * MIB ? `${Math.floor(bytes / 1024)} KiB` : `${Math.floor(bytes / MIB)} MiB`;

export const checkSpace: Check = ({ context, system }) => {
  const { layout, policy } = context;
  const { free, inodes } = system.space(layout.root);
  const fix = `Free some space on the file system of "${layout.root}", for example with "airlock sweep" and a smaller AIRLOCK_KEEP, or make it larger`;
  const counted = inodes === undefined ? '' : ` and ${inodes} inodes`;
  const found = `${sizeText(free)}${counted} are free`;
  if (free < ROOM_LEAST || (inodes !== undefined && inodes < INODES_LEAST)) {
    return [wrong(`The file system is full: ${found}`, 'Every change is refused with NO_SPACE', fix)];
  }
  const isTight = free < policy.maxUnpacked || (inodes !== undefined && inodes < policy.maxEntries);
  return isTight
    ? [
        warning(
          `${found}, and a bundle may unpack to ${sizeText(policy.maxUnpacked)} and ${policy.maxEntries} entries`,
          'A large plugin is refused with NO_SPACE; what is live stays as it is',
          fix,
        ),
      ]
    : [ok(found)];
};

/** File systems count time coarsely, and some servers a little beside ours. */
const SKEW_MILLIS = 5000;
/** Of a clock that is being set. */
const BEHIND_MILLIS = 60_000;
/** No release of Airlock is older. */
const CLOCK_LEAST = Date.UTC(2026, 0, 1);
const SET_CLOCK = 'Set the clock of this machine (NTP: chronyc tracking, timedatectl)';

export const checkClock: Check = (about) => {
  const now = about.context.now();
  const said = new Date(now).toISOString();
  if (now < CLOCK_LEAST) {
    return [
      wrong(
        `The clock says ${said}, which is before Airlock was made`,
        'Certificates do not count yet, and nothing is removed by its age',
        SET_CLOCK,
      ),
    ];
  }
  const found: CheckFound[] = [];
  const newest = newestMarker(about);
  if (newest !== undefined && now < newest.at - BEHIND_MILLIS) {
    found.push(
      warning(
        `The clock says ${said}, and "${newest.plugin}" was installed at ${new Date(newest.at).toISOString()}`,
        'The clock is wrong now, or was wrong then. No snapshot is removed by its age meanwhile; the order of versions does not depend on clocks',
        SET_CLOCK,
      ),
    );
  }
  const skew = skewOf(about);
  if (skew !== undefined && Math.abs(skew) > SKEW_MILLIS) {
    found.push(
      warning(
        `The file system of the root is ${Math.abs(Math.round(skew / 1000))} s ${skew > 0 ? 'ahead of' : 'behind'} the clock of this machine`,
        'Edits by hand may be taken for older or newer than they are, and old snapshots may go too early or too late',
        'Set the clocks of this machine and of the server of the file system (NTP)',
      ),
    );
  }
  const agrees = skew === undefined ? '' : ', and the file system of the root agrees';
  return found.length > 0 ? found : [ok(`The clock says ${said}${agrees}`)];
};

function newestMarker(about: CheckContext): { plugin: string; at: number } | undefined {
  const { context } = about;
  return liveDirectories(about)
    .flatMap((plugin) => {
      const marker = attempt(() => markerAt(context, context.layout.live(plugin)));
      return marker === undefined ? [] : { plugin, at: Date.parse(marker.installedAt) };
    })
    .toSorted((a, b) => b.at - a.at)[0];
}

let trials = 0;

/** How far (milliseconds) the file system is ahead of the clock; undefined: the root cannot be written. */
function skewOf(about: CheckContext): number | undefined {
  const { disk, now } = about.context;
  trials += 1;
  const path = join(trialPlace(about), `.tmp--${process.pid}-clock-${trials}`);
  try {
    const before = now();
    disk.close(disk.create(path, 0o600));
    const after = now();
    const at = disk.stat(path)?.mtimeMs;
    if (at === undefined) {
      return undefined;
    }
    return at < before ? at - before : Math.max(0, at - after);
  } catch (error) {
    if (errorCode(error) === undefined) {
      throw error;
    }
    return undefined;
  } finally {
    attempt(() => disk.unlink(path));
  }
}

/** Counting more would take too long, and says no more. */
const DIRECTORIES_MOST = 200_000;

export const checkWatches: Check = (about) => {
  const { context, system } = about;
  const limit = system.watchLimit();
  const failed = system.tryWatch(context.layout.root);
  const fix =
    failed === 'EMFILE'
      ? 'Raise fs.inotify.max_user_instances on the host (sysctl), or the limit of open files (ulimit -n), then start the agent again'
      : 'Raise fs.inotify.max_user_watches on the host (sysctl), then start the agent again';
  const why =
    'The agent and the runtime look at every file again and again instead, and see edits by hand later';
  if (failed !== undefined) {
    return [warning(`The system gives no further file watch: ${failed}`, why, fix)];
  }
  const directories = countDirectories(about);
  if (limit !== undefined && directories > limit * 0.8) {
    return [
      warning(
        `The root has ${directories} directories, and a user may have ${limit} file watches in all`,
        why,
        fix,
      ),
    ];
  }
  const of = limit === undefined ? '' : `, and a user may have ${limit}`;
  return [ok(`Directories can be watched: ${directories} are to be${of}`)];
};

/** The root and the directories of its plugins. */
function countDirectories(about: CheckContext): number {
  const { disk, layout } = about.context;
  const below = (path: string): number =>
    (attempt(() => disk.list(path)) ?? ([] as ReturnType<Disk['list']>))
      .filter(({ kind }) => kind === 'directory')
      .reduce((sum, { name }) => (sum > DIRECTORIES_MOST ? sum : sum + below(join(path, name))), 1);
  return liveDirectories(about).reduce(
    (sum, name) => (sum > DIRECTORIES_MOST ? sum : sum + below(layout.live(name))),
    1,
  );
}
