/** Reads an installed version as a bundle, piece by piece. The same tree gives the same bytes. */
import { createHash } from 'node:crypto';

import { Fault, errorCode } from '../../shared/api/fault.ts';
import type { ExportParams, Result } from '../../shared/api/methods.ts';
import { Gzip } from '../../shared/archive/gzip.ts';
import { END_OF_ARCHIVE, entriesOf, headerOf, padding } from '../../shared/archive/ustar.ts';
import type { Marker } from '../../shared/format/marker.ts';
import { differenceText, type FileEntry, modeOf, treeDigest } from '../../shared/format/tree.ts';
import { diskFault } from '../disk/disk-fault.ts';
import { attempt, type StoreContext } from './context.ts';
import { driftOf } from './drift.ts';
import { installIdAt, markerAt } from './marker.ts';
import { manifestOf } from './read-live.ts';
import { readManifest } from '../../shared/format/manifest.ts';
import { receiptOf } from './records.ts';
import { snapshotsOf } from './snapshots.ts';
import { hashTree } from './tree.ts';

/** A piece of a bundle, and whether it is the last one. */
export type Piece = {
  /** They have their memory for themselves, so that it can be given to another thread. */
  bytes: Uint8Array<ArrayBuffer>;
  isLast: boolean;
};

/** A piece has about so many bytes. */
const PIECE_BYTES = 256 * 1024;
const READ_BYTES = 256 * 1024;
/** A file of at most so many bytes is checked before the first of them is sent. A larger one is checked while it is sent. */
const CHECKED_FIRST_BYTES = 1024 * 1024;

function joined(parts: readonly Buffer[], size: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** A version that is replaced while it is opened is opened again, at most so often. */
const OPEN_TRIES = 20;

/**
 * A version that is being exported. Its directory stays open, so all files are of one generation, also while an update
 * swaps it. Each file is compared with the receipt while it is read.
 */
export class Export {
  readonly answer: Omit<Result<'plugin.export'>, 'stream'>;
  readonly #context: StoreContext;
  readonly #pieces: Generator<Buffer, void, undefined>;
  #fd: number | undefined;

  private constructor(
    context: StoreContext,
    fd: number,
    base: string,
    answer: Export['answer'],
    files: readonly FileEntry[],
  ) {
    this.#context = context;
    this.#fd = fd;
    this.answer = answer;
    this.#pieces = packed(blocksOf(context, answer.plugin, base, files));
  }

  /**
   * Opens the live version, or the named one, which may be a snapshot.
   *
   * @throws Fault NOT_FOUND; CONFLICT if its files were edited in place, or nobody knows what they were, unless the export
   *   of what is there is asked for.
   */
  static open(context: StoreContext, params: ExportParams): Export {
    const { plugin } = params;
    for (let tries = OPEN_TRIES; ; tries -= 1) {
      const directory = placeOf(context, params);
      const before = identityOf(context, directory);
      try {
        return Export.#openAt(context, params, directory);
      } catch (error) {
        // Another version may have taken its place before it was opened.
        const isSame = identityOf(context, directory) === before;
        if (tries === 1 || isSame) throw goneOr(error, plugin, `Exporting "${plugin}"`);
      }
    }
  }

  static #openAt(context: StoreContext, params: ExportParams, directory: string): Export {
    const { plugin } = params;
    const fd = context.disk.open(directory);
    try {
      if (context.disk.statOpen(fd).kind !== 'directory') {
        throw new Fault('CONFLICT', `"${plugin}" is not a directory`, {
          hint: `See "airlock list" for what to do about "${plugin}"`,
        });
      }
      const base = context.disk.within(fd) ?? directory;
      const marker = markerAt(context, base);
      const files =
        params.drifted === true ? filesIn(context, plugin, base) : installedIn(context, plugin, base, marker);
      const answer = {
        plugin,
        pluginVersion: versionOf(context, base) ?? marker?.pluginVersion ?? '0.0.0',
        installId: marker?.installId ?? null,
        tree: treeDigest(files),
        files: files.length,
        bytes: files.reduce((sum, { size }) => sum + size, 0),
      };
      return new Export(context, fd, base, answer, files);
    } catch (error) {
      attempt(context, `Closing "${directory}"`, () => context.disk.close(fd));
      throw error;
    }
  }

  /**
   * The next piece.
   *
   * @throws Fault DIGEST_MISMATCH for a file that is not as it was installed; CONFLICT if the version was removed
   *   meanwhile; INTERNAL.
   */
  next(): Piece {
    const parts: Buffer[] = [];
    let bytes = 0;
    try {
      while (bytes < PIECE_BYTES) {
        const { value, done } = this.#pieces.next();
        if (done === true) {
          this.close();
          return { bytes: joined(parts, bytes), isLast: true };
        }
        parts.push(value);
        bytes += value.length;
      }
      return { bytes: joined(parts, bytes), isLast: false };
    } catch (error) {
      const { plugin } = this.answer;
      throw goneOr(error, plugin, `Exporting "${plugin}"`);
    }
  }

  /** Frees what is open. It may be called more than once. */
  close(): void {
    const fd = this.#fd;
    this.#fd = undefined;
    if (fd !== undefined) {
      attempt(this.#context, 'Ending the export', () => this.#pieces.return());
      attempt(this.#context, 'Closing the exported version', () => this.#context.disk.close(fd));
    }
  }
}

const identityOf = ({ disk }: StoreContext, directory: string): string => {
  const { dev, ino } = disk.stat(directory) ?? {};
  return `${dev} ${ino}`;
};

function placeOf(context: StoreContext, params: ExportParams): string {
  try {
    return directoryOf(context, params);
  } catch (error) {
    throw diskFault(error, `Looking for the version of "${params.plugin}"`);
  }
}

/** @throws Fault NOT_FOUND; errors of the disk. */
function directoryOf(context: StoreContext, { plugin, version }: ExportParams): string {
  const { disk, layout } = context;
  const live = layout.live(plugin);
  if (version === undefined) {
    if (disk.stat(live) === undefined) {
      throw new Fault('NOT_FOUND', `There is no plugin "${plugin}" here`, {
        hint: 'List the plugins with "airlock list"',
      });
    }
    return live;
  }
  // Snapshots may be hidden from a user who may read what is live.
  if (installIdAt(context, live) === version) {
    return live;
  }
  const stamps = snapshotsOf(context, plugin);
  const places = [live, ...stamps.map((stamp) => layout.snapshot(plugin, stamp))];
  const known = places.map((place) => ({ place, installId: installIdAt(context, place) }));
  const found = known.find(({ installId }) => installId === version);
  if (found === undefined) {
    const there = known.flatMap(({ installId }) => installId ?? []);
    throw new Fault('NOT_FOUND', `There is no version ${version} of "${plugin}"`, {
      hint: there.length === 0 ? 'List the plugins with "airlock list"' : `There are ${there.join(', ')}`,
    });
  }
  return found.place;
}

/** The files of a version by its receipt. @throws Fault CONFLICT if they are not there as they were installed. */
function installedIn(
  context: StoreContext,
  plugin: string,
  base: string,
  marker: Marker | undefined,
): readonly FileEntry[] {
  const receipt = marker && receiptOf(context, plugin, marker.installId);
  if (marker?.plugin !== plugin || receipt?.tree !== marker.tree) {
    const what = marker === undefined ? 'has no full marker' : 'has no receipt';
    throw new Fault('CONFLICT', `"${plugin}" ${what}, so nobody can say what its files were`, {
      hint: `${marker === undefined ? `Adopt it with "airlock adopt ${plugin}"` : 'Install it again'}, or export what is there (--drifted)`,
    });
  }
  const drifted = driftOf(context, base, receipt, Infinity);
  const paths = (wanted: string): string[] =>
    drifted.filter(({ change }) => change === wanted).map(({ path }) => path);
  const detail = differenceText({
    modified: paths('modified'),
    missing: paths('removed'),
    unlisted: paths('added'),
  });
  if (detail !== undefined) {
    throw new Fault('CONFLICT', `"${plugin}" was edited in place: ${detail}`, {
      hint: 'Install it again, or export what is there, with the edits (--drifted)',
    });
  }
  return receipt.list;
}

/** The files as they are. @throws Fault CONFLICT for an entry that a bundle cannot hold. */
function filesIn(context: StoreContext, plugin: string, base: string): readonly FileEntry[] {
  const { files, others } = hashTree(context, base);
  const [strange] = others;
  if (strange !== undefined) {
    throw new Fault('CONFLICT', `"${plugin}" holds "${strange}", which is neither a file nor a directory`, {
      hint: 'Remove it, or put the file itself in its place',
    });
  }
  return files;
}

function versionOf(context: StoreContext, base: string): string | undefined {
  const found = manifestOf(context, base);
  const read = found?.reading.kind === 'text' ? readManifest(found.file, found.reading.text) : undefined;
  return read?.ok === true ? read.manifest.version : undefined;
}

function* packed(blocks: Iterable<Buffer>): Generator<Buffer, void, undefined> {
  const gzip = new Gzip();
  for (const block of blocks) yield* gzip.write(block);
  yield* gzip.end();
}

/** The blocks of the tar. */
function* blocksOf(
  context: StoreContext,
  plugin: string,
  base: string,
  files: readonly FileEntry[],
): Generator<Buffer, void, undefined> {
  for (const entry of entriesOf(files)) {
    yield headerOf(entry);
    if (entry.kind === 'file') {
      yield* contentOf(context, plugin, base, entry);
      yield padding(entry.size);
    }
  }
  yield END_OF_ARCHIVE;
}

/** The bytes of a file, checked: of a small one before the first of them goes out. */
function* contentOf(
  { disk }: StoreContext,
  plugin: string,
  base: string,
  { path, size, mode, sha256 }: FileEntry,
): Generator<Buffer, void, undefined> {
  const edited = (): Fault =>
    new Fault('DIGEST_MISMATCH', `"${path}" of "${plugin}" was edited while it was exported`, {
      hint: `See the edits with "airlock verify ${plugin}", then export it again`,
    });
  const fd = disk.open(`${base}/${path}`);
  try {
    const stat = disk.statOpen(fd);
    if (stat.kind !== 'file' || stat.size !== size || modeOf(stat.mode) !== mode) throw edited();
    const hash = createHash('sha256');
    // A large file goes through one buffer: each part is compressed before the next one is read.
    const isSmall = size <= CHECKED_FIRST_BYTES;
    const buffer = Buffer.allocUnsafe(isSmall ? size : READ_BYTES);
    let at = 0;
    while (at < size) {
      const into = isSmall ? buffer.subarray(at) : buffer.subarray(0, size - at);
      const part = into.subarray(0, disk.read(fd, into));
      if (part.length === 0) throw edited();
      at += part.length;
      hash.update(part);
      if (!isSmall) yield part;
    }
    if (hash.digest('hex') !== sha256) throw edited();
    if (isSmall) yield buffer;
  } finally {
    disk.close(fd);
  }
}

/** What vanishes while it is read was removed by a change of the plugin. */
function goneOr(error: unknown, plugin: string, doing: string): Fault {
  return /^(?:ENOENT|ELOOP|ENOTDIR)$/.test(errorCode(error) ?? '')
    ? new Fault('CONFLICT', `"${plugin}" was changed or removed while it was exported`, {
        cause: error,
        retry: 'later',
        hint: 'Export it again',
      })
    : diskFault(error, doing);
}
