/** Commands through an agent and without one, on a root where two versions of a plugin were installed. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { expect, onTestFinished } from 'vitest';

import { run } from '../../cli/run.ts';
import type { Installed } from '../../client/index.ts';
import { installedSchema } from '../../shared/api/methods.ts';
import { type Ended, Program, program as built } from './program.ts';
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
  await program.serve();
  const push: Scene['push'] = async (n, ...words) => {
    const file = join(program.folder, `${n}.tgz`);
    await writeFile(file, versions[n].bundle.bytes);
    return installedSchema.parse(
      JSON.parse((await piped(program, ['push', file, ...words, '--to', program.url])).stdout),
    );
  };
  const ids: string[] = [];
  for (const n of installs) ids.push((await push(n)).installId);
  if (way === 'on the root') await program.stop();
  const target = way === 'on the root' ? ['--root', program.root] : ['--to', program.url];
  const said = async (words: string[], code = 0): Promise<unknown> => {
    const ended = await piped(program, [...words, ...target]);
    expect([words, ended.code, ended.stderr]).toEqual([words, code, code === 0 ? '' : ended.stderr]);
    return JSON.parse(ended.stdout);
  };
  return { program, target, said, push, ids, live: () => judge(program.root, 'lint', versions) };
}

/** Runs a command in this process, with the token of the agent and its output in a pipe: a process of its own says nothing else. */
async function piped({ token }: Program, words: readonly string[]): Promise<Ended> {
  const said = { out: '', error: '' };
  const code = await run({
    words: [...words, '--json'],
    env: { AIRLOCK_TOKEN: token },
    out: { write: (text: string) => (said.out += text) },
    error: { write: (text: string) => (said.error += text) },
    version: '0',
    self: pathToFileURL(built),
    signal: new AbortController().signal,
  });
  return { code, stdout: said.out, stderr: said.error };
}

/** Runs a command in this process, as on a terminal. @returns all that it says */
export async function inProcess(words: string[], env = {}): Promise<{ code: number; text: string }> {
  let text = '';
  const write = (more: string): string => (text += more);
  const code = await run({
    words,
    env: { NO_COLOR: '1', ...env },
    out: { isTTY: true, columns: 80, write },
    error: { write },
    version: '0',
    self: pathToFileURL(built),
    signal: new AbortController().signal,
  });
  return { code, text };
}

export const settled = ({ program }: Scene): Promise<void> =>
  until(async () => expect(await litterIn(program.root, 'lint', versions)).toEqual([]));
