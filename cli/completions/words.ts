/** What can stand in a command line, from the tables of the commands: the same for the completions of every shell. */
import type { Command } from '../command.ts';

/** How a word is completed. `plugins`: by the names of the plugins below the root. */
export type Completion =
  | { kind: 'words'; words: readonly string[] }
  | { kind: 'files' | 'plugins' | 'nothing' };

export type Flag = {
  /** With its dashes. */
  name: string;
  /** One letter that stands for it, without its dash. */
  short: string | undefined;
  help: string;
  /** How its value is completed; undefined: it takes none. */
  value: Completion | undefined;
};

/** The shells that have completions. */
export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

const FILES: ReadonlySet<string> = new Set(['file', 'path', 'dir', 'directory', 'zip', 'tgz']);
/** They stand for a text of which nothing is known. */
const PLACEHOLDERS: ReadonlySet<string> = new Set(['id', 'url', 'text', 'number', 'time']);

/** How a value is completed whose help names it so, such as `copy|skip|refuse` or `file`. */
export function completionOf(value: string): Completion {
  const words = value.split('|');
  if (words.some((word) => FILES.has(word))) return { kind: 'files' };
  const isChoice =
    words.length > 1 && words.every((word) => /^[a-z-]+$/.test(word) && !PLACEHOLDERS.has(word));
  return isChoice ? { kind: 'words', words } : { kind: 'nothing' };
}

/** The options and settings of a command, in the order of its help. */
export function flagsOf({ options, settings }: Command): Flag[] {
  const own = Object.entries(options).map(([name, { value, short, help, type }]): Flag => {
    const completion = type === 'boolean' ? undefined : completionOf(value ?? '');
    return { name: `--${name}`, short, help, value: completion };
  });
  const others = Object.values(settings).flatMap(({ flag, unit, help }): Flag[] =>
    flag === undefined ? [] : [{ name: flag, short: undefined, help, value: completionOf(unit) }],
  );
  return [
    ...own,
    ...others,
    { name: '--json', short: undefined, help: 'one JSON document on standard output', value: undefined },
    { name: '--help', short: 'h', help: 'the arguments and settings, with an example', value: undefined },
  ];
}

/** How the words after the name of a command are completed. */
export function wordsAfter({ positionals }: Command): Completion {
  const [first] = /[<[]([^>\]]+)[>\]]/.exec(positionals)?.slice(1) ?? [];
  if (first === undefined) return { kind: 'nothing' };
  return first === 'name' || first === 'plugin' ? { kind: 'plugins' } : completionOf(first);
}

/** The commands, with the words that stand for one. */
export const firstWords = (commands: readonly Command[]): { word: string; help: string }[] => [
  ...commands.map(({ name, summary }) => ({ word: name, help: summary })),
  { word: 'help', help: 'the overview, or the help of a command' },
  { word: '--help', help: 'the overview' },
  { word: '--version', help: 'the version' },
];
