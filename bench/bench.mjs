// One run: where it works, what it has seen, and what it leaves behind, which is nothing.
import { access, mkdtemp, readdir, rm, statfs } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { openBundle } from '../dist/client.mjs';
import { Undo } from '../test/image/command.mjs';
import { UsageError } from './options.mjs';
import { row } from './table.mjs';

/** What Linux calls a file system by number. */
const FILE_SYSTEMS = new Map([
  [0xef53, 'ext4'],
  [0x01021994, 'tmpfs'],
  [0x58465342, 'xfs'],
  [0x9123683e, 'btrfs'],
  [0x794c7630, 'overlay'],
]);

const fileSystemOf = async (folder) => FILE_SYSTEMS.get((await statfs(folder)).type) ?? 'unknown';

const isThere = (file) =>
  access(file).then(
    () => true,
    () => false,
  );

/** Real packages beside the repository, where there are any. */
async function packagesBeside() {
  const folder = fileURLToPath(new URL('../../shared/plugins', import.meta.url));
  const names = await readdir(folder).catch(() => []);
  return names.filter((name) => name.endsWith('.tgz')).map((name) => path.join(folder, name));
}

async function openBundles(files) {
  try {
    return await Promise.all(files.map((file) => openBundle(file)));
  } catch (error) {
    throw new UsageError(error.message, { cause: error });
  }
}

/** @param options what {@link import('./options.mjs').readOptions} returns */
export async function createBench(options) {
  const rows = [];
  const undo = new Undo();
  undo.onSignals();
  const say = (line) => console.log(line);
  const leaveOut = (what, why) => say(`Left out: ${what}: ${why}`);
  if (!(await isThere(options.disk))) {
    throw new UsageError(`--disk is "${options.disk}", and there is no such directory`);
  }
  const places = [];
  for (const name of options.places) {
    const parent = name === 'disk' ? options.disk : '/dev/shm';
    if (await isThere(parent)) places.push({ name, parent, kind: await fileSystemOf(parent) });
    else leaveOut(name, `there is no ${parent} here`);
  }
  return {
    options,
    rows,
    say,
    leaveOut,
    undo,
    places,
    bundles: await openBundles(options.bundles.length > 0 ? options.bundles : await packagesBeside()),
    add: (figures) => rows.push(row(figures)),
    machine: {
      cores: os.availableParallelism(),
      node: process.version,
      kernel: `${os.type()} ${os.release().split('-')[0]}`,
      /** How many processes wanted a core as the run began: where it is more than the cores, all figures scatter. */
      load: os.loadavg()[0],
      places: Object.fromEntries(places.map(({ name, kind }) => [name, kind])),
    },
    /** The places with so many bytes of room; the others are left out with a reason. */
    roomy: (bytes) => roomyPlaces(places, bytes, leaveOut),
    /** Works in a new folder, which goes at the end: removing slows down who comes next on ext4. */
    inFolder: async (parent, work) => {
      const folder = await mkdtemp(path.join(parent, 'airlock-bench-'));
      undo.add(`remove ${folder}`, () => rm(folder, { recursive: true, force: true }));
      await work(folder);
      if ((await fileSystemOf(parent)) === 'tmpfs') await rm(folder, { recursive: true, force: true });
    },
  };
}

async function roomyPlaces(places, bytes, leaveOut) {
  const roomy = [];
  for (const place of places) {
    const { bavail, bsize } = await statfs(place.parent);
    const room = bavail * bsize;
    if (room > bytes) {
      roomy.push(place);
      continue;
    }
    const hint = 'lower --files or --rounds';
    leaveOut(place.name, `it has ${inGb(room)} of room and needs ${inGb(bytes)}; ${hint}`);
  }
  return roomy;
}

const inGb = (bytes) => `${(bytes / 1e9).toFixed(1)} GB`;
