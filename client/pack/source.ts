/** Where the files of a bundle are: the directory of a plugin, or what a zip of one was unpacked to. */
import { realpath, stat } from 'node:fs/promises';
import { basename, relative, sep } from 'node:path';

import { Fault } from '../../shared/api/fault.ts';
import { unreadable } from '../../shared/api/unreadable.ts';
import type { FileEntry } from '../../shared/format/tree.ts';
import { isZip, LIMITS, type UnpackedZip, unpackZip } from '../zip/unpack.ts';
import { gitModes } from './git-modes.ts';
import type { Skipped, Walked } from './walk.ts';

/** What decides how a source is read. */
type SourceOptions = { ignore?: readonly string[] | undefined; signal?: AbortSignal | undefined };

export type Source = {
  /** A real path without links. */
  root: string;
  /** The name of a plugin without a manifest. */
  name: string;
  /** Whether it is a directory of the caller, so that what is around it can say something of it. */
  isPlace: boolean;
  /** What was left out before the walk. */
  skipped: readonly Skipped[];
  /** Called for each entry of the walk. @throws Fault CANCELLED; LIMIT_ENTRIES if links make too much of a zip. */
  goesOn(): void;
  /** Adds what the file system does not tell. @throws Fault LIMIT_UNPACKED if links make too much of a zip. */
  known(entries: readonly Walked[]): Promise<readonly Walked[]>;
  dispose(): Promise<void>;
};

/** @throws Fault INVALID_PARAMS for what is neither a directory nor a zip; as `unpackZip`. */
export async function openSource(path: string, options: SourceOptions): Promise<Source> {
  const root = await directoryAt(path);
  const goesOn = (): void => refuseStopped(options.signal);
  if (root !== undefined) {
    return {
      root,
      name: basename(root),
      isPlace: true,
      skipped: [],
      goesOn,
      known: async (entries) => withModes(root, await gitModes(root, options.signal), entries),
      dispose: async () => {},
    };
  }
  if (!(await isZip(path))) {
    throw new Fault('INVALID_PARAMS', `"${path}" is neither a directory nor a zip`, {
      hint: 'Name the directory of a plugin, or a zip of it; unpack any other archive first',
    });
  }
  const unpacked = await unpackZip(path, options.ignore ?? [], goesOn);
  let walked = 0;
  return {
    ...unpacked,
    isPlace: false,
    goesOn: () => {
      goesOn();
      walked += 1;
      if (walked > LIMITS.entries) throw tooMuch('LIMIT_ENTRIES', `has more than ${LIMITS.entries} entries`);
    },
    known: (entries) => knownOf(unpacked, entries),
  };
}

/** @throws Fault CANCELLED if the caller has stopped the work. */
export function refuseStopped(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw stopped();
}

/** The answer to a caller who stops the work. */
export const stopped = (): Fault =>
  new Fault('CANCELLED', 'Packing was stopped', { hint: 'Nothing was written or sent' });

/** The real path of a directory; undefined for a file. @throws Fault NOT_FOUND, INVALID_PARAMS. */
export async function directoryAt(path: string): Promise<string | undefined> {
  try {
    const root = await realpath(path);
    return (await stat(root)).isDirectory() ? root : undefined;
  } catch (error) {
    throw unreadable(`"${path}"`, error, 'Name the directory of a plugin, or a zip of it');
  }
}

/** A few links to directories can stand for any number of files, so the limits of a zip hold for the copies too. */
async function knownOf({ root, modes }: UnpackedZip, entries: readonly Walked[]): Promise<readonly Walked[]> {
  let bytes = 0;
  for (const entry of entries) {
    if (entry.kind === 'file') bytes += (await stat(entry.source)).size;
    if (bytes > LIMITS.unpacked) {
      throw tooMuch('LIMIT_UNPACKED', `unpacks to more than ${LIMITS.unpacked} bytes`);
    }
  }
  return withModes(root, modes, entries);
}

const tooMuch = (code: 'LIMIT_ENTRIES' | 'LIMIT_UNPACKED', what: string): Fault =>
  new Fault(code, `The zip ${what} with copies for its links`, {
    hint: 'Look for links that multiply its files, or leave files out with an .airlockignore',
  });

/** @param modes by the path in the plugin. */
const withModes = (
  root: string,
  modes: ReadonlyMap<string, FileEntry['mode']>,
  entries: readonly Walked[],
): readonly Walked[] =>
  entries.map((entry) =>
    entry.kind === 'file'
      ? { ...entry, mode: modes.get(relative(root, entry.source).split(sep).join('/')) }
      : entry,
  );
