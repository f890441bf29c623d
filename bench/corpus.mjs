// What is installed in the benchmarks: made up, the same every time, as compressible as text is.
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

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

/** Writes a plugin of so many files and bytes, and returns its folder. */
export async function makePlugin(folder, name, { files, bytes, version = '1.0.0', seed = 1 }) {
  const random = generator(seed);
  const each = Math.floor(bytes / files);
  await mkdir(folder, { recursive: true });
  const manifest = `name: ${name}\nversion: ${version}\ndescription: Made up for a benchmark\n`;
  await writeFile(path.join(folder, 'plugin.yaml'), manifest);
  for (let i = 1; i < files; i += 1) {
    const directory = path.join(folder, 'data', String(i % 97), String(i % 13));
    if (i <= 97 * 13) await mkdir(directory, { recursive: true });
    await writeFile(path.join(directory, `file-${i}.txt`), text(random, each));
  }
  return folder;
}
