/** Findings as text for people. */
import type { Finding, Level } from '../client/index.ts';
import { findingText } from '../shared/rule/plugin/finding.ts';
import type { Output } from './output.ts';
import { type Paint, plural, safe } from './render.ts';

const STYLES = { error: 'red', warning: 'yellow', note: 'cyan' } as const;

/** How many findings of each level there are. */
export function countsOf(findings: readonly Finding[]): Record<`${Level}s`, number> {
  const count = (wanted: Level): number => findings.filter(({ level }) => level === wanted).length;
  return { errors: count('error'), warnings: count('warning'), notes: count('note') };
}

/** The most findings that a command prints beside its work. */
const NOTED = 20;

/**
 * Says what has to be done, before a plugin is packed or sent; `airlock validate` shows all.
 *
 * @param path of the plugin. @param begin of each line. @returns the texts.
 */
export function noteFindings(
  findings: readonly Finding[],
  path: string,
  output: Output,
  begin = '',
): Set<string> {
  const texts = findings.filter(({ level }) => level !== 'note').map(findingText);
  for (const text of texts.slice(0, NOTED)) output.note(`${begin}warning: ${safe(text)}`);
  const more = texts.length - NOTED;
  if (more > 0) output.note(`${begin}warning: and ${more} more: see airlock validate ${safe(path)}`);
  return new Set(texts);
}

/** One line for each finding, those of a file together, and what to do. */
export function findingLines(findings: readonly Finding[], paint: Paint): string[] {
  const byPath = new Map<string, string[]>();
  for (const { path, line, level, message, rule, fix } of findings) {
    const lines = byPath.get(path) ?? [];
    const place = `${path === '' ? '.' : safe(path)}${line === undefined ? '' : `:${line}`}`;
    lines.push(`${place}  ${paint(STYLES[level], level)}  ${safe(message)}  (${rule})`);
    if (level !== 'note') lines.push(`  what to do: ${safe(fix)}`);
    byPath.set(path, lines);
  }
  return [...byPath.values()].flat();
}

/** The last line: how much was found. */
export function summaryOf(plugin: string, files: number, findings: readonly Finding[], paint: Paint): string {
  const { errors, warnings, notes } = countsOf(findings);
  const counts = [plural(errors, 'error'), plural(warnings, 'warning'), plural(notes, 'note')].join(', ');
  const [style, word] =
    errors > 0
      ? (['red', 'refused'] as const)
      : warnings > 0
        ? (['yellow', 'doubtful'] as const)
        : (['green', 'valid'] as const);
  return `${paint(style, word)}  ${safe(plugin)} (${plural(files, 'file')}): ${counts}`;
}
