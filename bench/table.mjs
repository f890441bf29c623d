// The rows of the table: what was measured, against what, and the bar that it is to reach.
import { median } from './measure.mjs';

/**
 * @typedef {object} Row
 * @property {string} what what was measured
 * @property {string} against what it was compared with
 * @property {string} place where: disk, tmpfs, or nothing where it does not matter
 * @property {'×' | 'ms' | '%'} unit of the figures
 * @property {number | null} bar the most that the median may be, or null where there is none
 * @property {number} median
 * @property {number} min
 * @property {number} max
 * @property {number} rounds how many figures there were
 */

/** A row of one figure a round. @returns {Row} */
export function row({ what, against = '', place = '', unit = '×', bar = null, values }) {
  const [min, max] = [Math.min(...values), Math.max(...values)];
  return { what, against, place, unit, bar, median: median(values), min, max, rounds: values.length };
}

/** Whether the median is beyond the bar. What must never happen (a bar of 0) must not happen in any round. */
export const isMissed = ({ bar, median: middle, max }) => bar !== null && (bar === 0 ? max : middle) > bar;

/** A figure with three digits, as a person reads it. */
export function figure(value, unit) {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : value >= 0.1 || value === 0 ? 2 : 4;
  return `${value.toFixed(digits)} ${unit}`;
}

const HEAD = ['what', 'against', 'on', 'median', 'min', 'max', 'bar', ''];

/** The cells of a row, in the order of the head. */
function cells(entry) {
  const { what, against, place, unit, bar } = entry;
  const figures = [entry.median, entry.min, entry.max].map((value) => figure(value, unit));
  const verdict = bar === null ? '' : isMissed(entry) ? 'MISSED' : 'reached';
  return [what, against, place, ...figures, bar === null ? '' : `≤ ${bar} ${unit}`, verdict];
}

/** The table as aligned text. */
export function textTable(rows) {
  const lines = [HEAD, ...rows.map(cells)];
  const widths = HEAD.map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  const isFigure = (column) => column >= 3 && column <= 6;
  return lines
    .map((line) =>
      line
        .map((cell, i) => (isFigure(i) ? cell.padStart(widths[i]) : cell.padEnd(widths[i])))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** The table in Markdown. */
export function markdownTable(rows) {
  const line = (list) => `| ${list.join(' | ')} |`;
  return [line(HEAD), line(HEAD.map(() => '---')), ...rows.map((entry) => line(cells(entry)))].join('\n');
}

/** Which bars are missed, in one sentence or a list. */
export function missedBars(rows) {
  const barred = rows.filter(({ bar }) => bar !== null);
  const missed = barred.filter(isMissed);
  if (missed.length === 0) return `All ${barred.length} bars are reached`;
  const each = missed.map(({ what, against, place, unit, bar, median: middle }) => {
    const where = [against === '' ? '' : `against ${against}`, place === '' ? '' : `on ${place}`];
    const name = [what, ...where].filter((word) => word !== '').join(' ');
    return `  ${name}: ${figure(middle, unit)}, the bar is ${bar} ${unit}`;
  });
  return [`${missed.length} of ${barred.length} bars are missed:`, ...each].join('\n');
}
