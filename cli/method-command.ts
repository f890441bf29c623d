/** Commands that call a method. Words, options and help come from its row, and are the same with and without an agent. */
import * as z from 'zod';

import { isNotReached, newOperationId } from '../client/index.ts';
import type { Caller } from '../shared/api/caller.ts';
import { Fault, toFault } from '../shared/api/fault.ts';
import type { CommandRow } from '../shared/api/method.ts';
import type { SettingTable } from '../shared/api/setting.ts';
import { type MethodName, type Params, type Result, methods, readParams } from '../shared/api/methods.ts';
import { type Command, type Context, EXIT, type Given, type Option } from './command.ts';
import { checkName } from './reach.ts';
import { safe } from './render.ts';
import { CHANGE_SETTINGS, withCaller } from './work.ts';

/** How a terminal shows an answer. Default: its fields, one a line, and exit code 0. */
export type Rendering<M extends MethodName> = {
  examples?: readonly string[];
  /** Converts the typed values to the parameters of the method. @throws Fault INVALID_PARAMS */
  params?: (wanted: Readonly<Record<string, unknown>>) => Record<string, unknown>;
  /** Remarks beside the result, such as warnings. */
  notes?: (result: Result<M>) => readonly string[];
  text?: (result: Result<M>, context: Context) => string;
  exit?: (result: Result<M>) => number;
  /** Default: those of all commands that change something. */
  settings?: SettingTable;
};

/** The option for a parameter whose option has another name. */
type Spelling = { flag: string; option: Option; read: (given: Given) => unknown };

const SPELLINGS: Readonly<Record<string, Spelling>> = {
  operationId: {
    flag: 'operation',
    option: {
      type: 'string',
      value: 'id',
      help: 'the operation id; the same command with the same id is safe to repeat',
    },
    read: ({ strings }) => strings['operation'] ?? newOperationId(),
  },
  expect: {
    flag: 'expect',
    option: { type: 'string', value: 'id|none', help: '' },
    read: ({ strings: { expect } }) =>
      expect === undefined ? undefined : { installId: expect === 'none' ? null : expect },
  },
  bundle: {
    flag: 'digest',
    option: { type: 'string', value: 'sha256:…', help: '' },
    read: ({ strings: { digest } }) =>
      digest === undefined ? undefined : { sha256: digest.replace(/^sha256:/, '') },
  },
  restart: {
    flag: 'no-restart',
    option: { type: 'boolean', help: '' },
    read: ({ booleans }) => (booleans['no-restart'] === true ? false : undefined),
  },
  // Plan first: the command changes nothing unless it is told to.
  plan: {
    flag: 'yes',
    option: { type: 'boolean', help: 'do it; without this the command only says what it would do' },
    read: ({ booleans }) => (booleans['yes'] === true ? undefined : true),
  },
  // `--to` is the address of the agent in all commands.
  to: {
    flag: 'version',
    option: { type: 'string', value: 'id', help: '' },
    read: ({ strings }) => strings['version'],
  },
};

/**
 * The command of a method.
 *
 * @param row which of its commands. @param rendering what the terminal shows of the answer.
 */
export function methodCommand<M extends MethodName>(
  method: M,
  row: CommandRow | undefined,
  rendering: Rendering<M> = {},
): Command {
  const { summary, params } = methods[method];
  if (row === undefined) {
    throw new Fault('INTERNAL', `The method "${method}" has no command in its row`);
  }
  const shape: Readonly<Record<string, z.ZodType>> = params.shape;
  const words = row.arguments;
  const set = row.sets ?? {};
  const spellings = Object.entries(shape)
    .filter(([name]) => !words.includes(name) && set[name] === undefined)
    .map(([name, schema]) => ({ name, ...spellingOf(name, schema) }))
    // It is last in the help, because few people use it.
    .toSorted((a, b) => Number(a.name === 'operationId') - Number(b.name === 'operationId'));
  const needed = words.filter((name) => shape[name]?.safeParse(undefined).success === false).length;
  return {
    name: row.name,
    summary: lowerFirst(row.summary ?? summary),
    positionals: words.map((name, i) => (i < needed ? `<${wordOf(name)}>` : `[${wordOf(name)}]`)).join(' '),
    count: { min: needed, max: words.length },
    settings: rendering.settings ?? CHANGE_SETTINGS,
    options: Object.fromEntries(spellings.map(({ flag, option }) => [flag, option])),
    examples: rendering.examples ?? examplesOf(row, needed),
    async run(context) {
      const { given, output, signal } = context;
      const typed = words.map((name, i) => [name, given.positionals[i]] as const);
      const [plugin] = typed.flatMap(([name, word]) => (name === 'plugin' && word !== undefined ? word : []));
      if (plugin !== undefined) {
        checkName(plugin);
      }
      const options = spellings.map(({ name, read }) => [name, read(given)] as const);
      const wanted = Object.fromEntries(
        [...options, ...typed, ...Object.entries(set)].filter(([, value]) => value !== undefined),
      );
      const asked = readOptions(method, rendering.params?.(wanted) ?? wanted, row.name);
      const result = await withCaller(context, (caller) => callOrAbort(caller, method, asked, signal));
      for (const note of rendering.notes?.(result) ?? []) output.note(note);
      output.result(result, () => (rendering.text ?? plainText(row.name))(result, context));
      return rendering.exit?.(result) ?? EXIT.done;
    },
  };
}

const ABORT_MILLIS = 5000;

/** Calls a method. If the command is interrupted, what can be aborted is aborted. */
async function callOrAbort<M extends MethodName>(
  caller: Caller,
  method: M,
  params: Params<M>,
  signal: AbortSignal,
): Promise<Result<M>> {
  try {
    return await caller.call(method, params, { signal });
  } catch (error) {
    const operationId = 'operationId' in params ? params.operationId : undefined;
    if (operationId !== undefined && error instanceof Fault && isUncertain(error)) {
      const { code, message, retry, executed } = error;
      const hint = `Run it again with --operation ${operationId}: what is done is not repeated, and gives its answer`;
      throw new Fault(code, message, { cause: error, hint, retry, executed });
    }
    if (signal.aborted && methods[method].effect === 'upload' && operationId !== undefined) {
      const patience = AbortSignal.timeout(ABORT_MILLIS);
      const abort = caller.call('install.abort', { operationId }, { signal: patience });
      // Without an answer it is not known whether that was in time, and the fault says so.
      await abort.catch(() => undefined);
    }
    throw error;
  }
}

/** The connection broke before the answer, so that nobody here knows whether the change was made. */
const isUncertain = (fault: Fault): boolean => isNotReached(fault) && fault.executed === 'maybe';

/** The row of a command by its name. */
export const rowOf = (method: MethodName, name: string): CommandRow | undefined =>
  methods[method].cli?.find((row) => row.name === name);

/** Reads the typed options of a method. @throws Fault INVALID_PARAMS, with the help of that command as hint. */
export function readOptions<M extends MethodName>(
  method: M,
  wanted: unknown,
  command: string,
): ReturnType<typeof readParams<M>> {
  try {
    return readParams(method, wanted);
  } catch (error) {
    const fault = toFault(error, 'Reading the options');
    throw new Fault(fault.code, fault.message, { cause: error, hint: `See "airlock ${command} --help"` });
  }
}

function spellingOf(name: string, schema: z.ZodType): Spelling {
  const help = schema.description ?? '';
  const own = SPELLINGS[name];
  if (own !== undefined) {
    return help === '' || own.option.help !== '' ? own : { ...own, option: { ...own.option, help } };
  }
  const flag = name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  const isBoolean = schema.safeParse(true).success;
  return isBoolean
    ? {
        flag,
        option: { type: 'boolean', help },
        read: ({ booleans }) => (booleans[flag] === true ? true : undefined),
      }
    : {
        flag,
        option: { type: 'string', value: isMoment(schema) ? 'time' : name, help },
        read: ({ strings }) => strings[flag],
      };
}

const isMoment = (schema: z.ZodType): boolean =>
  schema.safeParse('2026-05-08T14:15:30Z').success && !schema.safeParse('text').success;

const wordOf = (name: string): string => (name === 'plugin' ? 'name' : name);

const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1);

function examplesOf({ name }: CommandRow, needed: number): string[] {
  const command = `airlock ${name}${needed > 0 ? ' my-plugin' : ''}`;
  return [`${command} --to ws://127.0.0.1:7423`, `${command} --root /configs/plugins`];
}

/** The fields of an answer, a line each. */
const plainText =
  (name: string) =>
  (result: object, { output: { paint } }: Context): string =>
    [
      paint('green', name),
      ...Object.entries(result).map(([key, value]) => {
        const text = typeof value === 'string' ? value : JSON.stringify(value);
        return `  ${key.padEnd(12)}${safe(text)}`;
      }),
    ].join('\n');
