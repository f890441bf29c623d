/** What a bundle is made of: its entries and their order, and headers that depend only on path, kind, size and mode. */
import { Header, Pax } from 'tar';

import type { FileEntry } from '../format/tree.ts';
import { parentsOf } from '../rule/path-rules.ts';

const BLOCK_BYTES = 512;
const PATH_BYTES = 100;
const EPOCH = new Date(0);

/** Two blocks of zeros. */
export const END_OF_ARCHIVE: Buffer = Buffer.alloc(2 * BLOCK_BYTES);

/** The zeros that fill the last block after so many bytes. */
export const padding = (size: number): Buffer =>
  Buffer.alloc((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES);

type Directory = { kind: 'directory'; path: string };
export type TarEntry = { kind: 'file'; path: string; size: number; mode: FileEntry['mode'] } | Directory;

/** The order of the entries in a bundle: by the UTF-8 bytes of their paths, so a directory comes before its content. */
export function inOrder<T extends { path: string }>(entries: readonly T[]): T[] {
  const keyed = entries.map((entry) => ({ entry, key: Buffer.from(entry.path, 'utf8') }));
  keyed.sort((a, b) => Buffer.compare(a.key, b.key));
  return keyed.map(({ entry }) => entry);
}

/** The entries of a bundle with these files: each directory above one of them, and the files. */
export function entriesOf<F extends FileEntry>(files: readonly F[]): ((F & { kind: 'file' }) | Directory)[] {
  const directories = new Set(files.flatMap(({ path }) => parentsOf(path)));
  return inOrder([
    ...[...directories].map((path) => ({ kind: 'directory' as const, path })),
    ...files.map((file) => ({ ...file, kind: 'file' as const })),
  ]);
}

/** The header of an entry. A pax header precedes it if path or size do not fit. */
export function headerOf(entry: TarEntry): Buffer {
  const isFile = entry.kind === 'file';
  const path = isFile ? entry.path : `${entry.path}/`;
  const size = isFile ? entry.size : 0;
  const mode = isFile ? Number.parseInt(entry.mode, 8) : 0o755;
  const type = isFile ? 'File' : 'Directory';
  const plain = new Header({ ...NOBODY, path, size, mode, type });
  if (!plain.encode()) {
    return plain.block ?? Buffer.alloc(0);
  }
  const body = Buffer.from(new Pax({ path }).encodeBody(), 'utf8');
  const stand = asciiStandIn(path, isFile);
  return Buffer.concat([
    encoded({
      path: `PaxHeader/${stand}`.slice(0, PATH_BYTES - 1),
      size: body.length,
      mode: 0o644,
      type: 'ExtendedHeader',
    }),
    body,
    padding(body.length),
    encoded({ path: stand, size, mode, type }),
  ]);
}

type Fields = { path: string; size: number; mode: number; type: 'File' | 'Directory' | 'ExtendedHeader' };

const NOBODY = { uid: 0, gid: 0, uname: '', gname: '', mtime: EPOCH };

function encoded(fields: Fields): Buffer {
  const header = new Header({ ...NOBODY, ...fields });
  header.encode();
  return header.block ?? Buffer.alloc(0);
}

/** The path for readers without pax support; never cut inside a character. */
function asciiStandIn(path: string, isFile: boolean): string {
  const ascii = path.replaceAll(/[^\u0021-\u007e]/gu, '_');
  const tail = isFile ? '' : '/';
  return ascii.length <= PATH_BYTES - 1 ? ascii : ascii.slice(0, PATH_BYTES - 1 - tail.length) + tail;
}
