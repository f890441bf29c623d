/**
 * What a change of a live plugin means for the runtime. It is compared with all that the runtime may have loaded. What a change
 * adds to that is written down before the swap, so that no crash makes a later change look hot.
 */
import { type Reload, classifyLoaded, reloadOf } from '../../shared/rule/classify.ts';
import { reduce } from '../../shared/rule/runtime-state.ts';
import { toFault } from '../../shared/api/fault.ts';
import type { Intent } from '../../shared/format/intent.ts';
import { MANIFEST_MAX_BYTES, readManifest } from '../../shared/format/manifest.ts';
import type { StoredRuntime } from '../../shared/format/state.ts';
import type { FileEntry } from '../../shared/format/tree.ts';
import { readText } from '../disk/record.ts';
import type { Drifted } from '../store/drift.ts';
import type { StoreContext } from '../store/context.ts';
import {
  type Runtime,
  basisFor,
  liveDrift,
  putRuntime,
  runtimeOf,
  withDrift,
} from '../store/runtime-state.ts';
import { unreadable } from '../store/state.ts';

/** A change that is about to be made. */
export type PlannedChange = {
  plugin: string;
  operationId: string;
  /** False if the caller wants no restart. */
  restart: boolean;
  /** What is live. */
  from: Intent['from'];
  /** What takes its place: its stamp, its files, and where they lie now; undefined: nothing. */
  next: { installId: string; files: readonly FileEntry[]; directory: string } | undefined;
};

export type PlannedReload = {
  reload: Reload;
  /** Files that were edited in place and go with the version that is displaced. */
  warnings: string[];
  /** The change is made: tells of it. Never throws. */
  settle: () => void;
  /** The change was not made, and live is what it was. Never throws. */
  takeBack: () => void;
};

/**
 * Who restarts for a cold change. `promised`: somebody does, and its end is told. `assumed`: the caller does it at once, and nobody
 * tells. While the state cannot be read each change is cold, so nothing needs to be written down for one that the caller
 * restarts for.
 */
function restartFor(
  { policy }: StoreContext,
  { restart }: PlannedChange,
  { known, waiting, reported }: Runtime,
): 'assumed' | 'promised' | 'none' {
  if (!restart) {
    return 'none';
  }
  const isTold = known && (waiting !== undefined || reported !== undefined);
  return policy.restarts === 'command' || isTold ? 'promised' : 'assumed';
}

/** Judges a change before it is made. Throws what the disk throws, if it has to be written down and cannot be. */
export function foresee(context: StoreContext, change: PlannedChange): PlannedReload {
  const { plugin, operationId, restart, from, next } = change;
  const runtime = runtimeOf(context, plugin, from);
  const hotReload = next === undefined ? undefined : hotReloadOf(context, next.directory);
  const drift = liveDrift(context, plugin, from);
  const before = withDrift(context, plugin, from, drift, runtime.state);
  const basis = basisFor(context, plugin, from, { ...runtime, state: before });
  const found = classifyLoaded(basis, next?.files, { hotReload, ignore: context.ignore });
  const reload = reloadOf(found, restart);
  const isCold = found.kind === 'cold';
  const who = restartFor(context, change, runtime);
  // A runtime reports what it has loaded, and never that a plugin is gone: nobody could tell when that waits no more.
  const isUntold =
    next === undefined && restart && runtime.reported === 'runtime' && context.policy.restarts === 'caller';
  const cold = { at: new Date(context.now()).toISOString(), operationId, restarting: reload.restarting };
  const waiting = isUntold ? undefined : isCold ? cold : runtime.waiting;
  const isKept = isCold ? who !== 'assumed' : before.restart !== 'none';
  // What is cleared after a change that is not cold must not say less than is true if that fails, or the agent is killed.
  const isStored = isKept || (!isCold && runtime.stored !== undefined);
  const after = (runs: boolean): StoredRuntime => ({
    ...reduce(before, {
      type: 'live-changed',
      to: next?.installId ?? null,
      kind: found.kind,
      restart: who,
      runs: runs && isCold,
    }),
    ...(waiting === undefined ? {} : { waiting }),
  });
  const note = (doing: string, to: StoredRuntime | undefined): void => {
    try {
      putRuntime(context, plugin, to);
    } catch (error) {
      context.complain(toFault(error, doing));
    }
  };
  const takeBack = (): void => note('Taking back what was pending', runtime.stored);
  // A restart that begins before the change is made finds nothing that waits, and may load the change.
  let saysRuns = false;
  if (isStored) {
    if (!runtime.known) {
      throw unreadable(context, plugin);
    }
    try {
      saysRuns = context.restartRuns?.() === true;
      putRuntime(context, plugin, after(saysRuns));
      // A restart that began meanwhile has seen what was written down before it, and nothing later.
      if (!saysRuns && context.restartRuns?.() === true) {
        saysRuns = true;
        putRuntime(context, plugin, after(true));
      }
    } catch (error) {
      // The record may have got its name all the same.
      takeBack();
      throw error;
    }
  }
  return {
    reload,
    warnings: drift.map(edited),
    settle: () => {
      if (!isKept && runtime.known) {
        note('Clearing what was pending', undefined);
      } else if (isStored && !saysRuns && context.restartRuns?.() === true) {
        note('Noting that a restart may have loaded the change', after(true));
      }
      context.tell({ type: 'plugin.changed', data: { plugin, ...reload, cause: operationId } });
    },
    takeBack: () => {
      if (isStored) {
        takeBack();
      }
    },
  };
}

/** What is still to be done for a version that is live already; nobody restarts for an install that changes nothing. */
export function standing(
  context: StoreContext,
  plugin: string,
  installId: string,
  files: readonly FileEntry[],
): Reload {
  const live = { installId, kind: 'marked' as const };
  const hotReload = hotReloadOf(context, context.layout.live(plugin));
  const basis = basisFor(context, plugin, live, runtimeOf(context, plugin, live));
  return reloadOf(classifyLoaded(basis, files, { hotReload, ignore: context.ignore }), false);
}

/** What the manifest of a tree says of `hot_reload`; one that cannot be read is taken to forbid it. */
function hotReloadOf({ disk }: StoreContext, directory: string): boolean | undefined {
  const reading = readText(disk, `${directory}/plugin.yaml`, MANIFEST_MAX_BYTES);
  if (reading.kind === 'absent') {
    return undefined;
  }
  const read = reading.kind === 'text' ? readManifest('plugin.yaml', reading.text) : undefined;
  return read?.ok === true ? read.manifest.hotReload : false;
}

const WORDS = { added: 'added', removed: 'removed', modified: 'edited' } as const;

const edited = ({ path, change }: Drifted): string =>
  `${path}: it was ${WORDS[change]} in place, and what was there is kept in the snapshot`;
