/** `airlock completions`: prints what makes a shell complete the command lines of airlock. */
import { Fault } from '../../shared/api/fault.ts';
import { type Command, EXIT } from '../command.ts';
import { bashCompletions } from '../completions/bash.ts';
import { fishCompletions } from '../completions/fish.ts';
import { SHELLS, type Shell } from '../completions/words.ts';
import { zshCompletions } from '../completions/zsh.ts';

const SCRIPTS: Readonly<Record<Shell, (commands: readonly Command[]) => string>> = {
  bash: bashCompletions,
  zsh: zshCompletions,
  fish: fishCompletions,
};

export const command: Command = {
  name: 'completions',
  summary: 'print the completions for a shell: commands, options, values, files and plugins',
  positionals: `<${SHELLS.join('|')}>`,
  count: { min: 1, max: 1 },
  settings: {},
  options: {},
  examples: [
    'source <(airlock completions bash)',
    'source <(airlock completions zsh)',
    'airlock completions fish | source',
  ],
  async run({ given, commands, output }) {
    const [word = ''] = given.positionals;
    const shell = SHELLS.find((one) => one === word);
    if (shell === undefined) {
      throw new Fault('INVALID_PARAMS', `There are no completions for "${word}"`, {
        hint: `Name one of these shells: ${SHELLS.join(', ')}`,
      });
    }
    const script = SCRIPTS[shell](await commands());
    // Piped, it is the script all the same: that is how it is used.
    if (given.booleans['json'] === true) output.result({ shell, script }, () => script);
    else output.text(script.trimEnd());
    return EXIT.done;
  },
};
