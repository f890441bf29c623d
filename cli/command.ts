/** The type of a command, and the exit codes of all commands. */
import type { Fault, FaultCode } from '../shared/api/fault.ts';
import type { SettingTable, Texts } from '../shared/api/setting.ts';
import type { Output } from './output.ts';

/** Exit codes. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  unreachable: 3,
  unauthenticated: 4,
  interrupted: 130,
} as const;

const EXIT_CODES: Partial<Record<FaultCode, number>> = {
  INVALID_PARAMS: EXIT.usage,
  UNREACHABLE: EXIT.unreachable,
  UNAUTHENTICATED: EXIT.unauthenticated,
  FORBIDDEN: EXIT.unauthenticated,
};

/** The exit code for a fault. */
export function exitCodeOf(fault: Fault, signal: AbortSignal): number {
  return signal.aborted ? EXIT.interrupted : (EXIT_CODES[fault.code] ?? EXIT.failed);
}

/** An option of one command. Settings are in `settings`. */
export type Option = {
  type: 'boolean' | 'string';
  value?: string;
  /** One letter that stands for it. */
  short?: string;
  /** It may be given more than once. */
  multiple?: true;
  help: string;
};

export type Given = {
  positionals: readonly string[];
  /** Settings that were given as flags, by setting name. */
  settings: Texts;
  /** The command's own options. */
  strings: Texts;
  /** Of options that may be given more than once. */
  lists: Readonly<Record<string, readonly string[]>>;
  booleans: Readonly<Record<string, boolean | undefined>>;
};

export type Context = {
  /** The command's name. */
  name: string;
  given: Given;
  env: Texts;
  output: Output;
  version: string;
  /** The file that runs as an engine thread: this program itself. */
  self: URL;
  /** All commands, in the order of the overview. */
  commands: () => Promise<readonly Command[]>;
  /** Aborted by SIGINT. */
  signal: AbortSignal;
};

export type Command = {
  name: string;
  /** One line for the overview. */
  summary: string;
  /** The words after the name, such as `<dir|tgz>`. */
  positionals: string;
  /** The number of these words. */
  count: { min: number; max: number };
  /** The rows of the table of settings that it reads. */
  settings: SettingTable;
  options: Readonly<Record<string, Option>>;
  examples: readonly string[];
  /** @returns the exit code. @throws Fault */
  run(context: Context): Promise<number>;
};

/** Of the commands that take the directory of a plugin. */
export const NAME_OPTION = {
  type: 'string',
  value: 'name',
  help: 'the name of the plugin, if the manifest has none or is a SKILL.md with a name for people',
} as const;
