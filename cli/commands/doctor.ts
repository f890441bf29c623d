/** `airlock doctor`: checks the root and the agent, and says what is wrong and what to do. */
import { type CheckLevel, type CheckResult, type Diagnosis, checks } from '../../shared/api/doctor.ts';
import { methods } from '../../shared/api/methods.ts';
import { settingsOf } from '../../shared/api/setting.ts';
import { settings } from '../../shared/api/settings.ts';
import { type Command, type Context, EXIT } from '../command.ts';
import { openFor, usesAgent } from '../reach.ts';
import { type Paint, plural, safe, table } from '../render.ts';
import { openHere } from '../work.ts';

export const command: Command = {
  name: 'doctor',
  summary: lowerFirst(methods.doctor.summary),
  positionals: '',
  count: { min: 0, max: 0 },
  settings: settingsOf(settings, 'client', 'agent'),
  options: {},
  examples: ['airlock doctor --to ws://127.0.0.1:7423', 'airlock doctor --root /configs/plugins'],
  async run(context) {
    const { output, signal } = context;
    // A root that is not there is what it is to find out.
    const caller = usesAgent(context) ? await openFor(context) : await openHere(context);
    try {
      const diagnosis = await caller.call('doctor', {}, { signal });
      // Before the end of the threads, which may take as long as a disk that hangs.
      output.result(diagnosis, () => textOf(diagnosis, context));
      return diagnosis.level === 'error' ? EXIT.failed : EXIT.done;
    } finally {
      await caller.close();
    }
  },
};

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

const STYLES = { ok: 'green', note: 'cyan', warning: 'yellow', error: 'red' } as const;
const LEVEL_WIDTH = 7;
const CHECK_WIDTH = Math.max(...Object.keys(checks).map((name) => name.length));

function textOf(diagnosis: Diagnosis, { output: { paint } }: Context): string {
  const { agent, root, settings: values } = diagnosis;
  const rows = values.map(({ flag, env, value, from }) => [
    env,
    value,
    from === 'flag' ? (flag ?? from) : from,
  ]);
  return [
    agent === undefined
      ? `${paint('bold', safe(root))} as this command finds it, and an agent that would start with these settings`
      : `${paint('bold', safe(root))} as its agent ${safe(agent)} finds it`,
    table(['SETTING', 'VALUE', 'FROM'], rows, paint),
    '',
    ...diagnosis.checks.flatMap((result) => linesOf(result, paint)),
    lastLine(diagnosis, paint),
  ].join('\n');
}

function linesOf({ check, level, found, why, fix }: CheckResult, paint: Paint): string[] {
  const indent = ' '.repeat(LEVEL_WIDTH + CHECK_WIDTH + 4);
  return [
    `${paint(STYLES[level], level.padEnd(LEVEL_WIDTH))}  ${safe(check).padEnd(CHECK_WIDTH)}  ${safe(found)}`,
    ...(why === undefined ? [] : [`${indent}why: ${safe(why)}`]),
    ...(fix === undefined ? [] : [`${indent}what to do: ${safe(fix)}`]),
  ];
}

/** Whether somebody has to act. */
function lastLine({ level, checks: results }: Diagnosis, paint: Paint): string {
  const count = (wanted: CheckLevel): number => results.filter((one) => one.level === wanted).length;
  const counts = `${plural(count('error'), 'error')}, ${plural(count('warning'), 'warning')}, ${plural(count('note'), 'note')}`;
  if (level === 'error') return paint('red', `Somebody has to act: ${counts}`);
  return level === 'warning'
    ? paint('yellow', `Nothing is broken, and somebody should act: ${counts}`)
    : paint('green', `Nobody has to act: ${counts}`);
}
