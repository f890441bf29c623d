/** `airlock push --all`: what becomes of each plugin of a directory, in one line each. */
import { type PluginPush, pushAll, type PushesOptions } from '../client/index.ts';
import { Fault } from '../shared/api/fault.ts';
import { type Context, EXIT, exitCodeOf } from './command.ts';
import { noteFindings } from './findings.ts';
import { lockInstalled } from './lock-installed.ts';
import type { Output } from './output.ts';
import { openFor } from './reach.ts';
import { bytes, packNotes, plural, reloadText, replacedText, safe, sentText } from './render.ts';

/** Options that are about one plugin. */
const OF_ONE = ['name', 'operation', 'pin'] as const;

type Wishes = Omit<PushesOptions, 'expect' | 'onPlugin'> & { expect?: string | null | undefined };

/**
 * Pushes all plugins of the directory that the command names.
 *
 * @returns the exit code: that of what stopped it, else 1 if one was refused.
 * @throws Fault INVALID_PARAMS for options that are about one plugin; as `pushAll`.
 */
export async function pushAllOf(context: Context, wishes: Wishes): Promise<number> {
  const { given, output, signal } = context;
  const { expect, ...rest } = wishes;
  const wrong = OF_ONE.find((name) => given.strings[name] !== undefined);
  if (wrong !== undefined || typeof expect === 'string') {
    const flag = wrong ?? 'expect';
    throw new Fault('INVALID_PARAMS', `--${flag} is about one plugin, and --all pushes several`, {
      hint:
        flag === 'expect' ? 'With --all, only "--expect none" is possible' : `Leave --${flag} or --all out`,
    });
  }
  const [directory = ''] = given.positionals;
  let said: ReadonlySet<string> = new Set();
  const { plugins, stopped } = await pushAll((until) => openFor(context, { signal: until }), directory, {
    ...rest,
    expect,
    onPacked: (one, packed) => {
      for (const note of packNotes(packed)) output.note(`${safe(one.name)}: ${note}`);
      said = noteFindings(packed.findings, one.directory, output, `${safe(one.name)}: `);
    },
    onPlugin: (one) => {
      for (const warning of 'answer' in one ? one.answer.warnings.items : []) {
        if (!said.has(warning)) output.note(`${safe(one.plugin)}: warning: ${safe(warning)}`);
      }
      if (!output.json) output.text(lineOf(one, output));
      else if ('fault' in one) output.note(lineOf(one, output));
    },
  });
  const counts = countsOf(plugins);
  const error = stopped === undefined ? {} : { error: stopped.toData() };
  output.result({ plugins: plugins.map(rowOf), ...counts, ...error }, () => sentenceOf(counts));
  const locked = await lockInstalled(
    context,
    plugins.flatMap((one) => ('answer' in one ? one.answer : [])),
  );
  if (stopped === undefined) return counts.refused > 0 ? EXIT.failed : locked;
  output.fault(stopped, false);
  return exitCodeOf(stopped, signal);
}

const WIDTH = 'installed'.length;

function lineOf(one: PluginPush, { paint }: Output): string {
  const { plugin, status } = one;
  const word = status === 'untried' ? 'not tried' : status;
  const colour = 'answer' in one ? 'green' : 'fault' in one ? 'red' : 'yellow';
  const begin = `${paint(colour, word.padEnd(WIDTH))}  ${safe(plugin)}`;
  if ('answer' in one) {
    const { pluginVersion, files, bytes: size, reload } = one.answer;
    const about = `${plural(files, 'file')}, ${bytes(size)}${sentText(one.answer.delta)}${reloadText(reload)}`;
    return `${begin} ${safe(pluginVersion)}${replacedText(one.answer)} (${about})`;
  }
  return 'fault' in one ? `${begin}: ${safe(one.fault.message)} (${one.fault.code})` : begin;
}

/** One plugin in the JSON document: the agent's answer, or the error. */
function rowOf(one: PluginPush): object {
  const { plugin, place, status } = one;
  if ('answer' in one) return { place, ...one.packed, ...one.answer };
  return { plugin, place, status, ...('fault' in one ? { error: one.fault.toData() } : {}) };
}

type Counts = Record<'installed' | 'present' | 'refused' | 'cancelled' | 'untried', number>;

function countsOf(plugins: readonly PluginPush[]): Counts {
  const count = (wanted: PluginPush['status']): number =>
    plugins.filter(({ status }) => status === wanted).length;
  return {
    installed: count('installed'),
    present: count('present'),
    refused: count('refused'),
    cancelled: count('cancelled'),
    untried: count('untried'),
  };
}

function sentenceOf({ installed, present, refused, cancelled, untried }: Counts): string {
  const rest = [
    ...(cancelled > 0 ? [`${cancelled} cancelled`] : []),
    ...(untried > 0 ? [`${untried} not tried`] : []),
  ];
  return [`${installed} installed`, `${present} present`, `${refused} refused`, ...rest].join(', ');
}
