/** The cases of docs/vectors/gate.json on a real disk. */
import { chmod, lstat, mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { onTestFinished } from 'vitest';

import type { GateAnswer, Plugin, Scan } from '../../loader/index.ts';
import type { CaseAnswer, CaseFile, GateCase } from '../../scripts/docs/gate/case.ts';

const NOBODY = 65_534;

async function makeFile(
  directory: string,
  { path, text, base64, times = 1, link, mode }: CaseFile,
): Promise<void> {
  const place = join(directory, path);
  await mkdir(path.endsWith('/') ? place : dirname(place), { recursive: true });
  if (link !== undefined) {
    await symlink(link, place);
  } else if (!path.endsWith('/')) {
    const once = base64 === undefined ? Buffer.from(text ?? '') : Buffer.from(base64, 'base64');
    await writeFile(place, times === 1 ? once : Buffer.alloc(once.length * times, once));
  }
  if (link === undefined && mode !== undefined && !path.endsWith('/')) {
    await chmod(place, Number.parseInt(mode, 8));
  }
}

/** Makes the files of a case. @returns the directory that holds them. */
export async function makeCase({ files }: Pick<GateCase, 'files'>): Promise<string> {
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'airlock-gate-')));
  await chmod(directory, 0o755);
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  for (const file of files) await makeFile(directory, file);
  // Last, so that the files in them could be made.
  for (const { path, mode } of files) {
    const isDirectory = path.endsWith('/');
    if (isDirectory && mode !== undefined) await chmod(join(directory, path), Number.parseInt(mode, 8));
  }
  return directory;
}

/** Does the work as a user who is not root. */
export async function asOther<T>(work: () => Promise<T>): Promise<T> {
  if (process.getuid?.() !== 0) return work();
  process.setegid?.(NOBODY);
  process.seteuid?.(NOBODY);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
  }
}

/** The generation of a version without an installId, as docs/loader.md says that it is made. */
async function generationOfDirectory({ path, level }: Plugin): Promise<string> {
  const { dev, ino, ctimeNs } = await lstat(path, { bigint: true });
  const marker =
    level === 'unmarked' ? ctimeNs : (await lstat(join(path, '.complete'), { bigint: true })).ctimeNs;
  return `dir-${dev}-${ino}-${marker}`;
}

/** An answer in the form of the table. */
export async function answerOf(directory: string, answer: GateAnswer): Promise<CaseAnswer> {
  const rootOf = (root: string): string => root.slice(directory.length + 1);
  if (!answer.admitted) return { admitted: false, root: rootOf(answer.root), reason: answer.reason };
  const { plugin } = answer;
  const { level, generation, manifest, root } = plugin;
  const made = await generationOfDirectory(plugin);
  return {
    admitted: true,
    root: rootOf(root),
    level,
    generation: generation === made ? 'directory' : generation,
    version: manifest?.version ?? null,
  };
}

/** A scan in the form of the table. */
export function scanOf(directory: string, { admitted, refused, shadowed }: Scan): GateCase['scan'] {
  const rootOf = (root: string): string => root.slice(directory.length + 1);
  return {
    admitted: admitted.map(({ name, root }) => ({ name, root: rootOf(root) })),
    refused: refused.map(({ name, root, reason }) => ({ name, root: rootOf(root), reason })),
    shadowed: shadowed.map(({ name, root, by }) => ({ name, root: rootOf(root), by: rootOf(by) })),
  };
}
