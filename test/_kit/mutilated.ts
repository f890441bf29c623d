/** The built program with something taken out, for canaries: what is taken out must be what keeps a promise. */
import { chmod, mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
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
  const built = dirname(program);
  const names = [
    'airlock.mjs',
    ...(await readdir(join(built, 'airlock'))).map((part) => join('airlock', part)),
  ];
  const texts = new Map<string, string>();
  for (const name of names) texts.set(name, await readFile(join(built, name), 'utf8'));
  for (const [name, result] of Object.entries(gone)) {
    const start = new RegExp(`(?<=^function ${name}\\([^\\n]*\\) \\{\\n)`, 'm');
    const [found, ...more] = [...texts].flatMap(([file, text]) => {
      const [before = '', ...after] = text.split(start);
      return after.map((rest) => ({ file, before, rest }));
    });
    if (found === undefined || more.length > 0) {
      throw new Error(`The program does not have "function ${name}" exactly once`);
    }
    texts.set(found.file, `${found.before}  return ${result};\n${found.rest}`);
  }
  const folder = await mkdtemp(join(tmpdir(), 'airlock-mutilated-'));
  const file = join(folder, 'airlock.mjs');
  await mkdir(join(folder, 'airlock'));
  for (const [name, text] of texts) await writeFile(join(folder, name), text);
  // It may be run by another user than the one of the test.
  await chmod(folder, 0o755);
  if (koffi) await symlink(join(repository, 'node_modules'), join(folder, 'node_modules'));
  return { file, close: () => rm(folder, { recursive: true, force: true }) };
}
