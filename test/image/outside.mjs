// The command on this machine, outside of the container.
import path from 'node:path';

import { lastWords, run } from './command.mjs';

/**
 * Runs the command against a container.
 *
 * @param {string} repository
 * @param {{url: string, token: string}} sidecar
 * @param {string[]} args
 * @param {{code?: number | null, seconds?: number}} [options] `code`: with which it must end (0); null: with any
 */
export async function airlock(repository, { url, token }, args, { code = 0, seconds = 30 } = {}) {
  const bundle = path.join(repository, 'dist', 'airlock.mjs');
  const env = { ...process.env, AIRLOCK_TOKEN: token, AIRLOCK_TOKEN_FILE: '', AIRLOCK_URL: '' };
  const ended = await run(process.execPath, [bundle, ...args, '--to', url, '--json'], { env, seconds });
  if (code !== null && ended.code !== code) {
    throw new Error(`"airlock ${args[0]}" ended with ${ended.code}, not ${code}:\n${lastWords(ended)}`);
  }
  return ended;
}
