/** Completions for bash 3.2 and newer, without other packages. */
import type { Command } from '../command.ts';
import { type Completion, firstWords, flagsOf, wordsAfter } from './words.ts';

const HEAD = `# Completions of airlock for bash: source <(airlock completions bash)
_airlock_files() {
  compopt -o filenames 2>/dev/null
  local IFS=$'\\n'
  COMPREPLY=($(compgen -f -- "$1"))
}
_airlock_plugins() {
  local root="\${AIRLOCK_ROOT:-/configs/plugins}" path
  for path in "$root"/*/; do
    path="\${path%/}"
    path="\${path##*/}"
    if [[ "$path" != '*' && "$path" == "$1"* ]]; then COMPREPLY+=("$path"); fi
  done
}
_airlock() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD - 1]}" command="\${COMP_WORDS[1]}"
  COMPREPLY=()
  # --flag=value is three words.
  if [[ "$cur" == '=' ]]; then
    cur=''
  elif [[ "$prev" == '=' ]]; then
    prev="\${COMP_WORDS[COMP_CWORD - 2]}"
  fi`;

const TAIL = `  esac
}
complete -F _airlock airlock
`;

function step(completion: Completion): string {
  switch (completion.kind) {
    case 'words':
      return `COMPREPLY=($(compgen -W '${completion.words.join(' ')}' -- "$cur"))`;
    case 'files':
      return '_airlock_files "$cur"';
    case 'plugins':
      return '_airlock_plugins "$cur"';
    case 'nothing':
      return ':';
    default:
      return completion satisfies never;
  }
}

function caseOf(command: Command): string {
  const flags = flagsOf(command);
  const steps = new Map<string, string[]>();
  for (const { name, value } of flags) {
    if (value === undefined) continue;
    const one = step(value);
    steps.set(one, [...(steps.get(one) ?? []), name]);
  }
  const values = [...steps].map(([one, those]) => `        ${those.join(' | ')}) ${one}; return ;;`);
  const names = flags.flatMap(({ name, short }) => (short === undefined ? [name] : [name, `-${short}`]));
  return `    ${command.name})
      case "$prev" in
${[...values, '        *) ;;'].join('\n')}
      esac
      if [[ "$cur" == -* ]]; then
        COMPREPLY=($(compgen -W '${names.join(' ')}' -- "$cur"))
      else
        ${step(wordsAfter(command))}
      fi
      ;;`;
}

/** The script, for `source`. */
export function bashCompletions(commands: readonly Command[]): string {
  const words = firstWords(commands).map(({ word }) => word);
  return `${HEAD}
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W '${words.join(' ')}' -- "$cur"))
    return
  fi
  case "$command" in
    help) COMPREPLY=($(compgen -W '${commands.map(({ name }) => name).join(' ')}' -- "$cur")) ;;
${commands.map(caseOf).join('\n')}
${TAIL}`;
}
