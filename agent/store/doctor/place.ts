/** Checks of the place: what the root is, whose it is, and what it is mounted of. */
import { note, ok, someOf, warning, wrong } from '../../../shared/api/doctor.ts';
import { errorCode } from '../../../shared/api/fault.ts';
import { isPluginName } from '../../../shared/format/name.ts';
import {
  type Check,
  type CheckContext,
  VOLUME,
  inRoot,
  kindOf,
  liveDirectories,
  mountedBelow,
  ownDirectories,
  realRoot,
  rootMount,
} from './room.ts';

const NOTHING_WORKS = 'Nothing can be installed or loaded from there';
const SET_ROOT =
  'Mount the volume of the plugins there, or set AIRLOCK_ROOT to the directory that holds them';

export const checkRoot: Check = (about) => {
  const { disk, layout } = about.context;
  const { root } = layout;
  const entry = disk.stat(root);
  // The owner may have put the root behind a link.
  const found = entry?.kind === 'symlink' ? behind(about) : entry;
  if (found === undefined) {
    const what = entry === undefined ? `"${root}" is not there` : `"${root}" is a link that leads to nothing`;
    return [wrong(what, NOTHING_WORKS, SET_ROOT)];
  }
  if (found.kind !== 'directory') {
    return [wrong(`"${root}" is not a directory`, NOTHING_WORKS, SET_ROOT)];
  }
  try {
    disk.list(root);
  } catch (error) {
    const code = errorCode(error) ?? String(error);
    return [
      wrong(
        `"${root}" cannot be listed: ${code}`,
        NOTHING_WORKS,
        `Let ${userText(about)} read it: its owner is uid ${found.uid} and its mode ${modeText(found.mode)}`,
      ),
    ];
  }
  const on = `on ${kindOf(about)}`;
  return entry?.kind === 'symlink'
    ? [
        note(
          `"${root}" is a link to "${realRoot(about)}", ${on}`,
          'Whoever changes the link moves the root away from under the agent and the runtime',
          'Name the directory itself in AIRLOCK_ROOT, or change the link only while neither of them runs',
        ),
      ]
    : [ok(`"${root}" is a directory ${on}`)];
};

function behind({ context: { disk, layout } }: CheckContext): ReturnType<typeof disk.stat> {
  try {
    return disk.stat(`${layout.root}/.`);
  } catch (error) {
    if (/^E(?:LOOP|NOTDIR)$/.test(errorCode(error) ?? '')) {
      return undefined;
    }
    throw error;
  }
}

const modeText = (mode: number): string => mode.toString(8).padStart(4, '0');
export const userText = ({ system: { uid } }: CheckContext): string =>
  uid === undefined ? 'this user' : `uid ${uid}`;

const OTHERS_WRITE = 0o002;
const STICKY = 0o1000;

export const checkOwner: Check = (about) => {
  const { context, system } = about;
  const { disk, layout, policy } = context;
  const stat = disk.stat(`${layout.root}/.`);
  if (stat === undefined || system.uid === undefined) {
    return [note('This system has no users that could be compared')];
  }
  const found = [];
  const { uid } = system;
  if (stat.uid === uid) {
    found.push(ok(`The root belongs to uid ${uid}, who asks`));
  } else if (uid === 0) {
    found.push(
      note(
        `The root belongs to uid ${stat.uid}, and uid 0 asks`,
        policy.owner === undefined
          ? 'What uid 0 installs belongs to uid 0, and an agent of another user cannot replace it'
          : `What is installed is given to uid ${policy.owner.uid}, as AIRLOCK_OWNER says`,
        `Run the agent and its commands as uid ${stat.uid}, or set AIRLOCK_OWNER`,
      ),
    );
  } else {
    found.push(
      warning(
        `The root belongs to uid ${stat.uid}, and uid ${uid} asks`,
        'Files of two users in one root keep each from replacing what the other has installed',
        `Run the agent and its commands as uid ${stat.uid}, or as root: chown -R ${uid} "${layout.root}"`,
      ),
    );
  }
  if ((stat.mode & OTHERS_WRITE) !== 0 && (stat.mode & STICKY) === 0) {
    found.push(
      warning(
        `Everybody may write to the root (mode ${modeText(stat.mode)})`,
        'Whoever may write there can put any plugin in place and forge its marker',
        `chmod o-w "${layout.root}"`,
      ),
    );
  }
  const open = [layout.staging, layout.previous].filter((path) => {
    const own = disk.stat(path);
    return own?.kind === 'directory' && (own.mode & 0o077) !== 0;
  });
  if (open.length > 0) {
    found.push(
      warning(
        `Others than their owner may enter ${someOf(open)}`,
        'They can see half-received plugins, and perhaps change them',
        `chmod 0700 ${open.map((path) => `"${path}"`).join(' ')}`,
      ),
    );
  }
  return found;
};

export const checkMounts: Check = (about) => {
  const below = mountedBelow(about);
  const { root } = about.context.layout;
  const isPlugin = (path: string): boolean => isPluginName(path);
  const devices = liveDirectories(about).filter((name) => !below.includes(name) && isForeign(about, name));
  const plugins = [...below.filter(isPlugin), ...devices].toSorted();
  const inside = below.filter((path) => !isPlugin(path) && isPluginName(path.split('/')[0] ?? ''));
  const found = [];
  if (plugins.length > 0) {
    found.push(
      wrong(
        `Mounted by itself below the root: ${someOf(plugins)}`,
        'A mount cannot be swapped: an install fails with EBUSY or EXDEV, and a runtime that mounts only the plugin never sees a new version',
        `Mount "${root}" as a whole, in the agent and in the runtime, instead of ${plugins.map((name) => `"${inRoot(about, name)}"`).join(', ')}`,
      ),
    );
  }
  if (inside.length > 0) {
    found.push(
      warning(
        `Mounted inside a plugin: ${someOf(inside)}`,
        'A swap takes the mount away with the old version, which can then not be removed',
        'Mount it somewhere else, such as below plugin-data, which no install touches',
      ),
    );
  }
  return found.length > 0 ? found : [ok('Nothing is mounted on a plugin or inside one')];
};

function isForeign(about: CheckContext, name: string): boolean {
  const { disk, layout } = about.context;
  const [top, own] = [disk.stat(`${layout.root}/.`), disk.stat(layout.live(name))];
  return top !== undefined && own !== undefined && own.dev !== top.dev;
}

export const checkFileSystem: Check = (about) => {
  const { disk, layout } = about.context;
  const below = mountedBelow(about);
  const own = ownDirectories(about).flatMap(([name, path]) => {
    const stat = disk.stat(path);
    return stat === undefined ? [] : { name, stat };
  });
  const taken = own.filter(({ stat }) => stat.kind !== 'directory').map(({ name }) => name);
  const top = disk.stat(`${layout.root}/.`);
  const foreign = own
    .filter(({ name, stat }) => stat.kind === 'directory' && (below.includes(name) || stat.dev !== top?.dev))
    .map(({ name }) => name);
  const found = [];
  if (taken.length > 0) {
    found.push(
      wrong(
        `Not a directory: ${someOf(taken)}`,
        'These names are reserved for the directories of Airlock, and no agent starts',
        `Move ${taken.map((name) => `"${inRoot(about, name)}"`).join(', ')} away`,
      ),
    );
  }
  if (foreign.length > 0) {
    found.push(
      wrong(
        `On another file system than the root: ${someOf(foreign)}`,
        'A tree cannot be renamed from one file system to another: installs fail with EXDEV',
        `Unmount ${foreign.map((name) => `"${inRoot(about, name)}"`).join(', ')}: one volume holds the root and all below it`,
      ),
    );
  }
  return found.length > 0 ? found : [ok('The root and the directories of Airlock are on one file system')];
};

export const checkOverlay: Check = (about) => {
  const mount = rootMount(about);
  const { disk, layout } = about.context;
  if (mount?.kind !== 'overlay') {
    return [ok('The root is not on an overlay')];
  }
  const found = [
    note(
      'The root is on an overlay, such as the file system of a container',
      'What is installed is gone when the container is replaced, and each file is synced by itself',
      VOLUME,
    ),
  ];
  if (mount.options.some((option) => /^redirect_dir=(?:on|follow)$/.test(option))) {
    return found;
  }
  const born = about.system.bornAt(mount.point);
  // What an image brings is older than the layer over it, and nobody can set the time of a change.
  const lower =
    born === undefined
      ? []
      : liveDirectories(about).filter((name) => (disk.changedAt(layout.live(name)) ?? born) < born);
  if (lower.length > 0) {
    found.push(
      note(
        `In a lower layer of the overlay: ${someOf(lower)}`,
        'It cannot be renamed there, so it is absent or refused for a moment during its next update; recovery closes a gap that a crash leaves',
        'Nothing has to be done: the version after that is in the upper layer and is never absent. A volume for the root avoids it',
      ),
    );
  }
  return found;
};
