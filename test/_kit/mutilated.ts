/** The built program with something taken out, for canaries: what is taken out must be what keeps a promise. */
import { chmod, cp, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { program, repository } from './program.ts';

export type Mutilated = { file: string; close: () => Promise<void> };

/**
 * Copies the program into a directory of its own.
 *
 * @param gone functions that from now on only return what is said here.
 * @param koffi whether the two system calls that it brings can be had: without it swaps are plain renames.
 * @throws Error if a function is not there exactly once: a canary must not sing because nothing was taken out.
 */
export async function mutilate(gone: Readonly<Record<string, string>>, koffi = true): Promise<Mutilated> {
  const folder = await mkdtemp(join(tmpdir(), 'airlock-mutilated-'));
  const file = join(folder, 'airlock.mjs');
  const parts = join(folder, 'airlock');
  await cp(program, file);
  await cp(join(dirname(program), 'airlock'), parts, { recursive: true });
  const files = [file, ...(await readdir(parts)).map((part) => join(parts, part))];
  for (const [name, result] of Object.entries(gone)) {
    const start = new RegExp(`(?<=^function ${name}\\([^\\n]*\\) \\{\\n)`, 'm');
    let found = 0;
    for (const each of files) {
      const [before = '', ...after] = (await readFile(each, 'utf8')).split(start);
      found += after.length;
      if (after.length === 1) await writeFile(each, `${before}  return ${result};\n${after[0] ?? ''}`);
    }
    if (found !== 1) throw new Error(`The program does not have "function ${name}" exactly once`);
  }
  // It may be run by another user than the one of the test.
  await chmod(folder, 0o755);
  if (koffi) await symlink(join(repository, 'node_modules'), join(folder, 'node_modules'));
  return { file, close: () => rm(folder, { recursive: true, force: true }) };
}
