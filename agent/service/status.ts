/** What a root says of itself: how it is worked on, what is under way, what is left to an operator. */
import { mayBeLoaded } from '../../shared/format/state.ts';
import { truncate } from '../../shared/truncate.ts';
import type { PluginInfo } from '../../shared/api/methods.ts';
import type { Status } from '../../shared/api/maintenance.ts';
import type { WorkConfig } from '../config.ts';
import type { Service } from './service.ts';

/** The part of a status that an agent and a command without one have in common. */
export type RootStatus = Omit<Status, 'agent' | 'workspace' | 'bootId' | 'startedAt' | 'watch' | 'restart'>;

export async function statusOf(service: Service, { root, durability }: WorkConfig): Promise<RootStatus> {
  const { locks, queries, operations, changes } = service;
  const [plugins, troubles] = await Promise.all([queries.list(), queries.troubles()]);
  const count = (which: (plugin: PluginInfo) => boolean): number => plugins.filter(which).length;
  const { exchange, syncAll } = service.ability();
  const syncs = syncAll ? 'syncfs' : 'fsync';
  return {
    root,
    swap: exchange ? 'exchange' : 'rename',
    durability: durability === 'none' ? 'none' : syncs,
    locks: locks.kind,
    operations: truncate([...operations.running, ...changes.running]),
    plugins: {
      admitted: count(({ status }) => status === 'admitted'),
      refused: count(({ status }) => status === 'refused'),
      pending: count(({ pending }) => pending !== undefined),
      promised: count(({ pending }) => pending !== undefined && mayBeLoaded(pending)),
      drifted: count(({ drift }) => drift !== undefined),
    },
    troubles: truncate(troubles),
  };
}
