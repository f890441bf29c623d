/** The output of `--help`. It is generated from the tables, so it is always right. */
import { type Setting, defaultText } from '../shared/api/setting.ts';
import type { Command } from './command.ts';
import type { Paint } from './render.ts';

const WIDTH = 26;
const row = (left: string, right: string): string =>
  left.length < WIDTH ? `  ${left.padEnd(WIDTH)}${right}` : `  ${left}\n  ${' '.repeat(WIDTH)}${right}`;

/** The options of all commands. */
export const EVERYWHERE: readonly (readonly [flag: string, help: string])[] = [
  ['--json', 'one JSON document on standard output; also when it is piped'],
  ['--help, -h', 'the arguments and settings of a command, with an example'],
  ['--version', 'the version'],
];
/** What the exit codes mean. */
export const EXIT_CODES_TEXT = '0 done, 1 refused or failed, 2 usage, 3 unreachable, 4 unauthenticated';

/** The overview of all commands. */
export function overview(commands: readonly Command[], version: string, paint: Paint): string {
  return [
    `airlock ${version}: installs plugins into running workspaces, as a whole or not at all`,
    '',
    paint('bold', 'Usage'),
    '  airlock <command> [options]',
    '',
    paint('bold', 'Commands'),
    ...commands.map(({ name, summary }) => row(name, summary)),
    '',
    paint('bold', 'Everywhere'),
    ...EVERYWHERE.map(([flag, help]) => row(flag, help)),
    '',
    paint('bold', 'Exit codes'),
    `  ${EXIT_CODES_TEXT}`,
  ].join('\n');
}

function settingRow(setting: Setting): string {
  const { flag, env, unit, help } = setting;
  const otherwise = defaultText(setting);
  const about = [
    ...(flag === undefined ? [] : [env]),
    ...(otherwise === '' ? [] : [`default: ${otherwise}`]),
  ];
  const left = flag === undefined ? `${env}=<${unit}>` : `${flag} <${unit}>`;
  return row(left, about.length === 0 ? help : `${help} (${about.join(', ')})`);
}

/** The help of one command. */
export function helpOf(command: Command, paint: Paint): string {
  const { name, positionals, summary, examples } = command;
  const own = Object.entries(command.options).map(([option, { value, short, help }]) => {
    const flag = short === undefined ? `--${option}` : `-${short}, --${option}`;
    return row(value === undefined ? flag : `${flag} <${value}>`, help);
  });
  return [
    `airlock ${name}: ${summary}`,
    '',
    paint('bold', 'Usage'),
    `  airlock ${[name, positionals, '[options]'].filter((word) => word !== '').join(' ')}`,
    '',
    paint('bold', 'Options'),
    ...own,
    ...Object.values(command.settings).map(settingRow),
    row('--json', 'one JSON document on standard output'),
    '',
    paint('bold', examples.length === 1 ? 'Example' : 'Examples'),
    ...examples.map((example) => `  ${example}`),
  ].join('\n');
}
