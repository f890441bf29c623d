/** What is written into a plugin's state: what only an operator can put right, and what was rolled back. */
import { Fault, toFault } from '../../shared/api/fault.ts';
import type { Status } from '../../shared/api/maintenance.ts';
import type { Intent } from '../../shared/format/intent.ts';
import type { Marker } from '../../shared/format/marker.ts';
import { isPluginName } from '../../shared/format/name.ts';
import { NO_STATE, type PluginState } from '../../shared/format/state.ts';
import { putRecord } from '../disk/record.ts';
import type { StoreContext } from './context.ts';
import { receiptOf, stateOf } from './records.ts';

type Trouble = {
  operationId: string;
  what: string;
  todo: string;
  /** Why nothing is to be installed until somebody has looked; undefined leaves that as it is. */
  hold: string | undefined;
};

/** Never throws: the trouble itself is answered and logged, and a disk that takes no note cannot keep it. */
export function noteTrouble(context: StoreContext, plugin: string, trouble: Trouble): void {
  const { layout, disk, now } = context;
  const { operationId, what, todo, hold } = trouble;
  const note = { at: new Date(now()).toISOString(), operationId, what, todo };
  try {
    // A state that cannot be read may have said that the plugin is held.
    const state = stateOf(context, plugin) ?? { ...NO_STATE, held: 'Its state could not be read' };
    const held = hold === undefined ? {} : { held: hold };
    putRecord(disk, layout.staging, plugin, layout.stateOf(plugin), { ...state, ...held, trouble: note });
  } catch (error) {
    context.complain(toFault(error, 'Noting the trouble'));
  }
}

/** What is to be done where a swap is stuck half-way: one of its two trees is to go to the live place. */
export const moveOne = ({ layout }: StoreContext, plugin: string, stamp: string): string =>
  `If ${layout.live(plugin)} is not there, move ${layout.snapshot(plugin, stamp)} (the version before) or ${layout.slot(plugin, stamp)} (the new one) to it`;

/** A version that is in place and read back resolves what was wrong before. Never throws. */
export function clearTrouble(context: StoreContext, plugin: string): void {
  const { layout, disk } = context;
  const state = stateOf(context, plugin);
  if (state?.trouble === undefined) {
    return;
  }
  const { trouble, held, ...others } = state;
  // The hold that came with the trouble goes with it; one that somebody put there for another reason stays.
  const rest = held === undefined || trouble.what.endsWith(held) ? others : { ...others, held };
  try {
    putRecord(disk, layout.staging, plugin, layout.stateOf(plugin), rest);
  } catch (error) {
    context.complain(toFault(error, 'Clearing the trouble'));
  }
}

/** Remembers what a rollback has taken away, so that it is not delivered again unasked. Never throws. */
export function noteRefused(context: StoreContext, plugin: string, { replaced, tree }: Marker): void {
  const gone = replaced === null ? undefined : receiptOf(context, plugin, replaced);
  if (gone === undefined || gone.tree === tree) {
    return;
  }
  const { installId, tree: refused, bundle } = gone;
  change(context, plugin, 'Remembering what was rolled back', (state) => ({
    ...state,
    refused: { installId, tree: refused, bundle, at: new Date(context.now()).toISOString() },
  }));
}

/** A version that was rolled back and is installed again is refused no more. Never throws. */
export function forgetRefused(
  context: StoreContext,
  { plugin, tree }: Pick<Intent, 'plugin' | 'tree'>,
): void {
  if (stateOf(context, plugin)?.refused?.tree === tree && tree !== null) {
    change(context, plugin, 'Forgetting what was rolled back', (state) => ({
      ...state,
      refused: undefined,
    }));
  }
}

export const unreadable = ({ layout }: StoreContext, plugin: string): Fault =>
  new Fault('INTERNAL', `The state of "${plugin}" cannot be read, so that nothing can be added to it`, {
    hint: `Look at ${layout.stateOf(plugin)} and correct or remove it`,
  });

/**
 * Changes the state of a plugin. When it returns, that is durable.
 *
 * @returns the new state.
 * @throws Fault INTERNAL if the state cannot be read: what it says would be lost; what the disk throws.
 */
export function changeState(
  context: StoreContext,
  plugin: string,
  to: (state: PluginState) => PluginState,
): PluginState {
  const { layout, disk } = context;
  const state = stateOf(context, plugin);
  if (state === undefined) {
    throw unreadable(context, plugin);
  }
  const changed = to(state);
  putRecord(disk, layout.staging, plugin, layout.stateOf(plugin), changed);
  return changed;
}

/** Changes a state that can be read. Never throws. */
function change(
  context: StoreContext,
  plugin: string,
  doing: string,
  to: (state: PluginState) => PluginState,
): void {
  try {
    if (stateOf(context, plugin) !== undefined) {
      changeState(context, plugin, to);
    }
  } catch (error) {
    context.complain(toFault(error, doing));
  }
}

/** What happened to each and what to do, by name; none where nobody has worked yet. Throws what the disk throws. */
export const listTroubles = (context: StoreContext): Status['troubles']['items'] =>
  (context.disk.stat(context.layout.state) === undefined ? [] : context.disk.list(context.layout.state))
    .map(({ name }) => name.replace(/\.json$/, ''))
    .filter(isPluginName)
    .toSorted()
    .flatMap((plugin) => {
      const trouble = stateOf(context, plugin)?.trouble;
      return trouble === undefined ? [] : { plugin, ...trouble };
    });
