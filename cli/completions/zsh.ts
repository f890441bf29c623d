/** Completions for zsh, to be sourced or put into a directory of its `fpath` as `_airlock`. */
import type { Command } from '../command.ts';
import { type Completion, type Flag, firstWords, flagsOf, wordsAfter } from './words.ts';

const quoted = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;
/** In a specification of an option these characters have a meaning. */
const plain = (text: string): string => text.replaceAll(/[\\[\]:]/g, String.raw`\$&`);

function action(completion: Completion): string {
  switch (completion.kind) {
    case 'words':
      return `(${completion.words.join(' ')})`;
    case 'files':
      return '_files';
    case 'plugins':
      return '_airlock_plugins';
    case 'nothing':
      return ' ';
    default:
      return completion satisfies never;
  }
}

function specification({ name, short, help, value }: Flag): string[] {
  const rest = `[${plain(help)}]${value === undefined ? '' : `:value:${action(value)}`}`;
  const names = short === undefined ? [name] : [name, `-${short}`];
  return names.map((one) => quoted(`*${one}${value === undefined || one === `-${short}` ? '' : '='}${rest}`));
}

function caseOf(command: Command): string {
  const specifications = [
    ...flagsOf(command).flatMap(specification),
    quoted(`*:word:${action(wordsAfter(command))}`),
  ];
  return `    ${command.name})
      _arguments \\
        ${specifications.join(' \\\n        ')}
      ;;`;
}

/** The script. */
export function zshCompletions(commands: readonly Command[]): string {
  const rows = firstWords(commands).map(({ word, help }) => `    ${quoted(`${plain(word)}:${help}`)}`);
  const names = commands.map(({ name }) => quoted(name)).join(' ');
  return `#compdef airlock
# Completions of airlock for zsh: source <(airlock completions zsh)
_airlock_plugins() {
  local -a plugins
  plugins=(\${AIRLOCK_ROOT:-/configs/plugins}/*(N/:t))
  compadd -a plugins
}
_airlock() {
  local -a commands
  commands=(
${rows.join('\n')}
  )
  if ((CURRENT == 2)); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  ((CURRENT--))
  case $command in
    help) compadd ${names} ;;
${commands.map(caseOf).join('\n')}
  esac
}
if [[ \${funcstack[1]} == _airlock ]]; then
  _airlock "$@"
else
  compdef _airlock airlock
fi
`;
}
