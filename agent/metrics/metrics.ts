/** The figures of an agent: counts what happens by the rows of the table, and writes all of it as text for Prometheus. */
import type { Facts, Heard } from './facts.ts';
import {
  type HistogramRow,
  type LabelValues,
  type Labels,
  type MetricRow,
  type Sample,
  seriesOf,
} from './row.ts';
import { metrics } from './table.ts';

/** The media type of the text. */
export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** In place of a value that the row does not list. No input can make more series than the table allows. */
const OTHER = 'other';

type Histogram = { labels: Labels; counts: number[]; sum: number };

export class Metrics {
  readonly #rows: readonly MetricRow[];
  readonly #counters = new Map<MetricRow, Map<string, Sample>>();
  readonly #histograms = new Map<MetricRow, Map<string, Histogram>>();

  constructor(rows: readonly MetricRow[] = metrics) {
    this.#rows = rows;
    for (const row of rows) {
      if (row.kind === 'counter') {
        this.#counters.set(row, new Map(row.start.map((labels) => [keyOf(labels), { labels, value: 0 }])));
      } else if (row.kind === 'histogram') {
        const known = seriesOf(row.labels).map(
          (labels) => [keyOf(labels), emptyHistogram(row, labels)] as const,
        );
        this.#histograms.set(row, new Map(known));
      }
    }
  }

  /** Counts something that happens. */
  hear(heard: Heard): void {
    for (const row of this.#rows) {
      if (row.kind === 'counter') {
        for (const sample of row.count(heard)) this.#add(row, sample);
      } else if (row.kind === 'histogram') {
        for (const sample of row.observe(heard)) this.#observe(row, sample);
      }
    }
  }

  /** All figures, in the text format 0.0.4 of Prometheus. */
  text(facts: Facts): string {
    return this.#rows
      .map((row) => {
        const lines = this.#linesOf(row, facts);
        const head = `# HELP ${row.name} ${escaped(row.help)}\n# TYPE ${row.name} ${row.type}\n`;
        return lines.length === 0 ? '' : head + lines.map((line) => `${line}\n`).join('');
      })
      .join('');
  }

  #add(row: MetricRow, { labels, value }: Sample): void {
    const bounded = bound(row.labels, labels);
    const series = this.#counters.get(row);
    const key = keyOf(bounded);
    series?.set(key, { labels: bounded, value: (series.get(key)?.value ?? 0) + value });
  }

  #observe(row: HistogramRow, { labels, value }: Sample): void {
    const bounded = bound(row.labels, labels);
    const series = this.#histograms.get(row);
    const key = keyOf(bounded);
    const found = series?.get(key) ?? emptyHistogram(row, bounded);
    const bucket = row.buckets.findIndex((most) => value <= most);
    const at = bucket === -1 ? row.buckets.length : bucket;
    found.counts[at] = (found.counts[at] ?? 0) + 1;
    found.sum += value;
    series?.set(key, found);
  }

  #linesOf(row: MetricRow, facts: Facts): string[] {
    if (row.kind === 'histogram') {
      return [...(this.#histograms.get(row)?.values() ?? [])].flatMap((found) => histogramLines(row, found));
    }
    const samples = row.kind === 'read' ? row.read(facts) : [...(this.#counters.get(row)?.values() ?? [])];
    return samples
      .filter(({ value }) => Number.isFinite(value))
      .map(({ labels, value }) => `${row.name}${labelText(labels)} ${value}`);
  }
}

const emptyHistogram = (row: HistogramRow, labels: Labels): Histogram => ({
  labels,
  counts: Array<number>(row.buckets.length + 1).fill(0),
  sum: 0,
});

/** The labels of the row, each with a value that it lists. */
const bound = (values: LabelValues, labels: Labels): Labels =>
  Object.fromEntries(
    Object.entries(values).map(([label, of]) => {
      const value = labels[label] ?? OTHER;
      return [label, of.includes(value) ? value : OTHER];
    }),
  );

const keyOf = (labels: Labels): string => JSON.stringify(labels);

function histogramLines({ name, buckets }: HistogramRow, { labels, counts, sum }: Histogram): string[] {
  let sofar = 0;
  const lines = [...buckets.map(String), '+Inf'].map((le, i) => {
    sofar += counts[i] ?? 0;
    return `${name}_bucket${labelText({ ...labels, le })} ${sofar}`;
  });
  return [...lines, `${name}_sum${labelText(labels)} ${sum}`, `${name}_count${labelText(labels)} ${sofar}`];
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(
    ([name, value]) => `${name}="${escaped(value).replaceAll('"', '\\"')}"`,
  );
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

const escaped = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
