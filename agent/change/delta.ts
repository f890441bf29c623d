/** The part of a delta that the agent has: the list in its first entry, and the files of versions on the own disk. */
import { Fault } from '../../shared/api/fault.ts';
import type { BeginParams } from '../../shared/api/methods.ts';
import {
  DELTA_LIST,
  DELTA_LIST_MAX_BYTES,
  type DeltaList,
  deltaListSchema,
} from '../../shared/format/delta.ts';
import { schemaErrorOf } from '../../shared/schema-error.ts';
import { type DeltaFile, takenFiles } from '../../shared/rule/delta.ts';
import type { TarEntry } from '../archive/tar-header.ts';
import type { FileEntry } from '../../shared/format/tree.ts';
import { attempt, type StoreContext } from '../store/context.ts';
import { installIdAt } from '../store/marker.ts';
import { receiptOf } from '../store/records.ts';
import { sharesData } from '../store/shares.ts';
import { refuseWithoutRoom } from './preflight.ts';

/** What to do about a delta that cannot be made whole. The client of Airlock does so itself. */
const SEND_WHOLE = 'Send the whole bundle, without a delta';

/** @throws Fault INVALID_PARAMS for a delta without a tree; CONFLICT if its base is not there. */
export function refuseDelta(context: StoreContext, { plugin, delta, tree }: BeginParams): void {
  if (delta === undefined) return;
  if (tree === undefined) {
    throw new Fault('INVALID_PARAMS', `The delta of "${plugin}" comes without the tree that it makes`, {
      hint: 'Declare the tree digest: it decides whether the delta was put together right',
    });
  }
  directoryOf(context, plugin, delta.base);
}

/** @throws Fault CONFLICT if the version is neither live nor a snapshot. */
function directoryOf(context: StoreContext, plugin: string, version: string): string {
  const { disk, layout } = context;
  const live = layout.live(plugin);
  if (installIdAt(context, live) === version) return live;
  const stamps = disk.list(layout.previous).map(({ name }) => `${layout.previous}/${name}`);
  const found = stamps.find(
    (directory) =>
      directory.startsWith(`${layout.previous}/${plugin}.`) &&
      !directory.endsWith('.trash') &&
      installIdAt(context, directory) === version,
  );
  if (found === undefined) throw gone(plugin, version);
  return found;
}

const gone = (plugin: string, version: string): Fault =>
  new Fault('CONFLICT', `The version ${version} of "${plugin}" is not here any more`, {
    hint: SEND_WHOLE,
    executed: 'no',
  });

/** A file of a version that is not as it was installed, or not there any more. */
const changedMeanwhile = ({ version, from }: DeltaFile, why: string, cause?: unknown): Fault =>
  new Fault('CONFLICT', `"${from}" of the version ${version} cannot be taken: ${why}`, {
    cause,
    hint: SEND_WHOLE,
    executed: 'no',
  });

/**
 * The delta of one install: collects its list from the archive, and opens the files that it names. The directories of the
 * versions stay open, so a version that another install displaces meanwhile is still read.
 */
export class Delta {
  readonly #context: StoreContext;
  readonly #plugin: string;
  readonly #base: string;
  readonly #open = new Map<string, { fd: number; path: string }>();
  #chunks: Buffer[] = [];
  #files: readonly DeltaFile[] | undefined;
  /** Whether the file system has cloned each file so far. */
  #clones = true;
  #list: 'expected' | 'coming' | 'there' = 'expected';

  /** @param base the installId that the request names. */
  constructor(context: StoreContext, plugin: string, base: string) {
    this.#context = context;
    this.#plugin = plugin;
    this.#base = base;
  }

  /** Whether an entry is the list. It is the first one. @throws Fault INVALID_PARAMS if it is not, or is too long. */
  begins({ path, kind, size }: TarEntry): boolean {
    if (this.#list !== 'expected') return false;
    if (path !== DELTA_LIST || kind !== 'file') {
      throw unreadable(`its first entry is "${path}" instead of "${DELTA_LIST}"`);
    }
    if (size > DELTA_LIST_MAX_BYTES) {
      throw unreadable(`its list has ${size} bytes, more than ${DELTA_LIST_MAX_BYTES}`);
    }
    this.#list = 'coming';
    return true;
  }

  /** Takes bytes of an entry that is no file of the tree: the list, or one that is left out. */
  data(chunk: Buffer): void {
    if (this.#list === 'coming') this.#chunks.push(Buffer.from(chunk));
  }

  /**
   * Such an entry has ended. If it is the list, it is read at once, so that what cannot be taken is known before the other
   * bytes come.
   *
   * @throws Fault INVALID_PARAMS for a list that cannot be read; CONFLICT if a version or file is not there; NO_SPACE if the
   *   copies have no room.
   */
  end(): void {
    if (this.#list !== 'coming') return;
    this.#list = 'there';
    this.#files = this.#taken();
    if (!sharesData(this.#context, this.#context.layout.live(this.#plugin))) {
      const bytes = this.#files.reduce((sum, { size }) => sum + size, 0);
      refuseWithoutRoom(this.#context, bytes, 'The files that the delta takes have');
    }
  }

  /** The files to take. Their paths are not checked. @throws Fault INVALID_PARAMS if there is no list. */
  files(): readonly DeltaFile[] {
    if (this.#files === undefined) throw unreadable('it has no list');
    return this.#files;
  }

  #taken(): DeltaFile[] {
    const list = this.#read();
    if (list.base !== this.#base) {
      throw unreadable(`its list is based on ${list.base}, and the request on ${this.#base}`);
    }
    const taken = takenFiles(list, (version) => receiptOf(this.#context, this.#plugin, version)?.list);
    if (taken.ok) return taken.files;
    const { version, path } = taken;
    if (path === undefined) throw gone(this.#plugin, version);
    throw new Fault('CONFLICT', `The version ${version} of "${this.#plugin}" has no "${path}"`, {
      hint: SEND_WHOLE,
      executed: 'no',
    });
  }

  #read(): DeltaList {
    const text = Buffer.concat(this.#chunks).toString('utf8');
    this.#chunks = [];
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch (error) {
      throw unreadable('its list is not JSON', error);
    }
    const read = deltaListSchema.safeParse(json);
    if (!read.success) throw unreadable(`its list is not valid: ${schemaErrorOf(read.error)}`);
    return read.data;
  }

  /** Opens a file. The caller closes it. @throws Fault CONFLICT if it is not there. */
  open(file: DeltaFile): number {
    const { disk } = this.#context;
    try {
      return disk.open(`${this.#placeOf(file.version)}/${file.from}`);
    } catch (error) {
      throw error instanceof Fault ? error : changedMeanwhile(file, 'it cannot be opened', error);
    }
  }

  #placeOf(version: string): string {
    const known = this.#open.get(version);
    if (known !== undefined) return known.path;
    const { disk } = this.#context;
    const directory = directoryOf(this.#context, this.#plugin, version);
    const fd = disk.open(directory);
    const path = disk.within(fd) ?? directory;
    this.#open.set(version, { fd, path });
    // Another version may have taken its place before it was opened.
    if (installIdAt(this.#context, path) !== version) throw gone(this.#plugin, version);
    return path;
  }

  /** Makes a file with the mode `bits` that shares the data of an open one. @returns false if that is not possible here. */
  clone(fd: number, to: string, bits: number): boolean {
    const { disk } = this.#context;
    if (!this.#clones || disk.clone === undefined) return false;
    const { kind, mode } = disk.statOpen(fd);
    if (kind !== 'file' || (mode & 0o7777) !== bits) return false;
    this.#clones = disk.clone(fd, to);
    return this.#clones;
  }

  /** Reads an open file. @throws Fault CONFLICT if the disk lets it not be read. */
  read(file: DeltaFile, fd: number, into: Buffer): number {
    try {
      return this.#context.disk.read(fd, into);
    } catch (error) {
      throw changedMeanwhile(file, 'it cannot be read', error);
    }
  }

  /** Compares what was written of a file with the receipt. @throws Fault CONFLICT */
  check(file: DeltaFile, written: FileEntry | undefined): void {
    if (written?.sha256 !== file.sha256 || written.size !== file.size) throw edited(file);
  }

  /** A clone has all bytes of its source, also those that were added since the install. @throws Fault CONFLICT */
  checkClone(file: DeltaFile, fd: number): void {
    if (this.#context.disk.statOpen(fd).size !== file.size) throw edited(file);
  }

  /** Closes the versions. Never throws. */
  close(): void {
    const { disk } = this.#context;
    for (const [version, { fd }] of this.#open) {
      this.#open.delete(version);
      // They were only read.
      attempt(this.#context, `Closing the version ${version}`, () => disk.close(fd));
    }
  }
}

const edited = (file: DeltaFile): Fault => changedMeanwhile(file, 'it was edited in place');

const unreadable = (why: string, cause?: unknown): Fault =>
  new Fault('INVALID_PARAMS', `The delta cannot be used: ${why}`, {
    cause,
    hint: SEND_WHOLE,
    executed: 'no',
  });
