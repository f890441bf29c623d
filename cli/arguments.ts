/** Reads the words of the command line for a command, and names every mistake. */
import { parseArgs } from 'node:util';

import { Fault } from '../shared/api/fault.ts';
import type { Command, Given } from './command.ts';

const ALWAYS = { json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } as const;

/** @throws Fault INVALID_PARAMS for an option or a number of words that the command does not accept. */
export function readArguments(
  command: Command,
  words: readonly string[],
): Given & { json: boolean; help: boolean } {
  const byFlag = new Map(
    Object.entries(command.settings).flatMap(([name, { flag }]) =>
      flag === undefined ? [] : [[flag.slice(2), name]],
    ),
  );
  const settingOptions = Object.fromEntries(
    [...byFlag.keys()].map((flag) => [flag, { type: 'string' as const }]),
  );
  const own = Object.fromEntries(
    Object.entries(command.options).map(([name, { type, short, multiple = false }]) => [
      name,
      short === undefined ? { type, multiple } : { type, multiple, short },
    ]),
  );
  const options = { ...ALWAYS, ...settingOptions, ...own };
  const { values, positionals } = parse(command, words, options);
  const settings: Record<string, string> = {};
  const strings: Record<string, string> = {};
  const lists: Record<string, string[]> = {};
  const booleans: Record<string, boolean> = {};
  for (const [flag, value] of Object.entries(values)) {
    const setting = byFlag.get(flag);
    if (Array.isArray(value)) {
      lists[flag] = value.map(String);
    } else if (typeof value === 'boolean') {
      booleans[flag] = value;
    } else if (typeof value === 'string' && setting !== undefined) {
      settings[setting] = value;
    } else if (typeof value === 'string') {
      strings[flag] = value;
    }
  }
  const help = booleans['help'] === true;
  const { min, max } = command.count;
  if (!help && (positionals.length < min || positionals.length > max)) {
    const found = positionals.length === 0 ? 'nothing' : positionals.map((word) => `"${word}"`).join(' ');
    throw usage(command, `It takes ${command.positionals || 'no arguments'}, found ${found}`);
  }
  return { positionals, settings, strings, lists, booleans, json: booleans['json'] === true, help };
}

type Options = NonNullable<NonNullable<Parameters<typeof parseArgs>[0]>['options']>;

function parse(command: Command, words: readonly string[], options: Options): ReturnType<typeof parseArgs> {
  try {
    return parseArgs({ args: [...words], options, allowPositionals: true, strict: true });
  } catch (error) {
    const why = error instanceof Error ? (error.message.split('. ')[0] ?? '') : String(error);
    const wrong = /'(--?[^' <]+)/.exec(why)?.[1];
    const near =
      wrong === undefined
        ? undefined
        : nearest(
            wrong,
            Object.keys(options).map((name) => `--${name}`),
          );
    throw usage(command, near === undefined ? why : `${why}; did you mean "${near}"`);
  }
}

const usage = ({ name }: Command, why: string): Fault =>
  new Fault('INVALID_PARAMS', `"airlock ${name}" has wrong arguments. ${why}`, {
    hint: `See "airlock ${name} --help"`,
  });

/** The closest name, if one is close enough to be meant. */
export function nearest(word: string, names: readonly string[]): string | undefined {
  const ranked = names
    .map((name) => ({ name, distance: distance(word, name) }))
    .toSorted((a, b) => a.distance - b.distance);
  const [best] = ranked;
  return best !== undefined && best.distance <= Math.max(1, Math.floor(word.length / 3))
    ? best.name
    : undefined;
}

/** The Levenshtein distance: insertions, deletions and replacements that turn one word into the other. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (const [i, letter] of a.split('').entries()) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j += 1) {
      const replaced = (row[j] ?? 0) + (letter === b[j] ? 0 : 1);
      next.push(Math.min(replaced, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
