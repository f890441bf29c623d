/** The completions in real shells: what a user would get after these words. */
import { spawnSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { type TestContext, beforeAll, describe, expect, it } from 'vitest';

import { COMMANDS } from '../../cli/run.ts';
import type { Command } from '../../cli/command.ts';
import { bashCompletions } from '../../cli/completions/bash.ts';
import { fishCompletions } from '../../cli/completions/fish.ts';
import { completionOf, flagsOf } from '../../cli/completions/words.ts';
import { zshCompletions } from '../../cli/completions/zsh.ts';
import { scratch } from '../_kit/agent.ts';
import { inProcess } from '../_kit/two-ways.ts';

let commands: Command[];
beforeAll(async () => {
  commands = (await Promise.all(Object.values(COMMANDS).map((load) => load()))).map(({ command }) => command);
});

/** Runs a shell over a script with these words, in a directory with two plugins. */
async function shell(
  ctx: TestContext,
  name: string,
  script: string,
  words: (file: string) => readonly string[],
): Promise<string[]> {
  if (spawnSync(name, ['-c', 'true']).error !== undefined) ctx.skip(`this machine has no ${name}`);
  const folder = await scratch();
  for (const plugin of ['plugins/lint', 'plugins/house-rules', 'plugins/.staging']) {
    await mkdir(join(folder, plugin), { recursive: true });
  }
  const file = join(folder, 'completions');
  await writeFile(file, script);
  const env = { ...process.env, AIRLOCK_ROOT: join(folder, 'plugins'), HOME: folder, TERM: 'dumb' };
  const { stdout, stderr, status } = spawnSync(name, words(file), { cwd: folder, env, encoding: 'utf8' });
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
  return stdout.split('\n').filter((line) => line !== '');
}

const BASH =
  'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _airlock; printf "%s\\n" "${COMPREPLY[@]}"';

describe('bash', () => {
  const CASES: [words: string[], found: string[]][] = [
    [['pus'], ['push']],
    [['--v'], ['--version']],
    [['push', '--li'], ['--links']],
    [
      ['push', '--links', ''],
      ['copy', 'skip', 'refuse'],
    ],
    [['push', '--links', '=', 're'], ['refuse']],
    [
      ['rollback', ''],
      ['house-rules', 'lint'],
    ],
    [['pack', 'plugins/li'], ['plugins/lint']],
    [['push', '--to', ''], []],
    [
      ['completions', ''],
      ['bash', 'zsh', 'fish'],
    ],
    [['help', 'rollb'], ['rollback']],
  ];
  it.for(CASES)('completes %j', async ([words, found], ctx) => {
    const script = bashCompletions(commands);
    expect(
      await shell(ctx, 'bash', script, (file) => ['-c', BASH, 'bash', file, 'airlock', ...words]),
    ).toEqual(found);
  });

  it('knows every command and every option of it', async (ctx) => {
    const each =
      'source "$1"; shift; for c in "$@"; do COMP_WORDS=(airlock "$c" --); COMP_CWORD=2; _airlock; printf "%s\\n" "$c" "${COMPREPLY[@]}"; done';
    const names = commands.map(({ name }) => name);
    const said = await shell(ctx, 'bash', bashCompletions(commands), (file) => [
      '-c',
      each,
      'bash',
      file,
      ...names,
    ]);
    expect(said).toEqual(
      commands.flatMap((command) => [command.name, ...flagsOf(command).map(({ name }) => name)]),
    );
    expect(said).toEqual(expect.arrayContaining(['--allow-secret', '--pull-from', '--operation']));
  });
});

describe('fish', () => {
  const CASES: [line: string, found: string[]][] = [
    ['airlock pus', ['push']],
    ['airlock push --li', ['--links']],
    ['airlock push --links ', ['copy', 'refuse', 'skip']],
    ['airlock rollback ', ['house-rules', 'lint']],
    ['airlock pack plugins/li', ['plugins/lint/']],
    ['airlock completions ', ['bash', 'fish', 'zsh']],
    ['airlock help rollb', ['rollback']],
  ];
  it('completes what is typed', async (ctx) => {
    const lines = CASES.map(([line]) => `complete -C '${line}'; echo end`).join('; ');
    const said = await shell(ctx, 'fish', fishCompletions(commands), (file) => [
      '--no-config',
      '-c',
      `source ${file}; ${lines}`,
    ]);
    const found = said.map((line) => line.split('\t')[0] ?? '');
    expect(found).toEqual(CASES.flatMap(([, words]) => [...words, 'end']));
  });
});

describe('zsh', () => {
  it('completes what is typed, in a terminal', async (ctx) => {
    const driver = fileURLToPath(new URL('completions.zsh', import.meta.url));
    const typed = [
      'airlock rollb',
      'airlock push --li',
      'airlock push --links=cop',
      'airlock push --links ref',
      'airlock rollback lin',
      'airlock pack plugins/li',
      'airlock completions fi',
      'airlock help rollb',
    ];
    expect(
      await shell(ctx, 'zsh', zshCompletions(commands), (file) => ['-f', driver, file, ...typed]),
    ).toEqual([
      'airlock rollback ',
      'airlock push --links=',
      'airlock push --links=copy ',
      'airlock push --links refuse ',
      'airlock rollback lint ',
      'airlock pack plugins/lint/',
      'airlock completions fish ',
      'airlock help rollback ',
    ]);
  });
});

it('takes alternatives for choices only where none of them stands for something', () => {
  expect(completionOf('copy|skip|refuse')).toEqual({ kind: 'words', words: ['copy', 'skip', 'refuse'] });
  expect(completionOf('id|none')).toEqual({ kind: 'nothing' });
  expect(completionOf('dir|zip|tgz')).toEqual({ kind: 'files' });
  expect(completionOf('sha256:…')).toEqual({ kind: 'nothing' });
});

it('prints the script of a shell, and says which there are', async () => {
  const printed = await inProcess(['completions', 'bash']);
  expect([printed.code, printed.text]).toEqual([0, bashCompletions(commands)]);
  const { code, text } = await inProcess(['completions', 'tcsh']);
  expect([code, text]).toEqual([2, expect.stringContaining('Name one of these shells: bash, zsh, fish')]);
});
