/** Finds the command, runs it, and turns the outcome into an exit code. */
import { Fault, toFault } from '../shared/api/fault.ts';
import { isMethod, methods } from '../shared/api/methods.ts';
import { nearest, readArguments } from './arguments.ts';
import { type Command, EXIT, exitCodeOf } from './command.ts';
import { helpOf, overview } from './help.ts';
import { Output, type Sink } from './output.ts';

type Load = () => Promise<{ command: Command }>;

/** A command is loaded when it is called: `list` does not wait for the agent's code. */
const FILES: Readonly<Record<string, Load>> = {
  agent: () => import('./commands/agent.ts'),
  push: () => import('./commands/push.ts'),
  pull: () => import('./commands/pull.ts'),
  boot: () => import('./commands/boot.ts'),
  classify: () => import('./commands/classify.ts'),
  list: () => import('./commands/list.ts'),
  history: () => import('./commands/history.ts'),
  verify: () => import('./commands/verify.ts'),
  rollback: () => import('./commands/rollback.ts'),
  uninstall: () => import('./commands/uninstall.ts'),
  adopt: () => import('./commands/adopt.ts'),
  lock: () => import('./commands/lock.ts'),
  reconcile: () => import('./commands/reconcile.ts'),
  export: () => import('./commands/export.ts'),
  restarted: () => import('./commands/restarted.ts'),
  recover: () => import('./commands/recover.ts'),
  sweep: () => import('./commands/sweep.ts'),
  status: () => import('./commands/status.ts'),
  doctor: () => import('./commands/doctor.ts'),
  watch: () => import('./commands/watch.ts'),
  pack: () => import('./commands/pack.ts'),
  validate: () => import('./commands/validate.ts'),
  token: () => import('./commands/token.ts'),
  completions: () => import('./commands/completions.ts'),
};

/** Rows of the method table without a file: their commands show the plain answer. */
const rows = Object.keys(methods)
  .filter(isMethod)
  .flatMap((method) => (methods[method].cli ?? []).map((row) => ({ method, row })))
  .filter(({ row }) => !Object.hasOwn(FILES, row.name))
  .map(({ method, row }): [string, Load] => [
    row.name,
    async () => ({ command: (await import('./method-command.ts')).methodCommand(method, row) }),
  ]);

export const COMMANDS: Readonly<Record<string, Load>> = { ...FILES, ...Object.fromEntries(rows) };

export type RunOptions = {
  words: readonly string[];
  env: Readonly<Record<string, string | undefined>>;
  out: Sink;
  error: Sink;
  version: string;
  self: URL;
  signal: AbortSignal;
};

/** Never throws: a failure is printed and becomes the exit code. */
export async function run(options: RunOptions): Promise<number> {
  const { words, env, out, error, version, self, signal } = options;
  const noColour = env['NO_COLOR'] !== undefined && env['NO_COLOR'] !== '';
  const json = words.includes('--json');
  const output = new Output(out, error, json, noColour);
  try {
    const [name, ...rest] = asMeant(words);
    if (name === undefined || name === '--help' || name === '-h') {
      const text = overview(await allCommands(), version, output.paint);
      if (name === undefined) {
        output.note(text);
        return EXIT.usage;
      }
      output.text(text);
      return EXIT.done;
    }
    if (name === '--version' || name === '-v') {
      output.text(version);
      return EXIT.done;
    }
    const command = await find(name);
    const given = readArguments(command, rest);
    if (given.help) {
      output.text(helpOf(command, output.paint));
      return EXIT.done;
    }
    return await command.run({ name, given, env, output, version, self, commands: allCommands, signal });
  } catch (thrown) {
    const fault = toFault(thrown, 'The command');
    output.fault(fault, json);
    return exitCodeOf(fault, signal);
  }
}

const allCommands = async (): Promise<Command[]> =>
  (await Promise.all(Object.values(COMMANDS).map((load) => load()))).map(({ command }) => command);

/** `help push` is `push --help`, and `version` is `--version`. */
function asMeant(words: readonly string[]): readonly string[] {
  const [name, topic] = words;
  if (name === 'help') {
    return topic === undefined || topic.startsWith('-') ? ['--help'] : [topic, '--help'];
  }
  return name === 'version' ? ['--version'] : words;
}

/** What other tools call a command. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  install: 'push',
  add: 'push',
  update: 'push',
  upgrade: 'push',
  remove: 'uninstall',
  rm: 'uninstall',
  delete: 'uninstall',
  ls: 'list',
  downgrade: 'rollback',
  check: 'validate',
  diagnose: 'doctor',
  log: 'history',
  lint: 'validate',
  sync: 'reconcile',
  apply: 'reconcile',
  freeze: 'lock',
};

async function find(name: string): Promise<Command> {
  const load = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (load === undefined) {
    const near = Object.hasOwn(ELSEWHERE, name) ? ELSEWHERE[name] : nearest(name, Object.keys(COMMANDS));
    const why = near === undefined ? '' : `; did you mean "${near}"`;
    throw new Fault('INVALID_PARAMS', `There is no command "${name}"${why}`, {
      hint: 'See "airlock --help"',
    });
  }
  return (await load()).command;
}
