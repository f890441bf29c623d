/** What the history says of each change: made of its intent, by the change itself or by recovery after a crash. */
import { installedSchema } from '../../shared/api/plugin.ts';
import {
  type HistoryContent,
  type HistoryOperation,
  type HistoryText,
  type HistoryVersion,
  readHistoryLine,
} from '../../shared/format/history.ts';
import type { Intent } from '../../shared/format/intent.ts';
import type { Marker } from '../../shared/format/marker.ts';
import { liveAfter } from '../../shared/rule/history.ts';
import { attempt, type StoreContext } from '../store/context.ts';
import {
  bringsLive,
  lastLine,
  movesLive,
  noteOperation,
  readHistory,
  receiptDigest,
} from '../store/history.ts';
import { historyNames } from '../store/verify-history.ts';
import { markerAt } from '../store/marker.ts';

const OPS = { install: 'install', rollback: 'rollback', remove: 'uninstall' } as const satisfies Record<
  Intent['op'],
  HistoryOperation
>;

/** Who made the change, if an earlier agent wrote its intent. */
const NOBODY = 'unknown';

/**
 * Notes how a change has ended. It must be durable before the intent is removed, so that recovery does it after a crash.
 * Done again, it adds nothing. Never throws.
 */
export function noteChange(context: StoreContext, intent: Intent, outcome: 'done' | 'undone'): void {
  noteOperation(context, intent.plugin, (history) =>
    isNoted(history, intent, outcome) ? undefined : changeNote(context, intent, outcome, history),
  );
}

/**
 * Whether the history says of this change that it has ended in that way. A change that was done may be undone later, but
 * not after another one: then its version was displaced, and only its intent was left.
 */
function isNoted(history: HistoryText, { operationId, stamp }: Intent, outcome: 'done' | 'undone'): boolean {
  const last = lastLine(
    history,
    (line) => line.operationId === operationId && (line.stamp === undefined || line.stamp === stamp),
    (text) => text.includes(`"operationId":"${operationId}"`),
  );
  if (last === undefined || outcome === 'done') {
    return last?.outcome === 'done';
  }
  return last.outcome !== 'done' || lastLine(history, movesLive)?.seq !== last.seq;
}

function changeNote(
  context: StoreContext,
  intent: Intent,
  outcome: 'done' | 'undone',
  history: HistoryText,
): HistoryContent {
  const { op, plugin, operationId, stamp, from, tree, bundle } = intent;
  const answer = op === 'remove' ? undefined : installedSchema.safeParse(intent.memory?.answer).data;
  const to: HistoryVersion = {
    installId: stamp,
    version: answer?.pluginVersion,
    // A rollback of an edited tree has no bundle; its marker says so.
    bundle: answer?.bundle ?? bundle ?? undefined,
    tree: tree ?? undefined,
    receipt: outcome === 'done' ? receiptOfLine(context, plugin, stamp) : undefined,
  };
  return {
    op: OPS[op],
    operationId,
    by: intent.by ?? answer?.by ?? NOBODY,
    stamp,
    source: answer?.source,
    from: from && {
      installId: from.installId,
      version: answer?.replacedVersion ?? versionBefore(context, intent, history),
    },
    to: op === 'remove' ? null : to,
    outcome,
  };
}

/** A line without the digest is better than no line. */
const receiptOfLine = (context: StoreContext, plugin: string, installId: string): string | undefined =>
  attempt(context, `Hashing a receipt of "${plugin}"`, () => receiptDigest(context, plugin, installId));

/** The version of the plugin that was live before; undefined if it is not known. */
function versionBefore(
  context: StoreContext,
  { plugin, stamp, from }: Intent,
  history: HistoryText,
): string | undefined {
  const installId = from?.installId ?? undefined;
  if (installId === undefined) {
    return undefined;
  }
  const line = lastLine(
    history,
    ({ to }) => to?.installId === installId,
    (text) => text.includes(installId),
  );
  return (
    line?.to?.version ??
    [context.layout.snapshot(plugin, stamp), context.layout.live(plugin)]
      .map((tree) => attempt(context, 'Reading a marker', () => markerAt(context, tree)))
      .find((marker) => marker?.installId === installId)?.pluginVersion
  );
}

/**
 * How a change has ended whose intent recovery removes.
 *
 * @param row of the recovery table.
 */
export function endOf(
  { disk, layout }: StoreContext,
  { plugin, stamp }: Intent,
  row: number,
): 'done' | 'undone' {
  // Without a snapshot a removal failed, and another change has removed the live version since.
  const isRemoved = row === 5 && disk.stat(layout.snapshot(plugin, stamp)) !== undefined;
  return row === 8 || isRemoved ? 'done' : 'undone';
}

/** What a line says of a version with a full marker that no change has put in its place. */
type MarkedContent = Pick<HistoryContent, 'operationId' | 'from'> & { op: 'adopt' | 'found' };

/** Notes a version with a full marker, unless the history tells of it. Never throws. */
export function noteMarked(context: StoreContext, marker: Marker, said: MarkedContent): void {
  const { plugin, installId, pluginVersion: version, bundle, tree, source, by } = marker;
  noteOperation(context, plugin, (history) => {
    const known = lastLine(history, (line) => bringsLive(line) && line.to.installId === installId);
    const receipt = known === undefined ? receiptOfLine(context, plugin, installId) : undefined;
    return known === undefined
      ? {
          ...said,
          by,
          stamp: installId,
          source,
          to: { installId, version, bundle, tree, receipt },
          outcome: 'done',
        }
      : undefined;
  });
}

/**
 * Notes what is live, if no line tells of it: it was installed before there was a history, or the line of an install or of a
 * removal could not be written. Never throws.
 */
export function noteFound(context: StoreContext, plugin: string): void {
  const marker = attempt(context, 'Reading a marker', () => unnotedMarker(context, plugin));
  if (marker !== undefined) {
    noteMarked(context, marker, { op: 'found' });
    return;
  }
  noteOperation(context, plugin, (history) =>
    isUnnotedRemoval(context, plugin, history)
      ? { op: 'found', by: NOBODY, to: null, outcome: 'done' }
      : undefined,
  );
}

/** Whether the history does not tell what is live. Throws the errors of the disk. */
export const isUnnoted = (context: StoreContext, plugin: string): boolean =>
  unnotedMarker(context, plugin) !== undefined ||
  isUnnotedRemoval(context, plugin, readHistory(context, plugin));

/** The marker of the live version, if the history does not tell of it. Throws the errors of the disk. */
function unnotedMarker(context: StoreContext, plugin: string): Marker | undefined {
  const marker = markerAt(context, context.layout.live(plugin));
  if (marker === undefined || marker.plugin !== plugin) {
    return undefined;
  }
  const { installId } = marker;
  const line = lastLine(
    readHistory(context, plugin),
    (one) => bringsLive(one) && one.to.installId === installId,
    (text) => text.includes(installId),
  );
  return line === undefined ? marker : undefined;
}

/** Whether nothing is live, and a version is by the history. Throws the errors of the disk. */
function isUnnotedRemoval(context: StoreContext, plugin: string, history: HistoryText): boolean {
  if (context.disk.stat(context.layout.live(plugin)) !== undefined) {
    return false;
  }
  const last = lastLine(history, movesLive);
  if (last === undefined || (last.outcome === 'done' && last.to === null)) {
    return false;
  }
  const told = liveAfter(history.lines.flatMap((text) => readHistoryLine(text) ?? []));
  return told !== undefined && told.version !== null;
}

/** An operation that was refused or has failed, for its line. */
export type FailureContent = {
  plugin: string;
  op: string;
  operationId: string;
  by: string;
  code: string;
  /** Of an install: its bundle, where that came from, and its stamp, if it had one. */
  bundle?: string | undefined;
  source?: string | undefined;
  stamp?: string | undefined;
  /** Failures before it that have no line. */
  unnoted?: number | undefined;
};

/** More histories are not begun with a failure: names that were never installed must not fill the disk. */
const BEGUN_MAX = 1000;

/** Notes a failure. Never throws. */
export function noteFailure(context: StoreContext, { plugin, bundle, ...failed }: FailureContent): void {
  noteOperation(context, plugin, ({ lines }) => {
    const begins = failed.op === 'install' && historyNames(context).length < BEGUN_MAX;
    return lines.length === 0 && !begins
      ? undefined
      : {
          ...failed,
          ...(bundle === undefined ? {} : { to: { installId: failed.stamp ?? null, bundle } }),
          outcome: 'failed',
        };
  });
}
