/**
 * The execute bits that git knows, where the file system keeps none. The repository is not trusted: git is asked in such a
 * way that it runs no command of it and reaches no other repository.
 */
import { execFile } from 'node:child_process';
import { lstat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

import type { FileEntry } from '../../shared/format/tree.ts';

const run = promisify(execFile);

const TIMEOUT_MILLIS = 10_000;
/** The index of a very large repository; a larger one is not asked. */
const OUTPUT_BYTES = 64 * 1024 * 1024;

/** The transports of git. A partial clone would fetch what it lacks, by a command that its configuration names. */
const TRANSPORTS = ['file', 'git', 'ssh', 'http', 'https', 'ext'];
const SAFE = [
  'core.fsmonitor=false',
  'core.hooksPath=/dev/null',
  'safe.bareRepository=explicit',
  'protocol.allow=never',
  ...TRANSPORTS.map((name) => `protocol.${name}.allow=never`),
].flatMap((setting) => ['-c', setting]);

/**
 * The modes of tracked files, by their paths below `root`. Empty where the file system keeps execute bits: outside of
 * Windows, unless git says otherwise (`core.fileMode` is false). Empty too outside of a work tree and without git.
 *
 * @param root a real path.
 */
export async function gitModes(
  root: string,
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<string, FileEntry['mode']>> {
  try {
    if (!(await isInRepository(root))) return new Map();
    if (process.platform !== 'win32' && (await keepsBits(root, signal))) return new Map();
    return modesIn(await git(root, signal, 'ls-files', '--stage', '-z'));
  } catch {
    return new Map();
  }
}

/** Most plugins are in no repository: that is known without a process. */
async function isInRepository(root: string): Promise<boolean> {
  for (let at = root; ; at = dirname(at)) {
    const found = await lstat(join(at, '.git')).catch(() => undefined);
    if (found !== undefined) return true;
    if (dirname(at) === at) return false;
  }
}

async function keepsBits(root: string, signal: AbortSignal | undefined): Promise<boolean> {
  const said = await git(root, signal, 'config', '--bool', '--default', 'true', 'core.fileMode');
  return said.trim() !== 'false';
}

async function git(root: string, signal: AbortSignal | undefined, ...words: string[]): Promise<string> {
  const { stdout } = await run('git', ['--no-pager', ...SAFE, '-C', root, ...words], {
    // Windows looks for a program in the working directory first.
    cwd: dirname(process.execPath),
    timeout: TIMEOUT_MILLIS,
    maxBuffer: OUTPUT_BYTES,
    windowsHide: true,
    signal,
  });
  return stdout;
}

/** Reads lines of `<mode> <object> <stage>` TAB `<path>`, each ended by NUL. A file in conflict has no stage 0. */
function modesIn(text: string): Map<string, FileEntry['mode']> {
  const modes = new Map<string, FileEntry['mode']>();
  for (const line of text.split('\0')) {
    const found = /^100(644|755) [0-9a-f]+ 0\t(.+)$/s.exec(line);
    const [, mode, path] = found ?? [];
    if (path !== undefined) modes.set(path, mode === '755' ? '755' : '644');
  }
  return modes;
}
