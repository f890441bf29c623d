/** Checks of what lies in the root: plugins, troubles, what was left behind, the reports of the runtime. */
import { join } from 'node:path';

import { type CheckFound, note, ok, someOf, warning, wrong } from '../../../shared/api/doctor.ts';
import { errorCode } from '../../../shared/api/fault.ts';
import { attempt } from '../../../shared/attempt.ts';
import type { PluginInfo } from '../../../shared/api/plugin.ts';
import { isPluginName, parseSlotName } from '../../../shared/format/name.ts';
import type { RefusalReason } from '../../../shared/rule/admission.ts';
import { temporaryOf } from '../../disk/record.ts';
import { listPlugins } from '../inspect.ts';
import { stateOf } from '../records.ts';
import { unfinishedAmong } from '../staging.ts';
import { listTroubles } from '../state.ts';
import { type Check, type CheckContext, inRoot, namesIn } from './room.ts';

/** How bad a refusal is. What was put there by hand is left to its owner; what was installed must be admitted. */
const LEVELS: Readonly<Record<RefusalReason, 'note' | 'warning' | 'error'>> = {
  'no-marker': 'warning',
  'marker-invalid': 'error',
  'marker-foreign': 'warning',
  'manifest-missing': 'error',
  'manifest-invalid': 'error',
  'not-a-directory': 'warning',
  symlink: 'warning',
  unreadable: 'error',
  'runtime-unsupported': 'warning',
  'digest-mismatch': 'warning',
  disabled: 'note',
  'in-transition': 'note',
};

/** Directories that file systems and people have in a root. */
const NO_PLUGINS: ReadonlySet<string> = new Set(['lost+found']);

export const checkPlugins: Check = (about) => {
  const { context } = about;
  const plugins = listPlugins(context, { drift: false });
  const unread = new Set(unreadStates(about));
  const byReason = new Map<RefusalReason, PluginInfo[]>();
  for (const plugin of plugins) {
    // Of a state that cannot be read the troubles tell.
    if (plugin.status === 'refused' && plugin.reason !== undefined && !unread.has(plugin.name)) {
      byReason.set(plugin.reason, [...(byReason.get(plugin.reason) ?? []), plugin]);
    }
  }
  const admitted = plugins.filter(({ status }) => status === 'admitted').length;
  const found: CheckFound[] = [
    ok(
      `The gate admits ${admitted} of ${plugins.filter(({ status }) => status !== 'absent').length} plugins`,
    ),
    ...[...byReason].map(([reason, refused]) => refusedText(reason, refused)),
  ];
  const others = context.disk
    .list(context.layout.root)
    .map(({ name }) => name)
    .filter((name) => !name.startsWith('.') && !isPluginName(name) && !NO_PLUGINS.has(name))
    .toSorted();
  if (others.length > 0) {
    found.push(
      note(
        `No plugin can have these names: ${someOf(others)}`,
        'Neither the gate nor "airlock list" looks at them',
        'Install what is a plugin under a name of a-z, 0-9, ".", "_" and "-", and move the rest away',
      ),
    );
  }
  return found;
};

function refusedText(reason: RefusalReason, refused: readonly PluginInfo[]): CheckFound {
  const [first] = refused;
  const names = refused.map(({ name }) => name);
  const found = `The gate refuses ${someOf(names)}: ${reason}`;
  const why = `No runtime loads it. ${first?.detail ?? ''}`.trim();
  const more = refused.length > 1 ? '; see "airlock list" for the others' : '';
  const fix = `${first?.hint ?? 'See "airlock list"'}${more}`;
  const level = LEVELS[reason];
  return level === 'note' ? note(found, why, fix) : { level, found, why, fix };
}

/** The plugins with a state that cannot be read. */
const unreadStates = (about: CheckContext): string[] =>
  namesIn(about, about.context.layout.state)
    .filter((name) => name.endsWith('.json'))
    .map((name) => name.slice(0, -'.json'.length))
    .filter((name) => isPluginName(name) && stateOf(about.context, name) === undefined);

/** With more there is no use in naming each. */
const TROUBLES_MOST = 20;

export const checkTroubles: Check = (about) => {
  const { context } = about;
  const { layout } = context;
  const troubles = listTroubles(context);
  const found: CheckFound[] = [
    ...unreadStates(about).map((name) =>
      wrong(
        `The state of "${name}" cannot be read`,
        'It may say that the plugin is disabled or held, so the gate refuses the plugin and changes fail',
        `Look at "${layout.stateOf(name)}" and correct or remove it`,
      ),
    ),
    ...troubles.map(({ plugin, what, todo, at }) => wrong(`"${plugin}": ${what}`, `Since ${at}`, todo)),
  ];
  const rest = found.length - TROUBLES_MOST;
  const held = namesIn(about, layout.state)
    .map((name) => name.replace(/\.json$/, ''))
    .filter((name) => isPluginName(name) && stateOf(context, name)?.held !== undefined)
    .filter((name) => !troubles.some(({ plugin }) => plugin === name));
  return [
    ...(found.length === 0 ? [ok('No plugin has a trouble')] : found.slice(0, TROUBLES_MOST)),
    ...(rest > 0
      ? [wrong(`${rest} more plugins have a trouble`, 'They are not named here', 'See "airlock list"')]
      : []),
    ...(held.length === 0
      ? []
      : [
          note(
            `Held: ${someOf(held)}`,
            'Installs, rollbacks and removals of them are refused unless they are forced',
            `"airlock list" says why; "airlock hold <name> --release" ends it`,
          ),
        ]),
  ];
};

const isOfStaging = (name: string): boolean =>
  unfinishedAmong([name], []).length > 0 || temporaryOf(name) !== undefined;
const isOfPrevious = (name: string): boolean =>
  parseSlotName(name.replace(/\.(?:trash|old)$/, '')) !== undefined;

/** @param busy the plugins that somebody works on at this moment. */
export function checkLeftovers(about: CheckContext, busy: readonly string[]): CheckFound[] {
  const { layout } = about.context;
  const [staged, kept] = [namesIn(about, layout.staging), namesIn(about, layout.previous)];
  const interrupted = unfinishedAmong(staged, kept).filter((plugin) => !busy.includes(plugin));
  const unknown = [
    ...staged.filter((name) => !isOfStaging(name)).map((name) => join(layout.staging, name)),
    ...kept.filter((name) => !isOfPrevious(name)).map((name) => join(layout.previous, name)),
    ...namesIn(about, layout.root)
      .filter((name) => temporaryOf(name) !== undefined)
      .map((name) => inRoot(about, name)),
  ];
  const found: CheckFound[] = [];
  if (interrupted.length > 0) {
    found.push(
      warning(
        `Interrupted changes of ${someOf(interrupted)}`,
        'A crash has left them. What is live is the old or the new version; until they are finished or undone they take space',
        'airlock recover (an agent does it when it starts, and before the next change of the plugin)',
      ),
    );
  }
  if (unknown.length > 0) {
    found.push(
      warning(
        `Nobody knows ${someOf(unknown)}`,
        'Airlock has not made them and never removes them; they take space',
        'Look at them and remove them',
      ),
    );
  }
  const working = busy.length === 0 ? '' : `; ${someOf(busy)} is being changed`;
  return found.length > 0 ? found : [ok(`Nothing is left behind${working}`)];
}

export const checkLoaded: Check = (about) => {
  const { disk, layout, policy } = about.context;
  const { loaded, root } = layout;
  const isMoved = loaded !== join(root, '.loaded');
  const give = `Make "${loaded}" and give it to the user of the runtime; the agent must be able to list it and write there`;
  const unreported =
    'Nobody knows which versions the runtime has loaded: an edited skill may count as cold, and restarts wait for "airlock restarted"';
  if (disk.stat(loaded) === undefined) {
    return isMoved
      ? [warning(`"${loaded}" (AIRLOCK_LOADED_DIR) is not there`, unreported, give)]
      : [
          note(
            'No runtime has reported what it has loaded',
            'It makes ".loaded" in the root when it does, and needs the right to write there',
          ),
        ];
  }
  const owner = attempt(() => disk.stat(`${loaded}/.`));
  if (owner?.kind !== 'directory') {
    return [wrong(`"${loaded}" is not a directory`, unreported, give)];
  }
  try {
    disk.list(loaded);
  } catch (error) {
    return [warning(`"${loaded}" cannot be listed: ${errorCode(error) ?? String(error)}`, unreported, give)];
  }
  if (!about.system.mayWrite(loaded)) {
    const why =
      policy.restarts === 'command'
        ? 'After a restart the agent cannot note what was loaded'
        : '"airlock restarted" cannot note what was loaded';
    return [warning(`"${loaded}" cannot be written from here`, why, give)];
  }
  const mode = owner.mode.toString(8).padStart(4, '0');
  const whose = `"${loaded}" belongs to uid ${owner.uid}, mode ${mode}`;
  return (owner.mode & 0o022) === 0
    ? [
        note(
          whose,
          `Only uid ${owner.uid} can report what the runtime has loaded: it must be that of the runtime`,
        ),
      ]
    : [ok(whose)];
};
