/** Compares the history of a plugin with itself and with the disk. It needs no lock, and changes nothing. */
import type { HistoryInfo } from '../../shared/api/history.ts';
import {
  type HistoryLine,
  type HistoryText,
  type HistoryVersion,
  lineDigest,
  readHistoryLine,
} from '../../shared/format/history.ts';
import { isPluginName, parseSlotName } from '../../shared/format/name.ts';
import {
  chainFindings,
  type HistoryFinding,
  liveAfter,
  type HistoryLive,
} from '../../shared/rule/history.ts';
import { truncate } from '../../shared/truncate.ts';
import { listAllowed } from '../disk/record.ts';
import type { ReadContext } from './context.ts';
import { bringsLive, readHistory, receiptDigest } from './history.ts';
import { readMarkerAt } from './marker.ts';
import { receiptOf } from './records.ts';

/** The names of the plugins that have a history, sorted. */
export const historyNames = ({ disk, layout }: ReadContext): string[] =>
  (listAllowed(disk, layout.history) ?? [])
    .flatMap(({ name }) => (name.endsWith('.jsonl') ? name.slice(0, -'.jsonl'.length) : []))
    .filter(isPluginName)
    .toSorted();

/** The names of what is live, sorted. */
export const liveNames = ({ disk, layout }: ReadContext): string[] =>
  (listAllowed(disk, layout.root) ?? [])
    .map(({ name }) => name)
    .filter(isPluginName)
    .toSorted();

/** The digest of the last line; null if there is none. */
export function headOf({ lines }: HistoryText): string | null {
  const last = lines.at(-1);
  return last === undefined ? null : lineDigest(last);
}

type Live =
  | { kind: 'absent' }
  | { kind: 'marked'; installId: string; tree: string | undefined }
  | { kind: 'unmarked' };

function liveOf(context: ReadContext, plugin: string): Live {
  const directory = context.layout.live(plugin);
  if (context.disk.stat(directory) === undefined) {
    return { kind: 'absent' };
  }
  const marker = readMarkerAt(context, directory);
  switch (marker?.kind) {
    case 'full':
      return { kind: 'marked', installId: marker.marker.installId, tree: marker.marker.tree };
    case 'newer':
      return { kind: 'marked', installId: marker.installId, tree: undefined };
    case 'empty':
    case 'invalid':
    case undefined:
      return { kind: 'unmarked' };
    default:
      return marker satisfies never;
  }
}

/** Whether a change of the plugin is in progress, or was interrupted; undefined if this user may not see that. */
function isUnderWay({ disk, layout }: ReadContext, plugin: string): boolean | undefined {
  const staged = listAllowed(disk, layout.staging);
  return staged?.some(
    ({ name }) => parseSlotName(name.replace(/\.(?:json|trash|old)$/, ''))?.plugin === plugin,
  );
}

/** What was seen at one moment. */
type Seen = { history: HistoryText; live: Live; underWay: boolean | undefined };

const LOOKS = 4;

/**
 * The line of a change is written before its intent is removed. So if the history is the same before and after, and there
 * is no intent between, then the last line speaks of what is live.
 */
function look(context: ReadContext, plugin: string): Seen {
  for (let i = 1; ; i += 1) {
    const before = readHistory(context, plugin);
    const live = liveOf(context, plugin);
    const underWay = isUnderWay(context, plugin);
    const history = readHistory(context, plugin);
    if (headOf(before) === headOf(history)) {
      return { history, live, underWay };
    }
    if (i === LOOKS) {
      return { history, live, underWay: true };
    }
  }
}

type Judged = { findings: HistoryFinding[]; notes: string[] };

/**
 * Verifies the history of a plugin.
 *
 * @param remembered the digest of a line that somebody has kept elsewhere.
 * @throws errors of the disk.
 */
export function verifyHistory(context: ReadContext, plugin: string, remembered?: string): HistoryInfo {
  const { history, live, underWay } = look(context, plugin);
  const { lines, torn } = history;
  const all = lines.map((text) => ({ text, line: readHistoryLine(text) }));
  const read = all.flatMap(({ line }) => line ?? []);
  const parts: Judged[] = [
    { findings: chainFindings(plugin, all), notes: [] },
    torn ? note('Its last line is torn, as a power cut leaves it; the next operation replaces it') : NOTHING,
    compareLive(liveAfter(read), live, underWay, lines.length),
    { findings: compareReceipts(context, plugin, read), notes: [] },
    { findings: [], notes: foundNotes(read) },
    compareHead(history, remembered),
  ];
  const findings = parts.flatMap((part) => part.findings);
  const unbroken = lines.length === 0 ? 'unknown' : 'whole';
  return {
    plugin,
    lines: lines.length,
    head: headOf(history),
    verdict: findings.length > 0 ? 'broken' : unbroken,
    findings: truncate(findings),
    notes: parts.flatMap((part) => part.notes).slice(0, 20),
  };
}

const NOTHING: Judged = { findings: [], notes: [] };
const note = (text: string): Judged => ({ findings: [], notes: [text] });

const named = (version: HistoryVersion | null): string =>
  version === null ? 'nothing' : (version.installId ?? 'a version without an id');

function compareLive(
  told: HistoryLive | undefined,
  live: Live,
  underWay: boolean | undefined,
  lines: number,
): Judged {
  if (told === undefined) {
    return live.kind === 'absent' || lines === 0
      ? live.kind === 'absent'
        ? NOTHING
        : note('It was installed before there was a history: nothing tells who did that')
      : note('The lines do not tell which version is live');
  }
  const what = mismatchOf(told, live);
  if (what === undefined) {
    return NOTHING;
  }
  if (underWay !== false) {
    const why = underWay
      ? 'a change is in progress or was interrupted'
      : 'this user cannot see whether a change is in progress';
    return note(`${what}; ${why}: verify again, or let "airlock recover" finish it`);
  }
  return { findings: [{ line: told.line, what }], notes: [] };
}

function mismatchOf({ line, version }: HistoryLive, live: Live): string | undefined {
  const says = `By line ${line} ${named(version)} is live`;
  switch (live.kind) {
    case 'absent':
      return version === null ? undefined : `${says}, but nothing is`;
    case 'unmarked':
      return version !== null && version.installId === null
        ? undefined
        : `${says}, but a version without a full marker is`;
    case 'marked':
      if (live.installId !== version?.installId) {
        return `${says}, but ${live.installId} is`;
      }
      return live.tree === undefined || version.tree === undefined || live.tree === version.tree
        ? undefined
        : `${says} with the tree ${version.tree}, but its marker names the tree ${live.tree}`;
    default:
      return live satisfies never;
  }
}

/** The receipts that are still there: each must be the one that was written, and name the one before as the history does. */
function compareReceipts(
  context: ReadContext,
  plugin: string,
  lines: readonly HistoryLine[],
): HistoryFinding[] {
  const there = receiptsThere(context, plugin);
  const written = new Map<string, string>();
  let last: string | undefined;
  return lines.filter(bringsLive).flatMap(({ seq, from, to: { installId, receipt } }): HistoryFinding[] => {
    const replaced = from?.installId ?? null;
    const before = replaced === null ? last : written.get(replaced);
    last = receipt;
    if (installId === null || receipt === undefined) {
      return [];
    }
    written.set(installId, receipt);
    const found = there.get(installId);
    const finding = (what: string): HistoryFinding[] => [
      { line: seq, what: `The receipt of ${installId} ${what}` },
    ];
    if (found !== undefined && found.digest !== receipt) {
      return finding(`is not the one that line ${seq} names: it was changed after it was written`);
    }
    return found?.before === undefined || before === undefined || found.before === before
      ? []
      : finding(`names another receipt before it than the lines up to line ${seq} do: lines were changed`);
  });
}

/** The receipts of a plugin, by installId. Each is read once, however often the lines name it. */
function receiptsThere(
  context: ReadContext,
  plugin: string,
): Map<string, { digest: string | undefined; before: string | undefined }> {
  const stamps = (listAllowed(context.disk, context.layout.receipts) ?? [])
    .flatMap(({ name }) =>
      name.endsWith('.json') ? (parseSlotName(name.slice(0, -'.json'.length)) ?? []) : [],
    )
    .flatMap((slot) => (slot.plugin === plugin ? slot.stamp : []));
  return new Map(
    stamps.map((stamp) => [
      stamp,
      {
        digest: receiptDigest(context, plugin, stamp),
        before: receiptOf(context, plugin, stamp)?.before,
      },
    ]),
  );
}

const foundNotes = (lines: readonly HistoryLine[]): string[] =>
  lines
    .filter(({ op, seq }) => op === 'found' && seq > 1)
    .map(
      ({ seq, to }) =>
        `Line ${seq}: ${named(to ?? null)} was found live, and no line tells who ${to === null ? 'removed what was' : 'installed it'}`,
    );

function compareHead({ lines }: HistoryText, remembered: string | undefined): Judged {
  if (remembered === undefined) {
    return NOTHING;
  }
  const index = lines.findIndex((line) => lineDigest(line) === remembered);
  if (index === -1) {
    const what = `No line has the sha256 ${remembered}: the history was rewritten since, or that line was cut off`;
    return { findings: [{ what }], notes: [] };
  }
  const later = lines.length - 1 - index;
  return note(
    later === 0
      ? 'The last line is the remembered one'
      : `The remembered line is there, and ${later} ${later === 1 ? 'line was' : 'lines were'} added since`,
  );
}
