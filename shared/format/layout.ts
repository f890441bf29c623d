/** The only file that spells paths below the root. */
import { join } from 'node:path';

import { slotName } from './name.ts';

/** The marker's file name. A directory without it is not a plugin. */
export const MARKER = '.complete';

/** The paths below one root. They are absolute if the root is. */
export type Layout = {
  readonly root: string;
  readonly staging: string;
  readonly previous: string;
  readonly receipts: string;
  readonly state: string;
  readonly operations: string;
  readonly boot: string;
  readonly history: string;
  readonly locks: string;
  /** Names the boot of the machine that wrote here without syncs; absent if none did. */
  readonly unsynced: string;
  /** The reports of runtimes about what they have loaded. */
  readonly loaded: string;
  /** The live directory of a plugin. */
  live(plugin: string): string;
  /** A tree that is being received. */
  slot(plugin: string, stamp: string): string;
  intent(plugin: string, stamp: string): string;
  /** The version that the install of that stamp displaced. */
  snapshot(plugin: string, stamp: string): string;
  receipt(plugin: string, stamp: string): string;
  stateOf(plugin: string): string;
  /** What was done to the plugin, one line each. */
  historyOf(plugin: string): string;
  /** The report of the runtime about which version it has loaded. */
  loadedOf(plugin: string): string;
  /** The bundle that boot-install installed last. */
  bootOf(plugin: string): string;
  operation(operationId: string): string;
  /** The plugin's own data; no install, rollback or uninstall touches it. */
  data(plugin: string): string;
};

/** @param loaded another directory for the reports of runtimes. */
export function layoutOf(root: string, loaded: string = join(root, '.loaded')): Layout {
  const staging = join(root, '.staging');
  const previous = join(root, '.previous');
  const receipts = join(root, '.receipts');
  const state = join(root, '.state');
  const operations = join(root, '.operations');
  const boot = join(root, '.boot');
  const history = join(root, '.history');
  return {
    root,
    staging,
    previous,
    receipts,
    state,
    operations,
    boot,
    history,
    locks: join(root, '.locks'),
    unsynced: join(root, '.volatile'),
    loaded,
    live: (plugin) => join(root, plugin),
    slot: (plugin, stamp) => join(staging, slotName(plugin, stamp)),
    intent: (plugin, stamp) => join(staging, `${slotName(plugin, stamp)}.json`),
    snapshot: (plugin, stamp) => join(previous, slotName(plugin, stamp)),
    receipt: (plugin, stamp) => join(receipts, `${slotName(plugin, stamp)}.json`),
    stateOf: (plugin) => join(state, `${plugin}.json`),
    historyOf: (plugin) => join(history, `${plugin}.jsonl`),
    loadedOf: (plugin) => join(loaded, `${plugin}.json`),
    bootOf: (plugin) => join(boot, `${plugin}.json`),
    operation: (operationId) => join(operations, `${operationId}.json`),
    data: (plugin) => join(root, '..', 'plugin-data', plugin),
  };
}

/** A directory in a slot, used while the content of a top directory is moved up. */
export const ASIDE = '.airlock-top';

/**
 * Names that an archive must not have at its root, because Airlock uses them. The marker is not among them: the
 * `.complete` of an archive is left out with a warning.
 */
export const RESERVED: ReadonlySet<string> = new Set([
  '.staging',
  '.previous',
  '.receipts',
  '.state',
  '.loaded',
  '.operations',
  '.boot',
  '.history',
  '.locks',
  '.volatile',
  ASIDE,
]);

/** The result of reading one file of a plugin's directory. */
export type FileReading =
  | { kind: 'text'; text: string }
  | { kind: 'absent' }
  /** `code`: the error of the system, such as EIO; absent if the file itself is not as it must be. */
  | { kind: 'unreadable'; why: string; code?: string | undefined };
