/** docs/airlock.1: the manual page, from the same tables as the help of the commands. */
import type { Command } from '../../cli/command.ts';
import { EVERYWHERE, EXIT_CODES_TEXT } from '../../cli/help.ts';
import { type SettingTable, defaultText } from '../../shared/api/setting.ts';

/** Text of a page: hyphens that are typed, and nothing at the begin of a line that roff takes for a request. */
const plain = (text: string): string =>
  text
    .replaceAll('\\', String.raw`\e`)
    .replaceAll('-', String.raw`\-`)
    .replaceAll(/^(?=[.'])/gm, String.raw`\&`);
const bold = (text: string): string => String.raw`\fB${plain(text)}\fR`;
const italic = (text: string): string => String.raw`\fI${plain(text)}\fR`;
const row = (left: string, right: string): string => `.TP\n${left}\n${plain(right)}`;

const optionRows = ({ options, settings }: Command): string[] => [
  ...Object.entries(options).map(([name, { value, short, help }]) => {
    const flag = bold(short === undefined ? `--${name}` : `-${short}, --${name}`);
    return row(value === undefined ? flag : `${flag} ${italic(value)}`, help);
  }),
  ...Object.values(settings).flatMap(({ flag, unit, env }) =>
    flag === undefined ? [] : [row(`${bold(flag)} ${italic(unit)}`, `as ${env} below`)],
  ),
];

function section(command: Command): string {
  const { name, positionals, summary, examples } = command;
  const usage = [bold(`airlock ${name}`), italic(positionals), '[options]'].filter(
    (word) => word !== italic(''),
  );
  return [
    `.SS ${plain(name)}`,
    usage.join(' '),
    '.PP',
    plain(`${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`),
    ...optionRows(command),
    '.PP',
    examples.length === 1 ? 'Example:' : 'Examples:',
    '.PP',
    '.nf',
    ...examples.map((example) => `    ${plain(example)}`),
    '.fi',
  ].join('\n');
}

function environment(settings: SettingTable): string[] {
  return Object.values(settings).map((setting) => {
    const { env, unit, help, flag } = setting;
    const otherwise = defaultText(setting);
    const about = [
      ...(flag === undefined ? [] : [flag]),
      ...(otherwise === '' ? [] : [`default: ${otherwise}`]),
    ];
    const text = about.length === 0 ? help : `${help} (${about.join(', ')})`;
    return row(`${bold(env)}=${italic(unit)}`, text);
  });
}

/** @param commands in the order of the overview. */
export function manPage(commands: readonly Command[], settings: SettingTable, version: string): string {
  return `${[
    String.raw`.\" Written by "npm run docs" from the tables of commands and settings.`,
    `.TH AIRLOCK 1 "" "airlock ${plain(version)}" "User Commands"`,
    '.SH NAME',
    String.raw`airlock \- installs plugins into running workspaces, as a whole or not at all`,
    '.SH SYNOPSIS',
    `${bold('airlock')} ${italic('command')} [options]`,
    '.SH DESCRIPTION',
    plain(
      'A workspace is a container in which an AI agent works. A plugin is a directory of skills, rules, hooks and adapters below ' +
        'the root of the workspace. An agent takes plugins over an authenticated WebSocket and puts each in place in one step. With --to a ' +
        'command asks an agent; with --root it works on the disk itself, under the same locks.',
    ),
    '.SH OPTIONS OF ALL COMMANDS',
    ...EVERYWHERE.map(([flag, help]) => row(bold(flag), help)),
    '.SH COMMANDS',
    ...commands.map(section),
    '.SH ENVIRONMENT',
    plain('A flag overrides its variable, and the variable overrides the default.'),
    ...environment(settings),
    '.SH EXIT STATUS',
    plain(EXIT_CODES_TEXT),
    '.SH FILES',
    row(bold('/configs/plugins'), 'the root, unless AIRLOCK_ROOT names another one'),
  ].join('\n')}\n`;
}
