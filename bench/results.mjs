// bench/results.json: the figures that were seen, each part with the machine and the options of its run.
import { readFile, writeFile } from 'node:fs/promises';

const FILE = new URL('results.json', import.meta.url);

/** What was saved before, or nothing. */
export async function readResults() {
  try {
    return JSON.parse(await readFile(FILE, 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT') return { parts: {}, curves: {} };
    throw error;
  }
}

/** Replaces the figures of one part; the others stay. */
export async function saveResults(part, { machine, options: { files, rounds } }, rows) {
  const results = await readResults();
  results.parts[part] = { machine, files, rounds, rows };
  await writeFile(FILE, `${JSON.stringify(results, undefined, 2)}\n`);
}
