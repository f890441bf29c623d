// What is installed in the benchmarks: made up, the same every time, as compressible as text is.
import { createWriteStream } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';

import { Header } from 'tar';

/** A small generator of pseudo-random numbers (mulberry32), so that every run packs the same bytes. */
function generator(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const WORDS =
  'plugin skill rule hook adapter agent loader marker digest swap stage seal verify the a of and to in'.split(
    ' ',
  );

function text(random, bytes) {
  const words = [];
  for (let length = 0; length < bytes;) {
    const word =
      random() < 0.3 ? Math.floor(random() * 1e9).toString(36) : WORDS[Math.floor(random() * WORDS.length)];
    words.push(word);
    length += word.length + 1;
  }
  return words.join(' ').slice(0, bytes);
}

const manifestOf = (name, version) =>
  `name: ${name}\nversion: ${version}\ndescription: Made up for a benchmark\n`;

/** Writes a plugin of so many files and bytes, and returns its folder. */
export async function makePlugin(folder, name, { files, bytes, version = '1.0.0', seed = 1 }) {
  const random = generator(seed);
  const each = Math.floor(bytes / files);
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, 'plugin.yaml'), manifestOf(name, version));
  for (let i = 1; i < files; i += 1) {
    const directory = path.join(folder, 'data', String(i % 97), String(i % 13));
    if (i <= 97 * 13) await mkdir(directory, { recursive: true });
    await writeFile(path.join(directory, `file-${i}.txt`), text(random, each));
  }
  return folder;
}

/** One entry of a tar: its header, its bytes, and zeros up to the next block. */
function* entry(name, bytes) {
  const header = new Header({
    path: name,
    mode: 0o644,
    size: bytes.length,
    mtime: new Date(0),
    type: 'File',
  });
  const block = Buffer.alloc(512);
  header.encode(block);
  yield block;
  yield bytes;
  yield Buffer.alloc((512 - (bytes.length % 512)) % 512);
}

function* bulk(name, files, bytesEach) {
  yield* entry('plugin.yaml', Buffer.from(manifestOf(name, '1.0.0')));
  const random = generator(1);
  const bytes = Buffer.from(
    Uint32Array.from({ length: Math.ceil(bytesEach / 4) }, () => random() * 2 ** 32).buffer,
  );
  for (let i = 1; i <= files; i += 1) {
    const own = Buffer.from(bytes.subarray(0, bytesEach));
    own.write(`file ${i}`);
    yield* entry(`data/${i % 97}/file-${i}.bin`, own);
  }
  yield Buffer.alloc(1024);
}

/** Packs a plugin of many bytes that no compression makes smaller, without writing its files first. */
export async function bulkBundle(file, name, { files, bytesEach }) {
  await pipeline(
    Readable.from(bulk(name, files, bytesEach)),
    createGzip({ level: 0 }),
    createWriteStream(file),
  );
}
