/** `airlock list`: what the agent says (`--to`), or what the gate says (`--root`). */
import { readFile, stat } from 'node:fs/promises';

import { listPlugins } from '../../client/index.ts';
import { type GateAnswer, type Plugin, type Refusal, createLoader } from '../../loader/index.ts';
import { readSettings } from '../../shared/config.ts';
import { Fault } from '../../shared/fault.ts';
import { type Layout, layoutOf } from '../../shared/layout.ts';
import type { PluginInfo } from '../../shared/methods.ts';
import { readLoaded } from '../../shared/loaded.ts';
import { isPending, readState } from '../../shared/state.ts';
import { type Command, type Context, EXIT } from '../command.ts';
import { REACH_SETTINGS, openFor, urlOf } from '../reach.ts';
import { bytes, plural, safe, table } from '../render.ts';

export const command: Command = {
  name: 'list',
  summary: 'show the plugins, admitted and refused, with the reason and what to do',
  positionals: '',
  count: { min: 0, max: 0 },
  settings: [...REACH_SETTINGS, 'root', 'loadedDir', 'runtime', 'manifest', 'ignore'],
  options: {
    mode: { type: 'string', value: 'enforce|warn', help: 'with --root: warn also admits what has no marker' },
    verify: { type: 'string', value: 'marker|stat|digest', help: 'with --root: how much is compared' },
  },
  examples: ['airlock list --to ws://127.0.0.1:7423', 'airlock list --root /configs/plugins --json'],
  async run(context) {
    const { output } = context;
    const plugins = usesAgent(context) ? await fromAgent(context) : await fromRoot(context);
    output.result(plugins, () => textOf(plugins, context));
    return EXIT.done;
  },
};

/** `--to` or `--root`, if one is given; else the agent of the environment, if there is one; else the root. */
export function usesAgent(context: Context): boolean {
  const { to, root } = context.given.settings;
  if (to !== undefined && root !== undefined) {
    throw new Fault('INVALID_PARAMS', '--to asks an agent, --root reads the disk: both were given', {
      hint: 'Leave one of them out',
    });
  }
  return to !== undefined || (root === undefined && urlOf(context) !== undefined);
}

async function fromAgent(context: Context): Promise<PluginInfo[]> {
  const session = await openFor(context);
  try {
    return await listPlugins(session, { signal: context.signal });
  } finally {
    await session.close();
  }
}

async function fromRoot({ given, env, signal, output }: Context): Promise<PluginInfo[]> {
  const { root, runtime, manifest, ignore } = readSettings(
    ['root', 'runtime', 'manifest', 'ignore'],
    given.settings,
    env,
  );
  await mustBeThere(root);
  const { mode, verify } = given.strings;
  const loader = createLoader({
    roots: [root],
    runtime,
    manifest,
    ignore,
    signal,
    mode: oneOf('mode', mode, ['enforce', 'warn'] as const),
    verify: oneOf('verify', verify, ['marker', 'stat', 'digest'] as const),
  });
  const { admitted, refused, warnings } = await loader.scan();
  for (const warning of warnings) output.note(`warning: ${warning}`);
  const { loadedDir } = readSettings(['loadedDir'], given.settings, env);
  const infos = [...admitted.map(admittedInfo), ...refused.map(refusedInfo)];
  const noted = infos.map((info) => withLoading(info, layoutOf(root, loadedDir)));
  return (await Promise.all(noted)).toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** What the state says of a restart that is due, and the runtime of what it has loaded; nothing where neither is readable. */
async function withLoading(info: PluginInfo, layout: Layout): Promise<PluginInfo> {
  const [state, said] = await Promise.all(
    [layout.stateOf(info.name), layout.loadedOf(info.name)].map((path) =>
      readFile(path, 'utf8').catch(() => ''),
    ),
  );
  const loaded = readLoaded(said ?? '')?.generation;
  const pending = readState(state ?? '')?.pending;
  return {
    ...info,
    ...(loaded === undefined ? {} : { loaded }),
    ...(isPending(pending, loaded) ? { pending } : {}),
  };
}

/** A root that is not there has no plugins; asked for by name, it is a mistake. @throws Fault NOT_FOUND */
export async function mustBeThere(root: string): Promise<void> {
  try {
    await stat(root);
  } catch (error) {
    throw new Fault('NOT_FOUND', `The root "${root}" cannot be read: ${(error as Error).message}`, {
      cause: error,
      hint: 'Name the directory that holds the plugins with --root',
    });
  }
}

/** The gate's answer in the shape in which agents tell it. */
export const gateInfo = (answer: GateAnswer): PluginInfo =>
  answer.admitted ? admittedInfo(answer.plugin) : refusedInfo(answer);

function admittedInfo({ name, level, marker, manifest, generation }: Plugin): PluginInfo {
  const base: PluginInfo = { name, status: 'admitted', level, installId: marker?.installId ?? generation };
  const { version, description, kind } = manifest ?? {};
  if (marker === undefined) {
    return { ...base, version, description, kind };
  }
  const { bundle, tree, files, bytes: size, installedAt, source, by, replaced } = marker;
  return {
    ...base,
    version,
    description,
    kind,
    bundle,
    tree,
    files,
    bytes: size,
    installedAt,
    source,
    by,
    replaced,
  };
}

const refusedInfo = ({ name, reason, detail, hint }: Refusal): PluginInfo => ({
  name,
  status: 'refused',
  reason,
  detail,
  hint,
});

function oneOf<T extends string>(
  flag: string,
  value: string | undefined,
  allowed: readonly T[],
): T | undefined {
  const found = allowed.find((candidate) => candidate === value);
  if (value !== undefined && found === undefined) {
    throw new Fault('INVALID_PARAMS', `--${flag} is "${value}" but must be one of ${allowed.join(', ')}`, {
      hint: 'See "airlock list --help"',
    });
  }
  return found;
}

function pendingText({ at, reasons: { items, total } }: NonNullable<PluginInfo['pending']>): string {
  const [first] = items;
  const which = first === undefined ? '' : `: ${first.path === '' ? '' : `${first.path}: `}${first.why}`;
  const more = total > 1 ? ` and ${total - 1} more` : '';
  return safe(`the runtime has not loaded the change of ${at}${which}${more}; it waits for a restart`);
}

function textOf(plugins: readonly PluginInfo[], { output: { paint } }: Context): string {
  if (plugins.length === 0) {
    return 'There are no plugins';
  }
  const rows = plugins.map(
    ({ name, status, level, reason, version = '', files, bytes: size, installId = '' }) => [
      name,
      version,
      status === 'admitted' ? (level ?? status) : `refused: ${reason ?? ''}`,
      files === undefined ? '' : String(files),
      size === undefined ? '' : bytes(size),
      installId,
    ],
  );
  const refused = plugins.filter(({ status }) => status === 'refused');
  const reasons = refused.flatMap(({ name, detail = '', hint = '' }) => [
    `${paint('yellow', safe(name))}: ${safe(detail)}`,
    `  what to do: ${safe(hint)}`,
  ]);
  const troubled = plugins.flatMap(({ name, trouble }) =>
    trouble === undefined
      ? []
      : [`${paint('red', name)}: ${safe(trouble.what)}`, `  what to do: ${safe(trouble.todo)}`],
  );
  const noted = plugins.flatMap(({ name, drift, pending }) => [
    ...(drift === undefined
      ? []
      : [
          `${paint('yellow', safe(name))}: ${plural(drift, 'file')} edited in place; see "airlock verify ${safe(name)}"`,
        ]),
    ...(pending === undefined ? [] : [`${paint('yellow', safe(name))}: ${pendingText(pending)}`]),
  ]);
  const last = `${plural(plugins.length - refused.length, 'plugin')} admitted, ${refused.length} refused`;
  return [
    table(['NAME', 'VERSION', 'STATUS', 'FILES', 'SIZE', 'INSTALL'], rows, paint),
    ...reasons,
    ...troubled,
    ...noted,
    last,
  ].join('\n');
}
