import { existsSync, readFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { beforeAll, expect, test } from 'vitest';

import type { Command } from '../../cli/command.ts';
import { COMMANDS } from '../../cli/run.ts';
import { settings } from '../../shared/api/settings.ts';

const root = path.resolve(import.meta.dirname, '../..');

/** Path → text of the files below the repository that git knows and that match. */
function textsOf(...patterns: readonly string[]): Map<string, string> {
  const { stdout } = spawnSync('git', ['ls-files', '-z', '--', ...patterns], { cwd: root, encoding: 'utf8' });
  const files = stdout.split('\0').filter((file) => file !== '' && existsSync(path.join(root, file)));
  return new Map(files.map((file) => [file, readFileSync(path.join(root, file), 'utf8')]));
}

const DOCS = ['*.md', 'docs/*.md', 'examples/**/*.md', 'Dockerfile.sidecar'];
const ROOMS = ['agent', 'cli', 'client', 'loader', 'shared', 'watch'].map((room) => `${room}/**/*.ts`);

const variables: readonly string[] = Object.values(settings).map(({ env }) => env);
const isVariable = (name: string): boolean =>
  // `AIRLOCK_MAX_…` stands for several.
  name.endsWith('_') ? variables.some((env) => env.startsWith(name)) : variables.includes(name);

test('every AIRLOCK_* variable that the program or the docs name is in the table of settings', () => {
  const unknown = [...textsOf(...DOCS, ...ROOMS, 'agent/*.ts', 'cli/*.ts', 'shared/*.ts')].flatMap(
    ([file, text]) =>
      [...text.matchAll(/AIRLOCK_[A-Z_]+/g)]
        .map(([name]) => name)
        .filter((name) => !isVariable(name))
        .map((name) => `${name} in ${file}`),
  );
  expect(unknown).toEqual([]);
});

let commands: Map<string, Command>;
beforeAll(async () => {
  const loaded = await Promise.all(
    Object.entries(COMMANDS).map(async ([name, load]): Promise<[string, Command]> => [
      name,
      (await load()).command,
    ]),
  );
  commands = new Map(loaded);
});

const flagsOf = ({ settings: rows, options }: Command): string[] => [
  '--json',
  '--help',
  ...Object.values(rows).flatMap(({ flag }) => flag ?? []),
  ...Object.keys(options).map((name) => `--${name}`),
];

/** Each `airlock <command> …` of a text up to the end of its line, its quotation or a comment, with its flags. */
const callsIn = (text: string): { name: string; flags: string[] }[] =>
  [...text.matchAll(/\bairlock ([a-z]+)([^`"'\n#)]*)/g)].map(([, name = '', rest = '']) => ({
    name,
    flags: [...rest.matchAll(/(?<=\s)--[a-z-]+/g)].map(([flag]) => flag),
  }));

test('every flag of an airlock command that the docs or an error call has that command', () => {
  const wrong = [...textsOf(...DOCS, ...ROOMS)].flatMap(([file, text]) =>
    callsIn(text).flatMap(({ name, flags }) => {
      const command = commands.get(name);
      const known = command === undefined ? [] : flagsOf(command);
      return flags
        .filter((flag) => !known.includes(flag))
        .map((flag) => `airlock ${name} ${flag} in ${file}`);
    }),
  );
  expect(wrong).toEqual([]);
});

test('no option of a command has the flag of one of its settings', () => {
  const twice = [...commands].flatMap(([name, command]) => {
    const flags = flagsOf(command);
    return flags.filter((flag, i) => flags.indexOf(flag) !== i).map((flag) => `airlock ${name} ${flag}`);
  });
  expect(twice).toEqual([]);
});

test('the calls of commands are found in texts', () => {
  const text =
    'Run `airlock push x --force` or\nairlock list --root /r --jsn # --no\n"airlock sweep" --other';
  expect(callsIn(text)).toEqual([
    { name: 'push', flags: ['--force'] },
    { name: 'list', flags: ['--root', '--jsn'] },
    { name: 'sweep', flags: [] },
  ]);
  const flags = [...textsOf(...DOCS).values()].flatMap(callsIn).flatMap((call) => call.flags);
  expect(flags.length).toBeGreaterThan(20);
  expect(isVariable('AIRLOCK_MAX_') && !isVariable('AIRLOCK_ROOTS') && !isVariable('AIRLOCK_MOST_')).toBe(
    true,
  );
});
