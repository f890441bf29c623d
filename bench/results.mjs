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

/**
 * Replaces the figures of one part of the table (`parts`), or of one curve (`curves`); the others stay.
 *
 * @param {'parts' | 'curves'} kind @param {object} figures
 */
export async function saveResults(kind, name, { machine, options: { files, rounds } }, figures) {
  const results = await readResults();
  results[kind][name] = { machine, ...(kind === 'parts' ? { files } : {}), rounds, ...figures };
  await writeFile(FILE, `${JSON.stringify(results, undefined, 2)}\n`);
}
