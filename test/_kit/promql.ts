/** What an expression of PromQL names, compared with the table of metrics. */
import { metrics } from '../../agent/metrics/table.ts';
import type { LabelValues } from '../../agent/metrics/row.ts';

const WORDS = new Set(['and', 'or', 'unless', 'bool', 'offset', 'inf', 'nan']);
/** What Prometheus itself adds to each series. */
const TARGET: LabelValues = { job: [], instance: [] };
const TOKEN =
  /"(?:[^"\\]|\\.)*"|\[[^\]]*\]|\b(?:by|on|ignoring|without|group_left|group_right)\b\s*\(([^)]*)\)|\{([^}]*)\}|[a-zA-Z_:][\w:]*(?=\s*(\()?)/g;
const MATCHER = /([a-z_]+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"/g;

type Matcher = { label: string; operator: string; value: string };
type Named = { metrics: { name: string; matchers: Matcher[] }[]; labels: string[] };

/** The metrics of an expression with their matchers, and the labels by which it groups. */
function namedIn(expression: string): Named {
  const named: Named = { metrics: [], labels: [] };
  for (const [token, grouped, matchers, call] of expression.matchAll(TOKEN)) {
    if (grouped !== undefined) {
      named.labels.push(
        ...grouped
          .split(',')
          .map((label) => label.trim())
          .filter((label) => label !== ''),
      );
    } else if (matchers !== undefined) {
      named.metrics.at(-1)?.matchers.push(
        ...[...matchers.matchAll(MATCHER)].map(([, label = '', operator = '', value = '']) => ({
          label,
          operator,
          value,
        })),
      );
    } else if (
      /^[a-z_]/i.test(token) &&
      call === undefined &&
      !WORDS.has(token.toLowerCase()) &&
      !isAggregation(token)
    ) {
      named.metrics.push({ name: token, matchers: [] });
    }
  }
  return named;
}

/** `sum by (…) (…)`: the parenthesis comes after the labels. */
const isAggregation = (word: string): boolean =>
  ['sum', 'min', 'max', 'avg', 'count', 'group', 'topk'].includes(word);

/** The labels of a series; undefined if the table has no such metric. */
function labelsOf(name: string): LabelValues | undefined {
  if (name === 'up') return TARGET;
  const histogram = /^(.*)_(?:bucket|sum|count)$/.exec(name)?.[1];
  const row = metrics.find((one) => one.name === (one.kind === 'histogram' ? histogram : name));
  if (row === undefined) return undefined;
  return { ...row.labels, ...TARGET, ...(name.endsWith('_bucket') ? { le: [] } : {}) };
}

/** Whether a label can have a value that the matcher names; of alternatives, each of them. */
function canMatch(values: readonly string[], { operator, value }: Matcher): boolean {
  if (values.length === 0 || value.startsWith('$')) return true;
  const alternatives = operator.includes('~') ? value.split('|') : [value];
  return alternatives.every((alternative) =>
    operator.includes('~')
      ? values.some((one) => new RegExp(`^(?:${alternative})$`).test(one))
      : values.includes(alternative),
  );
}

/**
 * What an expression names that no agent has.
 *
 * @param shown labels that a text beside the expression shows.
 */
export function unknownIn(expression: string, shown: readonly string[] = []): string[] {
  const named = namedIn(expression);
  if (named.metrics.length === 0) return [`no metric in "${expression}"`];
  const of = named.metrics.map(({ name, matchers }) => ({ name, matchers, labels: labelsOf(name) }));
  const missing = of.flatMap(({ name, matchers, labels }) => {
    if (labels === undefined) return [`the metric ${name}`];
    return matchers.flatMap((matcher) => {
      const values = labels[matcher.label];
      if (values === undefined) return [`the label ${matcher.label} of ${name}`];
      return canMatch(values, matcher) ? [] : [`${matcher.label}="${matcher.value}" of ${name}`];
    });
  });
  const known = new Set(of.flatMap(({ labels = {} }) => Object.keys(labels)));
  const labels = [...named.labels, ...shown].filter((label) => !known.has(label));
  return [...missing, ...labels.map((label) => `the label ${label}`)];
}
