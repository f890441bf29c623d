/**
 * What a change of a live plugin means for the runtime, against what that has loaded. A cold change that nobody is known
 * to restart for is written down before the swap, so that no crash makes a later one look hot.
 */
import { type Reload, classifyLoaded, reloadOf } from '../../shared/rule/classify.ts';
import { toFault } from '../../shared/api/fault.ts';
import type { Intent } from '../../shared/format/intent.ts';
import { MANIFEST_MAX_BYTES, readManifest } from '../../shared/format/manifest.ts';
import { type Pending, isPromised, mayBeLoaded } from '../../shared/format/state.ts';
import type { FileEntry } from '../../shared/format/tree.ts';
import { readText } from '../disk/record.ts';
import type { Drifted } from '../store/drift.ts';
import type { StoreContext } from '../store/context.ts';
import { type Loading, basisOf, editsBefore, liveDrift, loadingOf } from '../store/loaded.ts';
import { notedEdits, notedReasons, putPending, unreadable } from '../store/state.ts';

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

/** A promise outlives the change that it was made for: its restart may take the next one, or begin before it. */
function earlierOf(before: Pending | undefined): Pick<Pending, 'earlier'> {
  const earlier = before !== undefined && isPromised(before) ? 'promised' : before?.earlier;
  return earlier === undefined ? {} : { earlier };
}

/**
 * Whether a cold change is to be noted: nobody else is known to see to its restart, or somebody tells of its end. A runtime
 * that reports by itself tells of what it has loaded, and so never that a plugin is gone. While the state cannot be read every
 * change is cold without a note, so that only one that nobody else restarts for needs it.
 */
function isNoted(context: StoreContext, { restart, next }: PlannedChange, loading: Loading): boolean {
  const { known, pending, reported } = loading;
  const isTold = known && (next !== undefined || reported !== 'runtime');
  const isLeft = !restart || context.policy.restarts === 'command';
  return isLeft || (isTold && (pending !== undefined || reported !== undefined));
}

/** Judges a change before it is made. Throws what the disk throws, if it has to be written down and cannot be. */
export function foresee(context: StoreContext, subject: PlannedChange): PlannedReload {
  const { plugin, operationId, restart, from, next } = subject;
  const loading = loadingOf(context, plugin, from);
  const { pending: before, generation: against } = loading;
  const hotReload = next === undefined ? undefined : hotReloadOf(context, next.directory);
  const options = { hotReload, ignore: context.ignore };
  const drift = liveDrift(context, plugin, from);
  const verdict = classifyLoaded(basisOf(context, plugin, from, drift, loading), next?.files, options);
  const reload = reloadOf(verdict, restart);
  const pending: Pending | undefined =
    reload.action === 'restart' && isNoted(context, subject, loading)
      ? {
          at: new Date(context.now()).toISOString(),
          operationId,
          installId: next?.installId ?? null,
          against,
          restarting: reload.restarting,
          ...earlierOf(before),
          ...notedEdits(editsBefore(context, plugin, from, drift, loading)),
          reasons: notedReasons(verdict.reasons),
        }
      : undefined;
  const note = (doing: string, to: Pending | undefined): void => {
    try {
      putPending(context, plugin, to);
    } catch (error) {
      context.complain(toFault(error, doing));
    }
  };
  if (pending !== undefined) {
    if (!loading.known) {
      throw unreadable(context, plugin);
    }
    try {
      putPending(context, plugin, pending);
      // One that runs just now may take whatever comes. It has seen what was noted before it began, and nothing later.
      if (context.restartRuns?.() === true && !mayBeLoaded(pending)) {
        putPending(context, plugin, { ...pending, earlier: 'begun' });
      }
    } catch (error) {
      // It may have got its name all the same.
      note('Taking back what was pending', before);
      throw error;
    }
  }
  return {
    reload,
    warnings: drift.map(edited),
    settle: () => {
      if (pending === undefined && loading.known) {
        note('Clearing what was pending', undefined);
      }
      context.tell({ type: 'plugin.changed', data: { plugin, ...reload, cause: operationId } });
    },
    takeBack: () => {
      if (pending !== undefined) {
        note('Taking back what was pending', before);
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
  const options = { hotReload, ignore: context.ignore };
  return reloadOf(classifyLoaded(basisOf(context, plugin, live, []), files, options), false);
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
