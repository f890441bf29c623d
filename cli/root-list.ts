/** The plugins of a root, without an agent: what the gate says, and what is noted of them, as far as it can be read. */
import { readFile, readdir } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';

import { type GateAnswer, type Loader, type Plugin, type Refusal, createLoader } from '../loader/index.ts';
import { readSettings, settingsOf } from '../shared/api/setting.ts';
import { settings } from '../shared/api/settings.ts';
import { Fault } from '../shared/api/fault.ts';
import { type Layout, layoutOf } from '../shared/format/layout.ts';
import { readLoaded } from '../shared/format/loaded.ts';
import type { PluginInfo } from '../shared/api/methods.ts';
import { isPluginName } from '../shared/format/name.ts';
import { type Notes, absenceOf, notesOf, readState } from '../shared/format/state.ts';
import type { Context } from './command.ts';
import { mustBeThere } from './reach.ts';
import { safe } from './render.ts';

/** In the shape in which agents tell it, by name. @throws Fault NOT_FOUND, INVALID_PARAMS */
export async function listRoot({ given, env, signal, output }: Context): Promise<PluginInfo[]> {
  const read = readSettings(settingsOf(settings, 'loader'), given.settings, env);
  const { root, ...options } = read;
  await mustBeThere(root);
  const { mode, verify } = given.strings;
  const loader = createLoader({
    roots: [root],
    ...options,
    signal,
    mode: oneOf('mode', mode, ['enforce', 'warn'] as const),
    verify: oneOf('verify', verify, ['marker', 'stat', 'digest'] as const),
  });
  const { admitted, refused, warnings } = await loader.scan();
  for (const warning of warnings) output.note(`warning: ${safe(warning)}`);
  const layout = layoutOf(root, options.loadedDir);
  const found = [...admitted.map(admittedInfo), ...refused.map(refusedInfo)];
  const drifted: PluginInfo[] = [];
  for (const info of found) {
    // Files are hashed here, which nothing interrupts.
    await setImmediate();
    signal.throwIfAborted();
    drifted.push(await withDrift(info, loader, read));
  }
  const noted = drifted.map(async (info) => ({
    ...info,
    ...(await notesIn(layout, info.name, info.installId)),
  }));
  const names = new Set(found.map(({ name }) => name));
  const others = (await remembered(layout)).filter((name) => !names.has(name));
  const absent = others.map((name) => absentInfo(name, loader, layout));
  return (await Promise.all([...noted, ...absent]))
    .filter((info) => info !== undefined)
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** How many files were edited in place; nothing where that cannot be said. */
async function withDrift(
  info: PluginInfo,
  loader: Pick<Loader, 'gate'>,
  place: { root: string; ignore: readonly string[] },
): Promise<PluginInfo> {
  const { name, tree, installId } = info;
  if (tree === undefined || installId === undefined) {
    return info;
  }
  // A list of an agent does not wait for the agent's code.
  const { countDrift } = await import('../agent/main.ts');
  const drift = countDrift(place, name, installId);
  if (drift === 0) {
    return info;
  }
  // The files of a version that has come meanwhile are others, not edited ones.
  const again = await loader.gate(name);
  return again.admitted && again.plugin.generation === installId ? { ...info, drift } : info;
}

/** What the state and the runtime's report say; nothing where they cannot be read. */
async function notesIn(layout: Layout, name: string, live: string | null | undefined): Promise<Notes> {
  const [state = '', loaded = ''] = await Promise.all(
    [layout.stateOf(name), layout.loadedOf(name)].map((path) => readFile(path, 'utf8').catch(() => '')),
  );
  return notesOf(readState(state), readLoaded(loaded)?.generation, live);
}

/** The plugins of which something is noted, as far as that can be seen. */
const remembered = async ({ state }: Layout): Promise<string[]> =>
  (await readdir(state).catch(() => []))
    .filter((name) => name.endsWith('.json'))
    .map((name) => name.slice(0, -'.json'.length))
    .filter(isPluginName);

/** A plugin of which nothing was found; undefined if there is nothing to say of it. */
async function absentInfo(
  name: string,
  loader: Pick<Loader, 'gate'>,
  layout: Layout,
): Promise<PluginInfo | undefined> {
  const notes = await notesIn(layout, name, null);
  const absence = absenceOf(notes);
  if (absence === undefined) {
    return undefined;
  }
  // It may have come since the scan, or be on its way.
  const answer = await loader.gate(name);
  return answer.admitted || answer.reason !== 'not-a-directory'
    ? { ...gateInfo(answer), ...notes }
    : { name, ...absence, ...notes };
}

/** The gate's answer in the shape in which agents tell it. */
export const gateInfo = (answer: GateAnswer): PluginInfo =>
  answer.admitted ? admittedInfo(answer.plugin) : refusedInfo(answer);

function admittedInfo({ name, level, marker, manifest }: Plugin): PluginInfo {
  const base: PluginInfo = { name, status: 'admitted', level };
  const { version, description, kind } = manifest ?? {};
  if (marker === undefined) {
    return { ...base, version, description, kind };
  }
  const { installId, bundle, tree, files, bytes: size, installedAt, source, by, replaced } = marker;
  return {
    ...base,
    installId,
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
