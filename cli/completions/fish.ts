/** Completions for fish, to be sourced or put into its directory of completions as `airlock.fish`. */
import type { Command } from '../command.ts';
import { type Completion, type Flag, firstWords, flagsOf, wordsAfter } from './words.ts';

const quoted = (text: string): string => `'${text.replaceAll(/[\\']/g, String.raw`\$&`)}'`;
const isOf = (name: string): string => `-n '__fish_seen_subcommand_from ${name}'`;

function argument(completion: Completion): string {
  switch (completion.kind) {
    case 'words':
      return ` -a ${quoted(completion.words.join(' '))}`;
    case 'files':
      return ' -F';
    case 'plugins':
      return ` -a '(__airlock_plugins)'`;
    case 'nothing':
      return '';
    default:
      return completion satisfies never;
  }
}

function flagLine(command: string, { name, short, help, value }: Flag): string {
  const takes = value === undefined ? '' : ` -r${value.kind === 'files' ? ' -F' : ` -f${argument(value)}`}`;
  const letter = short === undefined ? '' : ` -s ${short}`;
  return `complete -c airlock ${isOf(command)} -l ${name.slice(2)}${letter}${takes} -d ${quoted(help)}`;
}

function linesOf(command: Command): string[] {
  const after = wordsAfter(command);
  const words =
    after.kind === 'nothing' ? [] : [`complete -c airlock ${isOf(command.name)}${argument(after)}`];
  return [...words, ...flagsOf(command).map((flag) => flagLine(command.name, flag))];
}

/** The script, for `source`. */
export function fishCompletions(commands: readonly Command[]): string {
  const first = firstWords(commands).map(({ word, help }) =>
    word.startsWith('--')
      ? `complete -c airlock -n __fish_use_subcommand -l ${word.slice(2)} -d ${quoted(help)}`
      : `complete -c airlock -n __fish_use_subcommand -a ${word} -d ${quoted(help)}`,
  );
  return `# Completions of airlock for fish: airlock completions fish | source
function __airlock_plugins
  set -l root /configs/plugins
  set -q AIRLOCK_ROOT; and set root $AIRLOCK_ROOT
  for plugin in $root/*/
    path basename $plugin 2>/dev/null; or basename $plugin
  end
end
complete -c airlock -f
${first.join('\n')}
complete -c airlock ${isOf('help')} -a ${quoted(commands.map(({ name }) => name).join(' '))}
${commands.flatMap(linesOf).join('\n')}
`;
}
