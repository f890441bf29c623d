/** What a root says of itself: how it is worked on, what is under way, what is left to an operator. */
import { mayBeLoaded } from '../shared/state.ts';
import { cut } from '../shared/cut.ts';
import type { PluginInfo } from '../shared/methods.ts';
import type { Status } from '../shared/upkeep.ts';
import type { WorkConfig } from './config.ts';
import type { Workshop } from './workshop.ts';

/** The part of a status that an agent and a command without one have in common. */
export type RootStatus = Omit<Status, 'agent' | 'workspace' | 'bootId' | 'startedAt' | 'watch' | 'restart'>;

export async function statusOf(workshop: Workshop, { root, durability }: WorkConfig): Promise<RootStatus> {
  const { locks, looks, operations, changes } = workshop;
  const [plugins, troubles] = await Promise.all([looks.list(), looks.troubles()]);
  const count = (which: (plugin: PluginInfo) => boolean): number => plugins.filter(which).length;
  const { exchange, syncAll } = workshop.ability();
  const syncs = syncAll ? 'syncfs' : 'fsync';
  return {
    root,
    swap: exchange ? 'exchange' : 'rename',
    durability: durability === 'none' ? 'none' : syncs,
    locks: locks.kind,
    operations: cut([...operations.running, ...changes.running]),
    plugins: {
      admitted: count(({ status }) => status === 'admitted'),
      refused: count(({ status }) => status === 'refused'),
      pending: count(({ pending }) => pending !== undefined),
      promised: count(({ pending }) => pending !== undefined && mayBeLoaded(pending)),
      drifted: count(({ drift }) => drift !== undefined),
    },
    troubles: cut(troubles),
  };
}
