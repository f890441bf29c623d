/** Pushes every plugin of a directory over one connection. */
import { Fault, toFault } from '../shared/api/fault.ts';
import type { Installed } from '../shared/api/plugin.ts';
import { type Packed, type PackOptions, packDirectory } from './pack/pack.ts';
import { findPlugins, type FoundPlugin } from './plugins.ts';
import { type Open, OpenConnection } from './open-connection.ts';
import { type Pushed, type PushOptions, pushOver } from './push.ts';
import { stopsAll } from './reach.ts';

/** The options of each push and of each pack. */
export type PushesOptions = Pick<PackOptions, 'allowSecrets' | 'ignore' | 'manifest'> &
  Omit<PushOptions, 'operationId' | 'pin' | 'expect'> & {
    /** Refuse each plugin of which a version is live. */
    expect?: null | undefined;
    /** Called before a plugin is sent. */
    onPacked?: ((one: FoundPlugin, packed: Packed) => void) | undefined;
    /** Called as soon as it is known what became of a plugin. */
    onPlugin?: ((one: PluginPush) => void) | undefined;
  };

/** What became of one plugin. `untried`: everything was stopped before its turn. */
export type PluginPush = {
  plugin: string;
  /** Its directory, relative to the pushed one; undefined if it is not there. */
  place: string | undefined;
} & (
  | { status: Installed['status']; answer: Pushed; packed: Pick<Packed, 'skipped' | 'manifestFrom'> }
  | { status: 'refused' | 'cancelled'; fault: Fault }
  | { status: 'untried' }
);

/** What became of all of them, in their order; `stopped` says why some are untried. */
export type PluginPushes = { plugins: PluginPush[]; stopped: Fault | undefined };

/**
 * Packs and installs each plugin that `findPlugins` finds in a directory, one after another. One that is refused does not
 * stop the others. An agent that cannot be reached, or the signal, stops all.
 *
 * @throws Fault as `findPlugins`. Faults of single plugins are in the result.
 *
 * @example const { plugins } = await pushAll(open, './marketplace', { restart: false });
 */
export async function pushAll(
  open: Open,
  directory: string,
  options: PushesOptions = {},
): Promise<PluginPushes> {
  const { ignore, signal, onPlugin } = options;
  const found = await findPlugins(directory, { ignore, signal });
  const connection = new OpenConnection(open);
  const plugins: PluginPush[] = [];
  let stopped: Fault | undefined;
  try {
    for (const one of found) {
      const { name: plugin, place } = one;
      if (signal?.aborted === true) stopped ??= new Fault('CANCELLED', 'Pushing was stopped');
      let result: PluginPush;
      if ('fault' in one) {
        result = { plugin, place, status: 'refused', fault: one.fault };
      } else if (stopped === undefined) {
        result = await pushFound(connection, one, options);
      } else {
        result = { plugin, place, status: 'untried' };
      }
      if ('fault' in result && !('fault' in one) && (signal?.aborted === true || stopsAll(result.fault))) {
        stopped = result.fault;
      }
      plugins.push(result);
      onPlugin?.(result);
    }
  } finally {
    await connection.close();
  }
  return { plugins, stopped };
}

async function pushFound(
  connection: OpenConnection,
  one: FoundPlugin,
  options: PushesOptions,
): Promise<PluginPush> {
  const { allowSecrets, ignore, manifest, onPacked, onPlugin: _, ...pushOptions } = options;
  const { signal } = options;
  const { name: plugin, place, directory, listed } = one;
  try {
    const packed = await packDirectory(directory, {
      name: plugin,
      listed,
      allowSecrets,
      ignore,
      manifest,
      signal,
    });
    try {
      onPacked?.(one, packed);
      const answer = await pushOver(connection, packed, pushOptions);
      const { skipped, manifestFrom } = packed;
      return { plugin, place, status: answer.status, answer, packed: { skipped, manifestFrom } };
    } finally {
      await packed.dispose();
    }
  } catch (error) {
    const fault = toFault(error, `Pushing "${plugin}"`);
    return { plugin, place, status: signal?.aborted === true ? 'cancelled' : 'refused', fault };
  }
}
