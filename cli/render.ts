/** Values as text for people. Text of unknown origin is made safe to print. */
import { styleText } from 'node:util';

import type { Packed, DeltaResult } from '../client/index.ts';
import type { Reload } from '../shared/rule/classify.ts';
import type { Installed } from '../shared/api/plugin.ts';
import type { Fault } from '../shared/api/fault.ts';
import { bytes, safe } from '../shared/wording.ts';

export { bytes, duration, plural, reasonText, safe } from '../shared/wording.ts';

export type Paint = (style: 'bold' | 'dim' | 'green' | 'yellow' | 'red' | 'cyan', text: string) => string;

/** Colours, or none. */
export const painter =
  (colour: boolean): Paint =>
  (style, text) =>
    colour ? styleText(style, text, { validateStream: false }) : text;

/** An entry that a pack has left out on purpose, and why. */
export const leftOutText = ({ path, why }: { path: string; why: string }): string =>
  `${safe(path)} is left out: ${safe(why)}`;

/** What is to be said of a bundle beside its name: what was left out, and where its manifest is from. */
export const packNotes = ({ skipped, manifestFrom }: Pick<Packed, 'skipped' | 'manifestFrom'>): string[] => [
  ...skipped.map(leftOutText),
  ...(manifestFrom === undefined
    ? []
    : [
        `The plugin has no manifest of its own; what "${safe(manifestFrom)}" says of it is packed as .claude-plugin/plugin.json`,
      ]),
];

const RELOADS = { none: '', hot: '; only skills changed', restart: '; needs a restart' } as const;

/** What a change means for the runtime, to append to the result. */
export const reloadText = ({ action, restarting }: Pick<Reload, 'action' | 'restarting'>): string =>
  `${RELOADS[action]}${action === 'restart' && !restarting ? ', which was suppressed' : ''}`;

/** The version that a change has replaced, to append to what is live now. */
export const replacedText = ({ replacedVersion = null }: Pick<Installed, 'replacedVersion'>): string =>
  replacedVersion === null ? '' : `, replaced ${safe(replacedVersion)}`;

/** A table with aligned columns; the last column keeps its width. */
export function table(head: readonly string[], rows: readonly (readonly string[])[], paint: Paint): string {
  const all = [head, ...rows].map((row) => row.map(safe));
  const widths = head.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)));
  const lines = all.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  const [first = '', ...rest] = lines;
  return [paint('bold', first), ...rest].join('\n');
}

/** The title, the reason and the hint of a fault; then every violation on its own line. */
export function faultLines(fault: Fault, paint: Paint): string[] {
  const lines = [paint('red', `${fault.title} (${fault.code})`), `  why: ${safe(fault.message)}`];
  if (fault.hint !== undefined) {
    lines.push(`  what to do: ${safe(fault.hint)}`);
  }
  for (const { path, rule, code, what } of fault.violations) {
    lines.push(`  - ${safe(path)}: ${safe(what)} (${code}, rule ${rule})`);
  }
  const more = fault.violationsTotal - fault.violations.length;
  return more > 0 ? [...lines, `  - and ${more} more`] : lines;
}

/** A bar for a terminal of so many columns. */
export function bar(done: number, total: number, columns: number): string {
  const share = total === 0 ? 1 : Math.min(1, done / total);
  const figures = ` ${String(Math.floor(share * 100)).padStart(3)} %  ${bytes(done)} of ${bytes(total)}`;
  const width = Math.max(4, Math.min(40, columns - figures.length - 3));
  const filled = Math.round(share * width);
  return `[${'#'.repeat(filled)}${'.'.repeat(width - filled)}]${figures}`;
}

/** What was sent of a bundle, if it was not all of it. */
export const sentText = (delta: DeltaResult | undefined): string =>
  delta === undefined ? '' : `; sent ${bytes(delta.bytes)} of ${bytes(delta.of)}`;
