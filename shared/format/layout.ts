/** The only speller of paths below the root. */
import { join } from 'node:path';

import { slotName } from './name.ts';

/** The marker's file name. A directory without it is no plugin. */
export const MARKER = '.complete';

/** Where things lie below one root. All paths are as absolute as the root is. */
export type Layout = {
  readonly root: string;
  readonly staging: string;
  readonly previous: string;
  readonly receipts: string;
  readonly state: string;
  readonly operations: string;
  readonly boot: string;
  readonly locks: string;
  /** Which boot of the machine wrote here without syncs; absent where nobody did. */
  readonly unsynced: string;
  /** What runtimes say that they have loaded. */
  readonly loaded: string;
  /** The live directory of a plugin. */
  live(plugin: string): string;
  /** A tree that is being received. */
  slot(plugin: string, stamp: string): string;
  intent(plugin: string, stamp: string): string;
  /** What the install of that stamp displaced. */
  snapshot(plugin: string, stamp: string): string;
  receipt(plugin: string, stamp: string): string;
  stateOf(plugin: string): string;
  /** Which version the runtime says that it has loaded. */
  loadedOf(plugin: string): string;
  /** What boot-install last installed. */
  bootOf(plugin: string): string;
  operation(operationId: string): string;
  /** What a plugin writes for itself; no install, rollback or uninstall touches it. */
  data(plugin: string): string;
};

/** @param loaded another place for what runtimes say that they have loaded. */
export function layoutOf(root: string, loaded: string = join(root, '.loaded')): Layout {
  const staging = join(root, '.staging');
  const previous = join(root, '.previous');
  const receipts = join(root, '.receipts');
  const state = join(root, '.state');
  const operations = join(root, '.operations');
  const boot = join(root, '.boot');
  return {
    root,
    staging,
    previous,
    receipts,
    state,
    operations,
    boot,
    locks: join(root, '.locks'),
    unsynced: join(root, '.volatile'),
    loaded,
    live: (plugin) => join(root, plugin),
    slot: (plugin, stamp) => join(staging, slotName(plugin, stamp)),
    intent: (plugin, stamp) => join(staging, `${slotName(plugin, stamp)}.json`),
    snapshot: (plugin, stamp) => join(previous, slotName(plugin, stamp)),
    receipt: (plugin, stamp) => join(receipts, `${slotName(plugin, stamp)}.json`),
    stateOf: (plugin) => join(state, `${plugin}.json`),
    loadedOf: (plugin) => join(loaded, `${plugin}.json`),
    bootOf: (plugin) => join(boot, `${plugin}.json`),
    operation: (operationId) => join(operations, `${operationId}.json`),
    data: (plugin) => join(root, '..', 'plugin-data', plugin),
  };
}

/** Inside a slot, while a plugin that came in a top directory is moved up. */
export const ASIDE = '.airlock-top';

/**
 * Names that an archive must not carry at its root: they are Airlock's own. The marker is not among them: an
 * archive's `.complete` is left out with a warning, for it is never the archive's to set.
 */
export const RESERVED: ReadonlySet<string> = new Set([
  '.staging',
  '.previous',
  '.receipts',
  '.state',
  '.loaded',
  '.operations',
  '.boot',
  '.locks',
  '.volatile',
  ASIDE,
]);

/** What one file of a plugin's directory turned out to be. */
export type FileReading =
  | { kind: 'text'; text: string }
  | { kind: 'absent' }
  | { kind: 'unreadable'; why: string };
