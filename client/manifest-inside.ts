/** Finds the manifest in a bundle, for the plugin's name. The agent judges the archive, not this file. */
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { createGunzip } from 'node:zlib';

import { Parser, type ReadEntry } from 'tar';

import { Fault, errorCode } from '../shared/api/fault.ts';
import {
  type Manifest,
  MANIFEST_FILES,
  MANIFEST_MAX_BYTES,
  type ManifestFile,
  MANIFESTS_SAID,
  isManifest,
  manifestAt,
  readManifest,
} from '../shared/format/manifest.ts';
import { manifestElsewhere } from '../shared/rule/manifest-places.ts';
import { textIn } from '../shared/format/text.ts';

/** At most this much is unpacked to find the name. */
const UNPACKED_MAX_BYTES = 1024 ** 3;
const CANDIDATES_MAX = 100;
const PLACES_MAX = 10_000;

type Candidate = { above: string; file: ManifestFile; bytes: Buffer };

/**
 * The manifest at the top of the archive, or at the top of the one directory that holds everything in it.
 *
 * @throws Fault ARCHIVE_CORRUPT, LIMIT_UNPACKED, MANIFEST_MISSING, MANIFEST_INVALID. A caller who names the plugin avoids
 *   all of them.
 */
export async function manifestInside(bundle: string): Promise<Manifest> {
  const search = new Search();
  try {
    await feed(bundle, search);
  } catch (error) {
    if (error instanceof Fault) throw error;
    if (errorCode(error) === 'Z_BUF_ERROR') {
      throw new Fault('ARCHIVE_CORRUPT', `"${bundle}" is cut off: its end is missing`, {
        cause: error,
        hint: 'Copy or download it again, and compare its size',
      });
    }
    throw helpless('ARCHIVE_CORRUPT', `"${bundle}" cannot be unpacked: ${(error as Error).message}`, error);
  }
  const found = search.best();
  if (found === undefined) {
    const elsewhere = manifestElsewhere(`"${bundle}"`, search.places);
    if (elsewhere !== undefined) {
      throw new Fault('MANIFEST_MISSING', elsewhere.why, { hint: elsewhere.hint });
    }
    throw helpless('MANIFEST_MISSING', `"${bundle}" does not hold ${MANIFESTS_SAID} at its top`);
  }
  const reading = textIn(found.bytes);
  const read =
    reading.kind === 'text'
      ? readManifest(found.file, reading.text)
      : { ok: false as const, why: reading.why };
  if (!read.ok) {
    throw helpless(
      'MANIFEST_INVALID',
      `${found.above}${found.file} in "${bundle}" cannot be read: ${read.why}`,
    );
  }
  return read.manifest;
}

class Search {
  readonly #candidates: Candidate[] = [];
  /** Paths with the names of manifests, wherever they are. */
  readonly places: string[] = [];
  /** The directories that all files so far have in common, each with its slash. */
  #common: string | undefined;

  /** No later entry can be a better match. */
  get isDone(): boolean {
    return this.#candidates.some(({ above, file }) => above === '' && file === MANIFEST_FILES[0]);
  }

  entry(entry: ReadEntry): void {
    const path = entry.path.replace(/^(?:\.\/+)+/, '');
    const isDirectory = entry.type === 'Directory' || entry.type === 'GNUDumpDir';
    if (isDirectory || path === '') {
      entry.resume();
      return;
    }
    this.#common = commonOf(this.#common, path.slice(0, path.lastIndexOf('/') + 1));
    const file = manifestAt(path);
    if (file !== undefined && this.places.length < PLACES_MAX) this.places.push(path);
    const above = file === undefined ? '' : path.slice(0, path.length - file.length);
    const isFile = entry.type === 'File' || entry.type === 'OldFile';
    if (file === undefined || !isFile || entry.size > MANIFEST_MAX_BYTES || !this.#isAbove(above)) {
      entry.resume();
      return;
    }
    const parts: Buffer[] = [];
    entry.on('data', (part: Buffer) => parts.push(part));
    entry.on('end', () => {
      const bytes = Buffer.concat(parts);
      if (isManifest(file, textIn(bytes))) this.#candidates.push({ above, file, bytes });
    });
  }

  best(): Candidate | undefined {
    const atTop = this.#candidates.filter(({ above }) => this.#isAbove(above));
    const order = ({ above, file }: Candidate): number => above.length * 10 + MANIFEST_FILES.indexOf(file);
    return atTop.toSorted((a, b) => order(a) - order(b))[0];
  }

  #isAbove(directory: string): boolean {
    return this.#candidates.length < CANDIDATES_MAX && (this.#common ?? '').startsWith(directory);
  }
}

function commonOf(common: string | undefined, directory: string): string {
  if (common === undefined) return directory;
  const [a, b] = [common.split('/').slice(0, -1), directory.split('/').slice(0, -1)];
  const differs = a.findIndex((name, i) => name !== b[i]);
  const shared = differs < 0 ? a : a.slice(0, differs);
  return shared.map((name) => `${name}/`).join('');
}

async function feed(bundle: string, search: Search): Promise<void> {
  // The parser would also look for compressed data. It gets only plain bytes.
  const parser = new Parser({
    gzip: false,
    brotli: false,
    zstd: false,
    onReadEntry: (entry) => search.entry(entry),
  });
  let bad: Error | undefined;
  parser.on('error', (error: Error) => {
    bad ??= error;
  });
  const raw = createReadStream(bundle);
  const source = (await isGzip(bundle)) ? raw.pipe(createGunzip()) : raw;
  raw.on('error', (error) => source.destroy(error));
  let bytes = 0;
  try {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > UNPACKED_MAX_BYTES) {
        throw helpless('LIMIT_UNPACKED', `"${bundle}" unpacks to more than ${UNPACKED_MAX_BYTES} bytes`);
      }
      parser.write(chunk);
      if (bad !== undefined) throw bad;
      if (search.isDone) return;
    }
    parser.end();
    if (bad !== undefined) throw bad;
  } finally {
    raw.destroy();
  }
}

async function isGzip(bundle: string): Promise<boolean> {
  const file = await open(bundle, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(2), 0, 2, 0);
    return bytesRead === 2 && buffer[0] === 0x1f && buffer[1] === 0x8b;
  } finally {
    await file.close();
  }
}

const helpless = (
  code: 'ARCHIVE_CORRUPT' | 'LIMIT_UNPACKED' | 'MANIFEST_MISSING' | 'MANIFEST_INVALID',
  why: string,
  cause?: unknown,
): Fault => new Fault(code, why, { cause, hint: 'Name the plugin yourself (--name), or pack it again' });
