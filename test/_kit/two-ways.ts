/** Commands through an agent and without one, on a root where two versions of a plugin were installed. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, onTestFinished } from 'vitest';

import type { Installed } from '../../client/index.ts';
import { installedSchema } from '../../shared/api/plugin.ts';
import { Program, runHere } from './program.ts';
import { until } from './until.ts';
import { type Found, type Version, judge, litterIn, versionOf } from './versions.ts';

export const WAYS = ['through an agent', 'on the root'] as const;
export type Way = (typeof WAYS)[number];

export const versions: [Version, Version] = [
  versionOf('lint', 1, { files: 6 }),
  versionOf('lint', 2, { files: 6 }),
];

export type Scene = {
  program: Program;
  target: string[];
  /** Runs it, wants this exit code, and reads what it says. */
  said: (words: string[], code?: number) => Promise<unknown>;
  push: (n: 0 | 1, ...words: string[]) => Promise<Installed>;
  live: () => Promise<Found>;
};

/** An agent, or for the other way only its root, on which both versions were installed, the second one last. */
export async function makeScene(way: Way, installs: (0 | 1)[] = [0, 1]): Promise<Scene & { ids: string[] }> {
  const program = await Program.open();
  onTestFinished(() => program.close());
  await program.serveHere();
  const push: Scene['push'] = async (n, ...words) => {
    const file = join(program.folder, `${n}.tgz`);
    await writeFile(file, versions[n].bundle.bytes);
    return installedSchema.parse(
      JSON.parse((await program.here(['push', file, ...words, '--to', program.url, '--json'])).stdout),
    );
  };
  const ids: string[] = [];
  for (const n of installs) ids.push((await push(n)).installId);
  if (way === 'on the root') await program.stop();
  const target = way === 'on the root' ? ['--root', program.root] : ['--to', program.url];
  const said = async (words: string[], code = 0): Promise<unknown> => {
    const ended = await program.here([...words, ...target, '--json']);
    expect([words, ended.code, ended.stderr]).toEqual([words, code, code === 0 ? '' : ended.stderr]);
    return JSON.parse(ended.stdout);
  };
  if (way === 'through an agent') {
    // The house-keeping after an answer would take what a test writes below the root for its own.
    await until(async () =>
      expect(await said(['recover', 'lint'])).toMatchObject({ busy: { total: 0 }, recovered: { total: 0 } }),
    );
  }
  return { program, target, said, push, ids, live: () => judge(program.root, 'lint', versions) };
}

/** Runs a command in this process, as on a terminal. */
export const inProcess = (words: string[], env = {}, signal?: AbortSignal): ReturnType<typeof runHere> =>
  runHere(words, { NO_COLOR: '1', ...env }, { isTTY: true, columns: 80 }, signal);

export const settled = ({ program }: Scene): Promise<void> =>
  until(async () => expect(await litterIn(program.root, 'lint', versions)).toEqual([]));
